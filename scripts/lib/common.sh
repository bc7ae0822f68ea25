# SPDX-License-Identifier: MIT
# What scripts/test, demo and bench share: packages, the build, the guest's kernel and initramfs.
# Sourced by bash with set -eu; $top is the source tree.

KR_CACHE=${KRYPTON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/krypton}

# Everything a fresh Debian 12 lacks. Tools for the build, then libraries, then what tests use.
KR_PACKAGES_BUILD="gcc make autoconf automake libtool pkg-config python3 gcc-multilib
    zlib1g-dev libbz2-dev liblzma-dev liblz4-dev libzstd-dev libyajl-dev uuid-dev libseccomp-dev
    libsystemd-dev libzydis-dev libcmocka-dev"
KR_PACKAGES_RUN="cpio gzip xz-utils util-linux"
KR_PACKAGES_TEST="clang libclang-rt-14-dev llvm-14 libxen-dev acpica-tools mandoc bash-completion systemd"
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
    # The cloud kernel has no modules for a domain 0.
    if ! [ -e "$dir/vmlinuz" ] || ! [ -d "$dir/xen" -o "$flavour" = cloud-amd64 ]; then
        pkg=$(apt-cache depends "linux-image-$flavour" 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n1)
        if [ -z "$pkg" ]; then
            as_root apt-get -qq update >/dev/null
            pkg=$(apt-cache depends "linux-image-$flavour" | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n1)
        fi
        [ -n "$pkg" ] || die "Debian has no linux-image-$flavour here"
        say "fetching $pkg"
        rm -rf "$dir.new" && kr_debs "$dir.new" "$pkg"
        # Of the modules only those of a domain 0 are used; they are large.
        mkdir "$dir.new/xen"
        find "$dir.new/lib/modules" -path '*/kernel/drivers/xen/*.ko' -exec cp {} "$dir.new/xen/" \;
        rm -rf "$dir.new/lib" "$dir.new/usr"
        (cd "$dir.new" && ln -s boot/vmlinuz-* vmlinuz)
        # Others may be reading the old one.
        rm -rf "$dir.old"; [ ! -e "$dir" ] || mv "$dir" "$dir.old"
        mv "$dir.new" "$dir" && rm -rf "$dir.old"
    fi
    echo "$dir/vmlinuz"
}

# kr_cpio DIR: an initramfs of a folder, on stdout.
kr_cpio() {
    mkdir -p "$KR_CACHE"
    (cd "$1" && find . | LC_ALL=C sort | cpio --quiet -R 0:0 -H newc -o)
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
        kr_cpio "$root" | gzip -9n >"$out.$$"
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

# kr_dom0_initramfs: prints the path of an initramfs for a Xen domain 0 (linux-amd64's): busybox, the kernel's Xen
# modules, and Debian's own toolstack with Debian's own libraries down to /dev/xen. Not compressed: who unpacks it
# is often an interpreter, and more can be put behind it.
kr_dom0_initramfs() {
    local out="$KR_CACHE/dom0-$(sha256sum "$top/scripts/lib/common.sh" | cut -c1-12).cpio" tmp root a
    if ! [ -e "$out" ]; then
        tmp=$(mktemp -d); root=$tmp/root
        local xen kernel; xen=$(kr_stock_xen) kernel=$(kr_kernel amd64)
        kr_debs "$tmp/debs" busybox-static libc6 libgcc-s1 libuuid1 liblzma5 zlib1g libzstd1 libxencall1 libxendevicemodel1 \
            libxenevtchn1 libxenforeignmemory1 libxengnttab1 libxenhypfs1 libxenstore4 libxentoolcore1 libxentoollog1
        mkdir -p "$root"/{bin,sbin,etc/xen,proc,sys,dev,tmp,run/xen,run/xenstored,run/lock,root,lib64} \
            "$root"/usr/{bin,lib/x86_64-linux-gnu,lib/xen-4.17/bin} "$root"/var/{lib/xen,lib/xenstored,log/xen/console}
        ln -s ../run "$root/var/run"; ln -s ../run/lock "$root/var/lock"
        cp "$tmp/debs/bin/busybox" "$root/bin/"
        for a in sh ash cat ls ps grep head tail wc cut mount umount mkdir rm cp mv ln sleep date echo dmesg free uname \
                 kill setsid cttyhack insmod lsmod env test true false stty hexdump time top vi sed awk cmp; do
            ln -s busybox "$root/bin/$a"
        done
        for a in init poweroff reboot halt; do ln -s ../bin/busybox "$root/sbin/$a"; done
        ln -s sbin/init "$root/init"
        cp "${kernel%/*}"/xen/{xen-privcmd,xen-evtchn,xen-gntdev,xen-gntalloc,xenfs}.ko "$root/usr/lib/"
        for a in xl xenstored xenconsoled xenconsole xen-init-dom0 lsevtchn; do
            cp "$xen/usr/lib/xen-4.17/bin/$a" "$root/usr/lib/xen-4.17/bin/"
        done
        cp -a "$xen"/usr/bin/xenstore* "$root/usr/bin/"
        # Exactly the libraries that these programs name, and those that the libraries name; one is only asked for by
        # the C library, when a thread is cancelled.
        cp -L "$tmp"/debs/lib/x86_64-linux-gnu/libgcc_s.so.1 "$root/usr/lib/x86_64-linux-gnu/"
        kr_libraries "$root" "$xen/usr/lib/x86_64-linux-gnu" "$xen/lib/x86_64-linux-gnu" \
            "$tmp/debs/usr/lib/x86_64-linux-gnu" "$tmp/debs/lib/x86_64-linux-gnu"
        cp -L "$tmp/debs"/lib64/ld-linux-x86-64.so.2 "$root/lib64/" 2>/dev/null ||
            cp -L "$tmp/debs"/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$root/lib64/"
        printf '::sysinit:/etc/rc\nconsole::respawn:-/bin/sh\n::ctrlaltdel:/sbin/reboot\n' >"$root/etc/inittab"
        printf 'export PS1="dom0# " TERM=${TERM:-vt100} PATH=/bin:/sbin:/usr/bin:/usr/lib/xen-4.17/bin\n' \
            >"$root/etc/profile"
        : >"$root/etc/xen/xl.conf"
        cat >"$root/etc/rc" <<'RC'
#!/bin/sh
. /etc/profile
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
for m in xen-privcmd xenfs xen-evtchn xen-gntdev xen-gntalloc; do insmod /usr/lib/$m.ko; done
mount -t xenfs xenfs /proc/xen
echo "KRYPTON-DOM0-UP $(cut -d' ' -f1 /proc/uptime)"
RC
        chmod 755 "$root/etc/rc"
        kr_cpio "$root" >"$out.$$"
        mv "$out.$$" "$out"
        rm -rf "$tmp"
    fi
    echo "$out"
}

# kr_libraries ROOT DIR...: copies from the first DIR that has it every shared library that the programs in ROOT
# need, and the libraries these need.
kr_libraries() {
    local root=$1 to="$1/usr/lib/x86_64-linux-gnu" more=1 name dir found; shift
    while [ "$more" = 1 ]; do
        more=0
        for name in $(find "$root/usr" -type f \( -perm -100 -o -name '*.so*' \) ! -name '*.ko' -print0 |
                      xargs -0 readelf -d 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | LC_ALL=C sort -u); do
            [ "$name" != ld-linux-x86-64.so.2 ] && ! [ -e "$to/$name" ] || continue
            found=
            for dir in "$@"; do
                [ -n "$found" ] || ! [ -e "$dir/$name" ] || found=$dir/$name
            done
            [ -n "$found" ] || die "a program of domain 0's needs $name, which no package here has"
            cp -L "$found" "$to/$name"
            more=1
        done
    done
}

# kr_missing PACKAGE...: prints those, and what they need, that are not installed here.
kr_missing() {
    local plan
    plan=$(apt-get -qq -s --no-install-recommends install "$@" 2>/dev/null) || {
        as_root apt-get -qq update >/dev/null
        plan=$(apt-get -qq -s --no-install-recommends install "$@") || die "apt-get finds no way to install: $*"
    }
    sed -n 's/^Inst \([^ ]*\).*/\1/p' <<<"$plan"
}

# kr_stock_libvirt: prints the folder of Debian's libvirtd with its Xen driver, its client, and the libraries that this
# system lacks: fetched once, never installed. They stand on the libraries of kr_stock_xen.
kr_stock_libvirt() {
    local dir="$KR_CACHE/stock-libvirt-9.0" own="libvirt-daemon libvirt-daemon-driver-xen libvirt-clients libvirt0" also
    if ! [ -e "$dir/usr/sbin/libvirtd" ]; then
        say "fetching Debian's libvirt"
        # shellcheck disable=SC2086
        also=$(kr_missing $own | sed -E '/^(libvirt|libxen|dmidecode)/d')
        rm -rf "$dir.new"
        # shellcheck disable=SC2086
        kr_debs "$dir.new" $own $also
        rm -rf "$dir" && mv "$dir.new" "$dir"
    fi
    echo "$dir"
}
