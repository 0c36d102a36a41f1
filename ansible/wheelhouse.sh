#!/bin/sh
# Fills a directory with all wheels that a deployment needs, for a site without an index.
#   sh ansible/wheelhouse.sh DIR [MACHINE...]     aarch64 by default; x86_64 for a broker on a PC
# Then: quartet_wheelhouse: DIR in the inventory. Wheels are for Python 3.11 (bookworm) and 3.13
# (trixie), and for this machine's Python, which builds the rest; all are those that the pins name.
set -eu

[ $# -ge 1 ] || { echo "usage: sh ansible/wheelhouse.sh DIR [MACHINE...]" >&2; exit 2; }
mkdir -p "$1"
to=$(cd "$1" && pwd)
shift
[ $# -ge 1 ] || set -- aarch64
pins=$(cd "$(dirname "$0")/../requirements" && pwd)

python=$(mktemp -d)
trap 'rm -rf "$python"' EXIT
"${PYTHON:-python3}" -m venv "$python"
pip="$python/bin/pip --quiet --disable-pip-version-check"

download() {
    $pip download --dest "$to" --only-binary :all: --require-hashes "$@"
}

for machine in "$@"; do
    for version in 3.11 3.13; do
        # bookworm has glibc 2.36; pip wants each older tag by its name.
        set -- --platform "manylinux2014_$machine"
        for minor in 17 24 26 27 28 31 34 35 36; do
            set -- "$@" --platform "manylinux_2_${minor}_$machine"
        done
        for side in agent broker; do
            download --python-version "$version" "$@" --requirement "$pins/$side.txt"
        done
    done
done
download --requirement "$pins/build.txt" --requirement "$pins/broker.txt"
$pip install --no-index --find-links "$to" --requirement "$pins/build.txt"
$pip wheel --wheel-dir "$to" --no-deps --no-build-isolation --require-hashes \
    --requirement "$pins/source.txt"
echo "$(find "$to" -name '*.whl' | wc -l) wheels in $to"
