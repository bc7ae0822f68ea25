# SPDX-License-Identifier: MIT
# What scripts/test, demo and bench share: packages, the build, the guest's kernel and initramfs.
# Sourced by bash with set -eu; $top is the source tree.

KR_CACHE=${KRYPTON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/krypton}

# Everything a fresh Debian 12 lacks. Tools for the build, then libraries, then what tests use.
KR_PACKAGES_BUILD="gcc make autoconf automake libtool pkg-config python3 gcc-multilib
    zlib1g-dev libbz2-dev liblzma-dev liblz4-dev libzstd-dev libyajl-dev uuid-dev libseccomp-dev
    libsystemd-dev libzydis-dev libcmocka-dev"
KR_PACKAGES_RUN="cpio gzip xz-utils util-linux"
KR_PACKAGES_TEST="clang libclang-rt-14-dev llvm-14 libxen-dev acpica-tools mandoc bash-completion"
KR_PACKAGES_BENCH="qemu-system-x86"

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else die "needs root or sudo to run: $*"
    fi
}

# kr_packages NAME...: installs those that are missing, and says which.
kr_packages() {
    local p missing=""
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null 2>&1 || die "missing packages, and no apt-get here:$missing"
    say "installing:$missing"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing >/dev/null
}

# kr_build DIR [CONFIGURE-ARG...]: configures (once) and builds in DIR.
kr_build() {
    local dir=$1; shift
    [ -x "$top/configure" ] || (cd "$top" && autoreconf -fi >/dev/null 2>"$top/autoreconf.log") || {
        cat "$top/autoreconf.log" >&2; die "autoreconf failed"; }
    rm -f "$top/autoreconf.log"
    mkdir -p "$dir"
    [ -f "$dir/config.status" ] || (cd "$dir" && "$top/configure" -q "$@" >configure.log 2>&1) || { tail -n 5 "$dir/configure.log" >&2; die "configure failed"; }
    say "building in $dir (messages in make.log there)"
    make -C "$dir" -j"$(nproc)" >"$dir/make.log" 2>&1 || { grep -E -A6 'error|\*\*\*' "$dir/make.log" | head -n 60 >&2; die "the build failed"; }
}

# kr_debs DIR PACKAGE...: unpacks Debian's packages below DIR without installing them.
kr_debs() {
    local dir=$1 p tmp; shift
    tmp=$(mktemp -d)
    mkdir -p "$dir"
    for p in "$@"; do
        (cd "$tmp" && apt-get -qq download "$p" 2>/dev/null) || {
            as_root apt-get -qq update >/dev/null
            (cd "$tmp" && apt-get -qq download "$p") || die "cannot download Debian's package $p"
        }
    done
    for p in "$tmp"/*.deb; do dpkg-deb -x "$p" "$dir"; done
    rm -rf "$tmp"
}

# kr_kernel FLAVOUR: prints the path of Debian's stock kernel (cloud-amd64 or amd64), fetched once.
kr_kernel() {
    local flavour=$1 dir="$KR_CACHE/linux-$1" pkg
    if ! [ -e "$dir/vmlinuz" ]; then
        pkg=$(apt-cache depends "linux-image-$flavour" 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n1)
        if [ -z "$pkg" ]; then
            as_root apt-get -qq update >/dev/null
            pkg=$(apt-cache depends "linux-image-$flavour" | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n1)
        fi
        [ -n "$pkg" ] || die "Debian has no linux-image-$flavour here"
        say "fetching $pkg"
        rm -rf "$dir.new" && kr_debs "$dir.new" "$pkg"
        # The modules are not used, and large.
        rm -rf "$dir.new/lib" "$dir.new/usr"
        (cd "$dir.new" && ln -s boot/vmlinuz-* vmlinuz)
        rm -rf "$dir" && mv "$dir.new" "$dir"
    fi
    echo "$dir/vmlinuz"
}

# kr_initramfs: prints the path of a small initramfs: static busybox, its init, a shell on hvc0 or ttyS0.
kr_initramfs() {
    local out="$KR_CACHE/initramfs-$(sha256sum "$top/scripts/lib/common.sh" | cut -c1-12).gz" tmp root
    if ! [ -e "$out" ]; then
        tmp=$(mktemp -d); root=$tmp/root
        kr_debs "$tmp/bb" busybox-static
        mkdir -p "$root"/{bin,sbin,etc,proc,sys,dev,tmp,run}
        cp "$tmp/bb/bin/busybox" "$root/bin/busybox"
        local a
        for a in sh ash cat ls mount umount uname dmesg sleep date echo grep head tail wc ps free top vi sed awk \
                 setsid cttyhack hexdump dd od seq time true false stty clear kill env cut tr sort md5sum; do
            ln -s busybox "$root/bin/$a"
        done
        for a in init poweroff reboot halt ifconfig ip; do ln -s ../bin/busybox "$root/sbin/$a"; done
        ln -s sbin/init "$root/init"
        cat >"$root/etc/inittab" <<'INITTAB'
::sysinit:/etc/rc
console::respawn:-/bin/sh
::ctrlaltdel:/sbin/reboot
INITTAB
        cat >"$root/etc/rc" <<'RC'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
echo "KRYPTON-GUEST-UP $(cut -d' ' -f1 /proc/uptime)"
for word in $(cat /proc/cmdline); do
    case $word in run=*) cmd=${word#run=}; sh -c "$(echo "$cmd" | tr '+' ' ')" ;; esac
done
RC
        chmod 755 "$root/etc/rc"
        printf 'export PS1="guest# "\nexport TERM=${TERM:-vt100}\n' >"$root/etc/profile"
        mkdir -p "$KR_CACHE"
        (cd "$root" && find . | LC_ALL=C sort | cpio --quiet -R 0:0 -H newc -o) | gzip -9n >"$out.$$"
        mv "$out.$$" "$out"
        rm -rf "$tmp"
    fi
    echo "$out"
}

# kr_stock_xen: prints the folder of Debian's own Xen programs and libraries, of GRUB for Xen guests, and what they
# need that a minimal system lacks: fetched once, never installed.
kr_stock_xen() {
    local dir="$KR_CACHE/stock-xen-4.17"
    if ! [ -e "$dir/usr/lib/xen-4.17/bin/xl" ] || ! [ -e "$dir/usr/lib/grub-xen" ]; then
        say "fetching Debian's Xen 4.17 programs"
        rm -rf "$dir.new"
        kr_debs "$dir.new" xen-utils-4.17 libxenmisc4.17 xenstore-utils grub-xen-host \
            libncurses6 libyajl2 libext2fs2
        rm -rf "$dir" && mv "$dir.new" "$dir"
    fi
    echo "$dir"
}
