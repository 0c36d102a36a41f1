#!/bin/sh
# Makes, once, what a whole arm64 machine boots from, and says where it is.
#   sh tests/machines/arm64/root.sh
#
# Needs root on a Debian machine. There are a kernel (vmlinuz) and Debian as an initramfs (root.cpio),
# kept in $QUARTET_CACHE (default ~/.cache/quartet) until this script changes. Nothing of the
# machine that runs this is changed: what runs foreign programs is registered in a namespace.
set -eu

suite=bookworm # as Raspberry Pi OS, whose Python is 3.11
packages=systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,iproute2,kmod,ca-certificates
packages=$packages,python3,python3-venv,python3-apt,python3-systemd,python3-gpiozero
packages=$packages,python3-packaging,python3-setuptools,i2c-tools,gpiod
modules='cuse virtio_mmio virtio_net'
lgpio=lgpio==0.2.2.0 # Raspberry Pi OS has it as python3-lgpio, Debian not before trixie

die() {
    echo "root.sh: $*" >&2
    exit 1
}

if [ "${1:-}" != --private ]; then # so that no mount outlives this
    exec unshare --mount nice -n 5 sh "$0" --private
fi

# failed WHY: with the end of the log
failed() {
    tail -n 20 "$new/log" >&2
    die "$1"
}

# ---- what it needs

missing=''
for tool in debootstrap:debootstrap cpio:cpio depmod:kmod qemu-aarch64-static:qemu-user-static \
    qemu-system-aarch64:qemu-system-arm fdtput:device-tree-compiler ssh:openssh-client \
    unshare:util-linux; do
    command -v "${tool%:*}" >/dev/null || missing="$missing ${tool#*:}"
done
install="apt-get install --yes --no-install-recommends$missing"
[ "$(id -u)" = 0 ] || die "needs root"
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || die "missing:$missing; on Debian: '$install'"
    echo "installing$missing" >&2
    apt-get update >/dev/null || die "'apt-get update' failed"
    DEBIAN_FRONTEND=noninteractive $install >/dev/null || die "'$install' failed"
fi

cache=${QUARTET_CACHE:-$HOME/.cache/quartet}/arm64
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # one at a time
made=$cache/$(sha256sum "$0" | cut -c 1-16)
if [ -d "$made" ]; then
    echo "$made"
    exit
fi
echo "making an arm64 root in $made (once, some ten minutes)" >&2
new=$cache/new
rm -rf "$new" # what a killed run left
mkdir -p "$new/root" "$new/apt/lists/partial" "$new/apt/archives/partial"

# mirror: the Debian mirror in this machine's own apt sources
mirror() {
    # shellcheck disable=SC2016 # apt-get fills them in
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian|Debian|//p' | head -n 1
}
[ -n "$(mirror)" ] || apt-get update >/dev/null
[ -n "$(mirror)" ] || die "no Debian mirror in this machine's apt sources"

# ---- the kernel

# apt_arm64 COMMAND...: apt-get for arm64, with nothing of this machine's packages
apt_arm64() {
    apt-get -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
        -o Dir::State="$new/apt" -o Dir::State::status=/dev/null -o Dir::Cache="$new/apt" \
        -o Dir::Etc::sourcelist="$new/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null "$@"
}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] $(mirror) $suite main" >"$new/apt/sources.list"
{
    apt_arm64 update
    kernel=$(apt_arm64 --simulate --no-install-recommends install linux-image-arm64 |
        sed -n 's/^Inst \(linux-image-[0-9][^ ]*\) .*/\1/p')
    (cd "$new/apt" && apt_arm64 download "$kernel")
    mkdir "$new/kernel"
    dpkg-deb --extract "$new"/apt/linux-image-*.deb "$new/kernel"
} >"$new/log" 2>&1 || failed "the kernel cannot be had"

# ---- the packages

# In memory, for dpkg syncs each file.
root=$new/root
mount -t tmpfs -o size=2g,mode=755 tmpfs "$root"
debootstrap --foreign --arch=arm64 --variant=minbase --include="$packages" "$suite" "$root" \
    "$(mirror)" >>"$new/log" 2>&1 || failed "the packages cannot be had"

# The foreign programs run in a user namespace of all users, for it has a binfmt_misc of its own.
mkfifo "$new/mapped"
# shellcheck disable=SC2016 # the inner shells'
unshare --user --mount --pid --fork sh -c 'read -r _ <"$0" && exec "$@"' "$new/mapped" sh -euc '
    mount -t proc proc /proc
    if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
        mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
        cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register
    fi
    export container=lxc # a namespace makes no devices: the first half has
    exec chroot "$1" /debootstrap/debootstrap --second-stage
' - "$root" >>"$new/log" 2>&1 &
second=$!
exec 8>"$new/mapped" # returns when the shell in the namespace reads
for map in uid_map gid_map; do
    echo "0 0 65536" >"/proc/$second/$map"
done
echo >&8
wait "$second" || failed "the packages cannot be installed"

# ---- what Debian lacks, and a machine without a disk need not have

# As the package of its name, for that is what asks for it are told to install.
python3 -m venv "$new/venv" >>"$new/log" 2>&1 || failed "python3-venv is missing"
package=$new/python3-lgpio
mkdir -p "$package/DEBIAN" "$package/usr/lib/python3/dist-packages"
"$new/venv/bin/pip" download --no-deps --only-binary :all: --python-version 311 \
    --platform manylinux_2_34_aarch64 --dest "$new" "$lgpio" >>"$new/log" 2>&1 ||
    failed "$lgpio cannot be had"
python3 -m zipfile --extract "$new"/lgpio-*.whl "$package/usr/lib/python3/dist-packages"
cat >"$package/DEBIAN/control" <<END
Package: python3-lgpio
Version: ${lgpio#*==}
Architecture: all
Maintainer: Quartet
Description: $lgpio from its wheel
END
dpkg-deb --root-owner-group --build "$package" >>"$new/log" 2>&1
dpkg --root="$root" --install "$package.deb" >>"$new/log" 2>&1 || failed "$lgpio cannot be installed"
groupadd --prefix "$root" --system gpio # as on a Raspberry Pi

cp "$new"/kernel/boot/vmlinuz-* "$new/vmlinuz"
version=$(ls "$new/kernel/lib/modules")
depmod --basedir "$new/kernel" "$version"
for module in $modules; do
    modprobe --dirname "$new/kernel" --set-version "$version" --show-depends "$module"
done | sed -n "s|^insmod $new/kernel/\([^ ]*\).*|\1|p" | sort -u >"$new/modules"
(cd "$new/kernel" && cpio --quiet -pdm "$root" <"$new/modules")
cp "$new/kernel/lib/modules/$version"/modules.builtin* "$root/lib/modules/$version/"
depmod --basedir "$root" "$version" 2>>"$new/log"

rm -rf "$root"/etc/ssh/ssh_host_* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* \
    "$root"/var/log/* "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* \
    "$root"/usr/share/i18n
: >"$root/etc/machine-id"                # a new one at each start
touch "$root/etc/.updated" "$root/var/.updated" # nothing to do at the first start
(cd "$root" && find . -xdev | cpio --quiet -o -H newc) >"$new/root.cpio"

mkdir "$made.part"
mv "$new/vmlinuz" "$new/root.cpio" "$made.part"
umount "$root"
rm -rf "$new"
mv "$made.part" "$made"
echo "$made"
