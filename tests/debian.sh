#!/bin/sh
# Installs the Debian packages that the tests need: says which ones first, and asks nothing. Where
# that needs a password, it prints the command instead. With NO_INSTALL=1 it installs nothing, and
# the tests that need those packages are skipped; so they are on a system that is not Debian.
#   [NO_INSTALL=1] sh tests/debian.sh PYTHON
set -eu

missing=
want() { missing="$missing $1"; }

if ! command -v dpkg >/dev/null; then
    echo "not Debian: tests of journald, of clock changes, of pages and of Prometheus may be skipped" >&2
    exit 0
fi
command -v cc >/dev/null || want gcc
command -v pkg-config >/dev/null || want pkg-config
pkg-config --exists libsystemd 2>/dev/null || want libsystemd-dev
[ -x /lib/systemd/systemd-journald ] || want systemd
command -v unshare >/dev/null || want util-linux
command -v faketime >/dev/null || want faketime
command -v chromium >/dev/null || want chromium
command -v curl >/dev/null || want curl
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || want postgresql
[ -x /usr/sbin/pgbouncer ] || want pgbouncer
command -v prometheus >/dev/null || want prometheus
[ -x /usr/sbin/mosquitto ] || want mosquitto
"$1" -c 'import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || want python3-dev

[ -n "$missing" ] || exit 0
if [ -n "${NO_INSTALL:-}" ]; then
    echo "NO_INSTALL: tests that need these Debian packages will be skipped:$missing" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    sudo=
elif sudo -n true 2>/dev/null; then
    sudo=sudo
else
    echo "the tests need these Debian packages; run: sudo apt-get install$missing" >&2
    echo "or skip the tests that need them: make test NO_INSTALL=1" >&2
    exit 1
fi
echo "installing these Debian packages for the tests:$missing" >&2
# Another checkout may do the same now, or the system its updates: those are waited for.
# shellcheck disable=SC2016,SC2086 # the inner shell's; words on purpose
$sudo flock /var/lib/apt/lists sh -euc '
    apt-get update -qq
    case " $* " in *" postgresql "*) # without a server of its own
        mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf ;;
    esac
    for each in pgbouncer prometheus mosquitto; do # nor one of these as a service
        case " $* " in *" $each "*)
            unit=/etc/systemd/system/$each.service
            [ -e "$unit" ] || ln -sf /dev/null "$unit" ;;
        esac
    done
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=600 "$@" >/dev/null
' sh $missing
