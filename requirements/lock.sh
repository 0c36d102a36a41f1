#!/bin/sh
# Makes the pins in requirements/ from the ranges in pyproject.toml.
#   sh requirements/lock.sh            keep each pin that is still in its range
#   sh requirements/lock.sh --upgrade  take the newest versions in the ranges
#
# One file serves all supported versions of Python and all machines; hashes are
# of all files of a release. The resolver reads no pip configuration. It lives
# in a virtual environment of its own under $LOCK_VENV, so that it never mixes
# with the project's.
set -eu

resolver=uv==0.13.9
oldest_python=3.11  # requires-python of pyproject.toml
source_only=adafruit-extended-bus
here=$(cd "$(dirname "$0")" && pwd)
venv=${LOCK_VENV:-$here/../.venv-lock}
stamp=$venv/$resolver

case ${1:-} in
    '' | --upgrade) ;;
    *) echo "usage: sh requirements/lock.sh [--upgrade]" >&2; exit 2 ;;
esac

if [ ! -e "$stamp" ]; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$resolver"
    touch "$stamp"
fi

# pin NAME UV_ARGUMENT...: writes requirements/NAME.txt
pin() {
    name=$1
    shift
    "$venv/bin/uv" --no-config pip compile --quiet --universal --python-version "$oldest_python" \
        --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        --output-file "$here/$name.txt" "$@"
    if grep -nE '://|^-' "$here/$name.txt"; then
        echo "requirements/$name.txt names a place to download from: it must not" >&2
        exit 1
    fi
}

cd "$here/.."
# Every installation has grpcio as a dependency; only the agent imports it.
pin broker "$@" --extra broker --extra console --extra fleet --extra mqtt \
    --no-emit-package grpcio pyproject.toml
# Both sides of the wire have the same versions. What is published as source alone is
# built where a device is deployed from, and not on it.
pin agent "$@" --extra pi --extra mqtt --constraint "$here/broker.txt" \
    --no-emit-package "$source_only" pyproject.toml
"$venv/bin/python" -c '
import re, sys, tomllib
with open("pyproject.toml", "rb") as file:
    pi = tomllib.load(file)["project"]["optional-dependencies"]["pi"]
print(*[of for of in pi if re.match(sys.argv[1] + r"\b", of)], sep="\n")
' "$source_only" | pin source --no-deps "$@" -
# What makes the files of a release.
pin release "$@" --group release
# What makes the wheels: ours, and of that source.
"$venv/bin/python" -c '
import tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["build-system"]["requires"], sep="\n")
print("setuptools", "setuptools-scm", sep="\n")
' | pin build "$@" -
