#!/bin/sh
# Makes the committed stubs in proto/wire/ from proto/databroker.proto.
#   sh proto/generate.sh          write them
#   sh proto/generate.sh --check  write nothing; fail if they are not what the proto gives
#
# The generator is the oldest that is supported: generated code refuses a
# runtime that is older than its maker. It lives in a virtual environment of
# its own under $STUBS_VENV, so that it never mixes with the project's.
set -eu

generator=grpcio-tools==1.72.1
proto=$(cd "$(dirname "$0")" && pwd)
venv=${STUBS_VENV:-$proto/../.venv-stubs}
stamp=$venv/$generator

case ${1:-} in
    '' | --check) ;;
    *) echo "usage: sh proto/generate.sh [--check]" >&2; exit 2 ;;
esac

if [ ! -e "$stamp" ]; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$generator"
    touch "$stamp"
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$venv/bin/python" -m grpc_tools.protoc -Iwire="$proto" \
    --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" \
    wire/databroker.proto

status=0
for name in databroker_pb2.py databroker_pb2.pyi databroker_pb2_grpc.py; do
    if [ "${1:-}" != --check ]; then
        cp "$out/wire/$name" "$proto/wire/$name"
    elif ! diff -u "$proto/wire/$name" "$out/wire/$name"; then
        echo "proto/wire/$name is not what the proto gives: run 'sh proto/generate.sh'" >&2
        status=1
    fi
done
exit $status
