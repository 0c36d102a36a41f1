"""What `make dist` makes: the same bytes each time, and all that a release needs."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = "0.1.0"
RELEASE = f"quartet_edge-{VERSION}"
FILES = {
    *("SHA256SUMS", f"{RELEASE}-py3-none-any.whl", f"{RELEASE}.tar.gz"),
    *(f"{RELEASE}.changes.md", f"{RELEASE}.agent.cdx.json", f"{RELEASE}.broker.cdx.json"),
}

pytestmark = pytest.mark.timeout(900)  # the first run installs the pinned tools


def copied(project: Path, to: Path) -> Path:
    """A copy of a project without what was made in it."""
    ignored = shutil.ignore_patterns(
        *(".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "build", "dist", "*.egg-info")
    )
    shutil.copytree(project, to, ignore=ignored)
    return to


def made(project: Path, out: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Make a release; one process at a time, as it makes an environment for its tools."""
    tools = Path(sys.prefix, "release")
    with Path(sys.prefix, "release.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.run(
            ["sh", project / "requirements" / "release.sh", out],
            env={**os.environ, "PYTHON": sys.executable, "RELEASE_VENV": str(tools)},
            capture_output=True,
            text=True,
            check=False,
            **options,
        )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is now: somebody may edit it while the tests run."""
    return copied(ROOT, tmp_path_factory.mktemp("release") / "project")


@pytest.fixture(scope="module")
def release(project: Path) -> Path:
    """The files of a release, made from files that git knows nothing of."""
    dist = project.parent / "dist"
    done = made(project, dist)
    assert done.returncode == 0, done.stderr
    return dist


def test_it_has_all_files_and_their_sums(release: Path) -> None:
    assert {path.name for path in release.iterdir()} == FILES
    lines = (release / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert sums.keys() == FILES - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((release / name).read_bytes()).hexdigest() == digest


def test_a_commit_gives_the_same_bytes_whatever_lies_beside_it(
    project: Path, release: Path, tmp_path: Path
) -> None:
    committed = copied(project, tmp_path / "elsewhere")
    git = ("git", "-C", committed, "-c", "user.name=A", "-c", "user.email=a@localhost")
    for command in (["init", "-q"], ["add", "--all"], ["commit", "-qm", "All of it"]):
        subprocess.run([*git, *command], check=True)
    (committed / "agent" / "stray.py").write_text("print('not committed')\n")
    for path in committed.rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (1e9, 1e9))
    done = made(committed, tmp_path / "dist", umask=0o077)
    assert done.returncode == 0, done.stderr
    assert "uncommitted changes are not in this release" in done.stderr
    assert (tmp_path / "dist" / "SHA256SUMS").read_text() == (release / "SHA256SUMS").read_text()


def test_its_sdist_gives_the_same_wheel(release: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(release / f"{RELEASE}.tar.gz", tmp_path, filter="data")
    done = made(tmp_path / RELEASE, tmp_path / "dist")
    assert done.returncode == 0, done.stderr
    wheel = f"{RELEASE}-py3-none-any.whl"
    assert (tmp_path / "dist" / wheel).read_bytes() == (release / wheel).read_bytes()


def test_its_changes_are_those_of_its_version_alone(release: Path) -> None:
    text = (release / f"{RELEASE}.changes.md").read_text("utf-8")
    assert [line.split(",")[0] for line in re.findall("^## .*", text, re.MULTILINE)] == [
        f"## {VERSION}"
    ]
    assert "\n- " in text


@pytest.mark.parametrize(("side", "pins"), [("agent", ["agent", "source"]), ("broker", ["broker"])])
def test_its_bill_of_materials_lists_each_pin_with_its_hashes(
    release: Path, side: str, pins: list[str]
) -> None:
    text = "".join((ROOT / "requirements" / f"{name}.txt").read_text("utf-8") for name in pins)
    pinned = re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)
    bill = json.loads((release / f"{RELEASE}.{side}.cdx.json").read_text("utf-8"))
    root = bill["metadata"]["component"]
    assert (bill["bomFormat"], root["name"], root["version"]) == (
        *("CycloneDX", "quartet-edge", VERSION),
    )
    assert {(each["name"], each["version"]) for each in bill["components"]} == set(pinned)
    hashes = {
        found["content"]
        for each in bill["components"]
        for reference in each["externalReferences"]
        for found in reference["hashes"]
    }
    assert hashes == set(re.findall(r"--hash=sha256:(\w+)", text))


def test_a_version_without_changes_is_refused(project: Path, tmp_path: Path) -> None:
    unchanged = copied(project, tmp_path / "project")
    changelog = unchanged / "CHANGELOG.md"
    changelog.write_text(changelog.read_text("utf-8").replace(f"## {VERSION}", "## 0.0.1"), "utf-8")
    done = made(unchanged, tmp_path / "dist")
    assert done.returncode == 1
    assert f"CHANGELOG.md has no section '## {VERSION}'" in done.stderr
    assert not list((tmp_path / "dist").iterdir())
