#!/bin/sh
# SPDX-License-Identifier: MIT
# The store's command-line tools against the daemon (without a hypervisor), output and exit status.
set -u
build=${KR_BUILDDIR:-.}
dir=$(mktemp -d) || exit 99
KRYPTON_RUNDIR=$dir
export KRYPTON_RUNDIR
unset XENSTORED_PATH XENSTORED_RUNDIR
failed=0
daemon=

cleanup() {
    [ -z "$daemon" ] || kill "$daemon"
    rm -rf "$dir"
}
trap cleanup EXIT

xs() { name=$1; shift; "$build/xenstored/xenstore" "$name" "$@"; }

# expect STATUS OUTPUT COMMAND...
expect() {
    want=$1 text=$2; shift 2
    got=$("$@" 2>"$dir/err"); status=$?
    if [ "$status" != "$want" ] || [ "$got" != "$text" ]; then
        printf 'FAILED: %s\n  status %s, expected %s\n  output:   %s\n  expected: %s\n' \
               "$*" "$status" "$want" "$got" "$text"
        cat "$dir/err"
        failed=1
    fi
}

expect 1 '' xs read /a
grep -q "cannot reach the store" "$dir/err" || { echo "FAILED: no clear message"; failed=1; }

"$build/xenstored/xenstored" -D -F "$dir/pid" 2>"$dir/log" &
daemon=$!
tries=0
while ! [ -s "$dir/pid" ]; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] || { cat "$dir/log"; exit 1; }
    sleep 0.02
done
[ "$(stat -c %a "$dir/xenstored/socket")" = 600 ] || { echo "FAILED: socket mode"; failed=1; }

expect 0 '' xs write /a/b one /a/c 'two words'
expect 0 'one' xs read /a/b
expect 0 '/a/b: one
/a/c: two words' xs read -p /a/b /a/c
expect 1 '' xs read /a/none
expect 0 'b
c' xs list /a
expect 0 '/a/b
/a/c' xs list -p /a
expect 0 'b = "one"
c = "two words"' xs ls /a
expect 0 '/a/b = "one"   (n0)
/a/c = "two words"   (n0)' xs ls -fp /a
expect 0 '[
  {"path": "/a/b", "value": "one", "permissions": ["n0"]},
  {"path": "/a/c", "value": "two words", "permissions": ["n0"]}
]' xs ls -jp /a
expect 0 '[]' xs ls -j /a/b
expect 0 '' xs write /esc/a 'x\ny\t\\\101\x42"' /esc/b '\z\'
expect 0 'x\ny\t\\AB"' xs read /esc/a
expect 0 'x
y	\AB"' xs read -R /esc/a
expect 0 '\\z\\' xs read /esc/b
expect 0 '' xs write -R /esc/a 'x\ny'
expect 0 'x\\ny' xs read /esc/a
expect 0 '[
  {"path": "/esc/a", "value": "x\\ny"},
  {"path": "/esc/b", "value": "\\z\\"}
]' xs ls -j /esc
expect 0 '{"path": "/esc/a", "watch": "/esc/a"}' xs watch -j -n 1 /esc/a
expect 0 '' xs rm /esc
expect 0 '/w' xs watch -d 0 -n 1 /w
expect 2 '' xs watch -d -1 /w
expect 2 '' xs watch -d x /w
expect 2 '' xs watch -d 99999999999 /w
expect 0 '' xs write /w/x ''
timeout 10 "$build/xenstored/xenstore" watch -d 1 -n 4 /w >"$dir/watched" &
watcher=$!
tries=0
while ! [ -s "$dir/watched" ] && [ $tries -lt 500 ]; do tries=$((tries + 1)); sleep 0.02; done
expect 0 '' xs write /w/x/too-deep v
expect 0 '' xs write /w/y v
expect 0 '' xs clone /w/x /w/z
expect 0 '' xs write /w v
wait "$watcher" || { echo "FAILED: xenstore watch -d: $?"; failed=1; }
expect 0 '/w
/w/y
/w/z
/w' cat "$dir/watched"
expect 0 '' xs chmod /w/x/too-deep r0 w6
expect 0 '' "$build/xenstored/xenstore-clone" /w/x /copy/of
expect 0 '/copy/of = ""   (n0)
/copy/of/too-deep = "v"   (r0,w6)' xs ls -fp /copy
expect 1 '' xs clone /w/x /copy/of
grep -q "cannot clone /w/x: File exists" "$dir/err" || { echo "FAILED: no clear message"; failed=1; }
expect 1 '' xs clone /w /w/w
expect 2 '' xs clone /w
expect 2 '' xs clone /w /x /y
expect 0 '' xs rm /w /copy
expect 0 '' xs chmod /a/b n0 r5 b7
expect 0 'b = "one"   (n0,r5,b7)
c = "two words"   (n0)' xs ls -p /a
expect 1 '' xs chmod /a/b q5
expect 0 '' xs chmod -r /a r0
expect 0 '/a/b = "one"   (r0)
/a/c = "two words"   (r0)' xs ls -f -p /a
expect 0 '' xs exists /a /a/b
expect 1 '' xs exists /a /a/none
expect 0 '' xs write /esc "$(printf 'tab\there\001')"
expect 0 'tab\there\001' xs read /esc
expect 0 '' xs write /deep/er/still x
expect 0 '' xs rm -t /deep/er/still
expect 1 '' xs exists /deep
expect 1 '' xs rm /none/at/all
expect 0 'OK' xs control check
expect 2 '' xs write /a
expect 2 '' xs nonsense
expect 2 '' xs ls -x
expect 0 '/a/b' timeout 10 "$build/xenstored/xenstore-watch" -n 1 /a/b
expect 0 'one' "$build/xenstored/xenstore-read" /a/b
expect 0 '' xs write /local/domain/0/name other
expect 0 'other' xs read /local/domain/0/name
expect 1 '' "$build/xenstored/xenstored" -D
expect 2 '' "$build/xenstored/xenstored" -Q nothing=3
expect 0 'other' xs read /local/domain/0/name

# logged WHAT LOG
logged() { grep -q "$1" "$2" 2>/dev/null || { echo "FAILED: $1 is not in $2"; failed=1; }; }

# A live update in the same process; a restart after a kill; and one that begins anew. What the log has been
# set to stays.
expect 0 'OK' xs control logfile "$dir/named"
expect 0 'OK' xs control live-update "$(command -v "$build/xenstored/xenstored")"
expect 0 'other' xs read /local/domain/0/name
kill -0 "$daemon" || { echo "FAILED: another process after a live update"; failed=1; }
expect 0 '' xs write /logged/by-next v
logged 'WRITE /logged/by-next' "$dir/named"
logged "logging to $dir/named, as the last daemon did" "$dir/log"
again() {
    kill -9 "$daemon"; wait "$daemon" 2>/dev/null
    rm -f "$dir/pid"
    "$build/xenstored/xenstored" -D -F "$dir/pid" "$@" 2>>"$dir/log" &
    daemon=$!
    tries=0
    while ! [ -s "$dir/pid" ]; do
        tries=$((tries + 1))
        [ $tries -lt 500 ] || { cat "$dir/log"; exit 1; }
        sleep 0.02
    done
}
again
expect 0 'other' xs read /local/domain/0/name
expect 0 '' xs write /logged/by-another v
logged 'WRITE /logged/by-another' "$dir/named"
again -R
expect 1 '' xs read /local/domain/0/name
expect 0 '' xs write /logged/by-none v
! grep -q by-none "$dir/named" || { echo "FAILED: a daemon that begins anew logs where the last one did"; failed=1; }

kill "$daemon"
wait "$daemon" || { echo "FAILED: the daemon's exit status is $?"; failed=1; }
daemon=
[ ! -e "$dir/pid" ] || { echo "FAILED: the pid file is left behind"; failed=1; }
[ $failed = 0 ] && echo "all passed"
exit $failed
