#!/bin/sh
# Runs a command with a journald of its own: in a private mount namespace, with
# its journal in memory. It ends with the command; nothing outside sees it.
#   sh tests/support/journald.sh COMMAND [ARGUMENT...]
# As root, or where users may make user namespaces.
set -eu

if [ -z "${PRIVATE_JOURNALD:-}" ]; then
    export PRIVATE_JOURNALD=1
    [ "$(id -u)" = 0 ] || exec unshare --user --map-root-user --mount --propagation private sh "$0" "$@"
    exec unshare --mount --propagation private sh "$0" "$@"
fi

mkdir -p /run/systemd /run/log
for directory in /run/systemd /run/log; do
    mount -t tmpfs tmpfs "$directory"
done
if [ -d /var/log/journal ]; then mount -t tmpfs tmpfs /var/log/journal; fi
mkdir -p /run/systemd/journald.conf.d /run/systemd/journal /run/log/journal
cat >/run/systemd/journald.conf.d/private.conf <<'CONF'
[Journal]
Storage=volatile
RateLimitIntervalSec=0
ForwardToSyslog=no
ForwardToWall=no
ReadKMsg=no
Audit=no
CONF

/lib/systemd/systemd-journald &
journald=$!
trap 'kill $journald; wait $journald || true' EXIT
tries=0
until [ -S /run/systemd/journal/socket ] && [ -S /run/systemd/journal/stdout ]; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] || { echo "journald does not start" >&2; exit 1; }
    sleep 0.02
done
"$@"
