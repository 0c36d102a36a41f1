#!/bin/sh
# Builds broker/Dockerfile, runs the image and asks it, without a Docker engine or an image registry.
#   make image-test
#
# Needs root on a Debian machine, and as $PYTHON one that has this project and grpcio: the image's
# peer. The base image is a stand-in of the same name, made once from Debian packages. It and all
# that buildah stores is in $QUARTET_CACHE (default ~/.cache/quartet): delete that to start afresh.
# The image runs in a network namespace of its own.
set -eu

image=localhost/databroker:v2
suite=bookworm # the Debian release whose Python is that of the image's FROM line
packages=python3,python3-venv,ca-certificates
certificates=/etc/ssl/certs/ca-certificates.crt
start_s=20
stop_s=5

cd "$(dirname "$0")/.."
exec </dev/null
passed=0 failed=0
holder='' runner='' broker=''

die() {
    echo "image_test: $*" >&2
    exit 1
}

# is WHAT GOT EXPECTED
is() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
        echo "ok    $1"
    else
        failed=$((failed + 1))
        printf 'FAIL  %s\n  expected: %s\n  got:      %s\n' "$1" "$3" "$2"
    fi
}

# holds WHAT COMMAND...
holds() {
    what=$1
    shift
    status=0
    "$@" >"$work/output" 2>&1 || status=$?
    is "$what" "exit $status" "exit 0"
    [ "$status" = 0 ] || sed 's/^/  | /' "$work/output"
}

# is_within SECONDS COMMAND...: waits until the command succeeds; fails if it does not in time.
is_within() {
    tries=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

store() { buildah --root "$cache/storage" --runroot "$cache/run" "$@"; }
config() { store inspect --type image --format "$1" "$image"; }
words() { config "{{range $1}}{{println .}}{{end}}" | sed '/^$/d'; }
in_network() { nsenter --net="/proc/$holder/ns/net" "$@"; }
in_image() { in_network buildah --root "$cache/storage" --runroot "$cache/run" \
    run "$container" -- "$@"; }
gone() { [ ! -e "/proc/$1" ]; }
listening() {
    in_network ss -Hltnp 'sport = :8061' | grep -q pid=
}

cleanup() {
    set +e
    # A buildah that is told to end kills what it runs.
    for process in $runner $holder; do
        kill "$process" && wait "$process"
    done 2>/dev/null
    if [ -n "${work:-}" ]; then
        store rm --all >/dev/null 2>&1
        store rmi --force "$image" >/dev/null 2>&1
        rm -rf "$work"
    fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- what it needs

missing=''
for tool in buildah:buildah debootstrap:debootstrap ip:iproute2 ss:iproute2 unshare:util-linux; do
    command -v "${tool%:*}" >/dev/null || missing="$missing ${tool#*:}"
done
install="apt-get install --yes --no-install-recommends$missing"
[ "$(id -u)" = 0 ] || die "needs root: sudo make image-test"
python=${PYTHON:-.venv/bin/python}
"$python" -c 'import grpc, wire' || die "$python: no grpcio or no wire: run it by 'make image-test'"
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || die "missing:$missing; on Debian: '$install'"
    echo "installing$missing"
    apt-get update >/dev/null || die "'apt-get update' failed"
    DEBIAN_FRONTEND=noninteractive $install >/dev/null || die "'$install' failed"
fi

export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
cache=${QUARTET_CACHE:-$HOME/.cache/quartet}/image-test
mkdir -p "$cache/root"
exec 9>"$cache/lock"
flock 9 # one at a time: the store is shared
work=$cache/work
rm -rf "$work" # what a killed run left
mkdir "$work"
export TMPDIR="$work"
store rm --all >/dev/null

# ---- the base image, once

base=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' broker/Dockerfile | sort -u)
recipe="$base from $suite with $packages"

# mirror: the Debian mirror in this machine's own apt sources
mirror() {
    # shellcheck disable=SC2016 # apt-get fills them in
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian|Debian|//p' | head -n 1
}

make_base() {
    [ -n "$(mirror)" ] || apt-get update >/dev/null
    [ -n "$(mirror)" ] || die "no Debian mirror in this machine's apt sources"
    new=$(store from scratch)
    # In memory, for dpkg syncs each file; in a mount namespace, so that no mount outlives it.
    # shellcheck disable=SC2016 # the inner shell's
    unshare --mount sh -euc '
        mount -t tmpfs -o size=1g,mode=755 tmpfs "$1"
        debootstrap --variant=minbase --include="$2" "$3" "$1/new" "$4"
        rm -rf "$1"/new/var/cache/apt/* "$1"/new/var/lib/apt/lists/*
        buildah --root "$5/storage" --runroot "$5/run" add --quiet "$6" "$1/new" /
    ' - "$cache/root" "$packages" "$suite" "$(mirror)" "$cache" "$new" >"$work/base.log" 2>&1 ||
        { tail -n 20 "$work/base.log"; die "the base image cannot be made"; }
    path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    store config --env "PATH=$path" "$new"
    store commit --quiet --rm "$new" "$base" >/dev/null
    echo "$recipe" >"$cache/recipe"
}

if [ "$(cat "$cache/recipe" 2>/dev/null)" != "$recipe" ] ||
    ! store inspect --type image "$base" >/dev/null 2>&1; then
    echo "making a base image: $recipe (once, a minute or two)"
    make_base
fi

# ---- the image

echo "building broker/Dockerfile"
if ! store bud --pull-never --network host --format docker \
    --volume "$certificates:$certificates:ro" --tag "$image" --file broker/Dockerfile . \
    >"$work/build.log" 2>&1; then
    tail -n 30 "$work/build.log"
    is "broker/Dockerfile builds" no yes
    echo "$passed passed, $failed failed"
    exit 1
fi
is "broker/Dockerfile builds" yes yes

is "the user is app" "$(config '{{.Docker.Config.User}}')" app
is "a health check is configured" "$(words .Docker.Config.Healthcheck.Test | tr '\n' ' ')" \
    "CMD python3 -m broker.healthcheck "
is "the command is the broker, open to other machines" "$(words .Docker.Config.Cmd | tr '\n' ' ')" \
    "broker run --listen 0.0.0.0:8061 --insecure "
is "there is no entry point" "$(words .Docker.Config.Entrypoint)" ""
is "it is stopped by SIGTERM" "$(config '{{.Docker.Config.StopSignal}}')" SIGTERM
is "port 8061 is exposed" "$(config '{{.Docker.Config.ExposedPorts}}')" 'map[8061/tcp:{}]'

# ---- the image at work, in a network namespace that has only a loopback interface

container=$(store from --pull-never "$image")
unshare --net sh -c 'ip link set lo up && exec sleep 600' 9>&- &
holder=$!
is_within "$start_s" grep -q '^sleep$' "/proc/$holder/comm" || die "no network namespace"

is "another command can be given" "$(in_image /bin/bash -c 'id -un')" app
is "python3 is of the base image's version" \
    "$(in_image python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')" \
    "$(echo "$base" | sed 's/.*:\([0-9]*\.[0-9]*\).*/\1/')"
is "the pinned packages are installed, and no other" "$(in_image python3 -c '
from importlib.metadata import distributions
names = {(d.name.lower().replace("_", "-"), d.version) for d in distributions()}
print(*sorted("==".join(n) for n in names if n[0] != "quartet-edge"), sep="\n")
')" "$(sed -n 's/^\([a-z][^ ]*==[^ ]*\).*/\1/p' requirements/broker.txt | sort)"
is "what builds, tests and drives a device is not there" "$(in_image python3 -c '
from importlib.util import find_spec
absent = """pip setuptools wheel hatchling build grpc_tools rich pytest mypy numpy onnxruntime matplotlib
    systemd gpiozero lgpio RPi smbus board adafruit_ads1x15 grpc""".split()
print(*[name for name in (*absent, "broker") if find_spec(name)])
')" broker
is "the agent's command, which needs grpcio, is not there" \
    "$(in_image sh -c 'command -v agent || :')" ""
is "nothing of the build stage is left" \
    "$(in_image sh -c 'ls -d /build /src /tmp/* /home/app/.cache 2>/dev/null || :')" ""
is "app cannot change what it runs" \
    "$(in_image sh -c 'find /opt -writable ! -type l | head -n 3')" ""

# probe: the image's own health check; its exit code and what it says
probe() {
    # shellcheck disable=SC2046 # words, as the name says
    set -- $(words .Docker.Config.Healthcheck.Test)
    shift
    in_image "$@" 2>&1
}
status=0
said=$(probe) || status=$?
is "without a broker the health check fails" "$status" 1
is "and says why" "$(echo "$said" | grep -cx '127.0.0.1:8061: no broker listens there')" 1

# shellcheck disable=SC2046
nsenter --net="/proc/$holder/ns/net" buildah --root "$cache/storage" --runroot "$cache/run" \
    run "$container" -- $(words .Docker.Config.Cmd) >"$work/broker.log" 2>&1 9>&- &
runner=$!
holds "the image's command listens on port 8061 within $start_s s" is_within "$start_s" listening
broker=$(in_network ss -Hltnp 'sport = :8061' |
    sed -n 's/.*pid=\([0-9]*\).*/\1/p')
if [ -n "$broker" ]; then
    is "it does not run as root" "$(awk '/^Uid:/ { print ($2 && $3) }' "/proc/$broker/status")" 1
    holds "the health check passes" probe

    # A plain peer by grpcio: no metadata, the next sample only after the answer to the one before. 127.0.0.2
    # is not reached when the broker listens on 127.0.0.1 alone.
    is "each sample has its answer, at once and in order" "$(in_network "$python" - <<'END'
import threading
import grpc
from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerRequest, BrokerResponse

failed = (0.1, float("nan"), 0.1, 0.1)
rows = [(0.1,) * 4, failed, failed, failed, (0.15,) * 4]
turn = threading.Semaphore()

def requests():
    for id_, (a, b, c, d) in enumerate(rows):
        turn.acquire()
        yield BrokerRequest(id=id_, sensor1=a, sensor2=b, sensor3=c, sensor4=d)

with grpc.insecure_channel("127.0.0.2:8061") as channel:
    call = channel.stream_stream(
        METHOD_PATH, BrokerRequest.SerializeToString, BrokerResponse.FromString
    )
    try:
        for answer in call(requests(), timeout=10):
            print(f"{answer.id}:{answer.prediction}", end=" ")
            turn.release()
    except grpc.RpcError as error:
        print(error.code(), error.details(), end="")
    finally:
        turn.release()
END
    )" "0:False 1:False 2:False 3:True 4:False "

    kill -TERM "$broker"
    holds "SIGTERM ends it within $stop_s s" is_within "$stop_s" gone "$broker"
    gone "$broker" || kill "$runner"
else
    kill "$runner" || : # it may have ended by itself
fi
status=0
wait "$runner" || status=$?
runner=''
is "it exits 0" "$status" 0
[ "$failed" = 0 ] || sed 's/^/  | /' "$work/broker.log"

size() { store images --format '{{.Size}}' "$1"; }
echo "size: $(size "$image"), of it $(size "$base") the base image"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
