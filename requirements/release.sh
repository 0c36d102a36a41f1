#!/bin/sh
# Makes the files of a release from the latest commit (where git is not used, from the files here).
#   sh requirements/release.sh [DIR]    writes them into DIR, which is dist by default
#
# They are the wheel, the sdist, the changes of this version, a bill of materials (CycloneDX) for
# each side from its pins, and SHA256SUMS. The same commit gives the same bytes: the tools are
# pinned, and neither times nor modes of files count. The tools live in a virtual environment of
# their own under $RELEASE_VENV, so that they never mix with the project's.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
tools=$top/requirements/release.txt
venv=${RELEASE_VENV:-$top/.venv-release}
unset SOURCE_DATE_EPOCH # hatchling has a time of its own, and the bill of materials has none

[ $# -le 1 ] || { echo "usage: sh requirements/release.sh [DIR]" >&2; exit 2; }
mkdir -p "${1:-$top/dist}"
to=$(cd "${1:-$top/dist}" && pwd)

if ! cmp -s "$tools" "$venv/release.txt"; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
        --only-binary :all: --requirement "$tools"
    cp "$tools" "$venv/release.txt"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$top out=$work/out
mkdir "$out"
if [ -e "$top/.git" ]; then
    tree=$work/tree
    mkdir "$tree"
    git -C "$top" archive --output "$work/tree.tar" HEAD
    tar --extract --file "$work/tree.tar" --directory "$tree"
    [ -z "$(git -C "$top" status --porcelain)" ] ||
        echo "release.sh: uncommitted changes are not in this release" >&2
fi
cd "$tree"

version=$("$venv/bin/hatchling" version)
release=quartet_edge-$version
awk -v version="$version" '
    /^## / { ours = ($2 == version || $2 == version ",") }
    ours
' CHANGELOG.md >"$out/$release.changes.md"
if [ ! -s "$out/$release.changes.md" ]; then
    echo "release.sh: CHANGELOG.md has no section '## $version'" >&2
    exit 1
fi

"$venv/bin/hatchling" build --directory "$out" >/dev/null

# bill SIDE PINS...: writes the bill of materials of what a side needs. The warning that it names no
# dependencies between components is left out: pins have none.
bill() {
    side=$1
    shift
    cat "$@" | "$venv/bin/python" -W ignore -m cyclonedx_py requirements --output-reproducible \
        --pyproject pyproject.toml --output-file "$out/$release.$side.cdx.json" -
}
bill agent requirements/agent.txt requirements/source.txt
bill broker requirements/broker.txt

(cd "$out" && sha256sum "$release"* >SHA256SUMS)
cp "$out"/* "$to"
echo "in $to:"
cat "$out/SHA256SUMS"
