#!/bin/sh
# Makes the committed stubs in proto/wire/ from proto/databroker.proto and proto/state.proto.
#   sh proto/generate.sh                write them
#   sh proto/generate.sh --check        write nothing; fail if they are not what the proto gives
#   sh proto/generate.sh --starter DIR  write a server and a client of your own into a new DIR
#
# The generator is the oldest that is supported: generated code refuses a
# runtime that is older than its maker. It lives in a virtual environment of
# its own under $STUBS_VENV, so that it never mixes with the project's.
set -eu

generator=grpcio-tools==1.72.1
proto=$(cd "$(dirname "$0")" && pwd)
venv=${STUBS_VENV:-$proto/../.venv-stubs}
stamp=$venv/$generator

case $#:${1:-} in
    0: | 1:--check) ;;
    2:--starter)
        if [ -n "$(ls -A "$2" 2>/dev/null)" ]; then
            echo "generate.sh: $2 has files in it: name a new directory" >&2
            exit 2
        fi ;;
    *) echo "usage: sh proto/generate.sh [--check | --starter DIR]" >&2; exit 2 ;;
esac

if [ ! -e "$stamp" ]; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$generator"
    touch "$stamp"
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# stubs -I... FILE: makes the stubs of a file in $out
stubs() {
    "$venv/bin/python" -m grpc_tools.protoc \
        --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" "$@"
}

if [ "${1:-}" = --starter ]; then
    stubs -I"$proto" databroker.proto
    mkdir -p "$2"
    cp "$out"/* "$proto"/starter/* "$proto/databroker.proto" "$proto/../dataset/sensors.csv" "$2"
    cat <<END
In $2, in a virtual environment:  pip install -r requirements.txt
Then, each in a terminal of its own:
  python server.py
  python client.py
END
    exit
fi

stubs -Iwire="$proto" wire/databroker.proto wire/state.proto
status=0
for name in databroker_pb2.py databroker_pb2.pyi databroker_pb2_grpc.py state_pb2.py state_pb2.pyi; do
    if [ "${1:-}" != --check ]; then
        cp "$out/wire/$name" "$proto/wire/$name"
    elif ! diff -u "$proto/wire/$name" "$out/wire/$name"; then
        echo "proto/wire/$name is not what the proto gives: run 'sh proto/generate.sh'" >&2
        status=1
    fi
done
exit $status
