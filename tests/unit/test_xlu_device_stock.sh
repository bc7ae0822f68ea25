#!/bin/sh
# SPDX-License-Identifier: MIT
# xlu_device_specs.txt says what stock Xen 4.17's libxlutil answers: ask it, where it is installed.
set -u
libdir=$(ls -d /usr/lib/*/libxlutil.so.4.17 2>/dev/null | head -n 1)
src=${KR_SRCDIR:-.}/tests/unit
if [ -z "$libdir" ] || [ ! -e /usr/include/libxlutil.h ]; then
    echo "SKIP: no stock libxlutil 4.17 with its headers here"
    exit 77
fi
libdir=${libdir%/*}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
cp "$src/xlu_device_dump.c" "$src/xlu_device_dump.h" "$tmp"
# By path, so that no library of ours is taken for it.
${CC:-cc} -w -D_GNU_SOURCE -I/usr/include -o "$tmp/dump" "$tmp/xlu_device_dump.c" \
    "$libdir/libxlutil.so.4.17" "$libdir/libxenlight.so.4.17" -Wl,-rpath-link,"$libdir" || exit 1

run() {
    LD_LIBRARY_PATH=$libdir "$tmp/dump" <"$1" >"$2"
}
run "$src/xlu_device_specs.txt" "$tmp/stock.txt"
grep -v '^!' "$src/xlu_device_specs.txt" >"$tmp/want.txt"
grep -v '^!' "$tmp/stock.txt" >"$tmp/same.txt"
diff -u "$tmp/want.txt" "$tmp/same.txt" || exit 1

# Where we differ on purpose, stock must still answer otherwise.
sed -n 's/^!//p' "$src/xlu_device_specs.txt" >"$tmp/ours.txt"
run "$tmp/ours.txt" "$tmp/theirs.txt"
if grep -Fxf "$tmp/ours.txt" "$tmp/theirs.txt"; then
    echo "stock answers the same here: no difference any more"
    exit 1
fi
echo "$(grep -c ' => ' "$tmp/want.txt") specifications compared, $(wc -l <"$tmp/ours.txt") known differences"
