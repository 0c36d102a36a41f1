#!/bin/sh
# Sees to what the tests need from Debian: installs it where that needs no
# password, names the one command where it does. Elsewhere than on Debian the
# tests of journald, and of clocks that step, are left out.
#   sh tests/debian.sh PYTHON
set -eu

missing=
want() { missing="$missing $1"; }

if ! command -v dpkg >/dev/null; then
    echo "not Debian: the tests of journald and of stepping clocks will be skipped" >&2
    exit 0
fi
command -v cc >/dev/null || want gcc
command -v pkg-config >/dev/null || want pkg-config
pkg-config --exists libsystemd 2>/dev/null || want libsystemd-dev
[ -x /lib/systemd/systemd-journald ] || want systemd
command -v unshare >/dev/null || want util-linux
command -v faketime >/dev/null || want faketime
"$1" -c 'import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || want python3-dev

[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
    sudo=
elif sudo -n true 2>/dev/null; then
    sudo=sudo
else
    echo "the tests need these packages; run: sudo apt-get install$missing" >&2
    exit 1
fi
# shellcheck disable=SC2086 # words on purpose
$sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
