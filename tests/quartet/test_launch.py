"""A foreign package that has the name of one of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import quartet

PROGRAMS = ["agent", "broker"]
_START = "import sys; from quartet.launch import {0}; sys.argv[1:] = ['--version']; {0}()"


def start(program: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Print the version, by the function that the console script calls."""
    return subprocess.run(
        [sys.executable, "-c", _START.format(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_other_package_is_no_warning(program: str) -> None:
    done = start(program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("quartet-edge ")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", ["{}/__init__.py", "{}.py"])
def test_one_that_is_found_first_is_named_and_ours_is_used(
    program: str, name: str, tmp_path: Path
) -> None:
    foreign = tmp_path / name.format(program)
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("raise SystemExit('the foreign one runs')\n")
    done = start(program, tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("quartet-edge ")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{program}: warning: Python finds a foreign {program!r} first")
    assert str(foreign) in line


def test_one_that_was_installed_over_ours_is_named(tmp_path: Path) -> None:
    ours = Path(quartet.__file__).parents[1]
    for package in ("quartet", "broker"):
        (tmp_path / package).mkdir()
        for path in (ours / package).iterdir():
            (tmp_path / package / path.name).symlink_to(path)
    (tmp_path / "quartet" / "launch.py").unlink()
    (tmp_path / "quartet" / "launch.py").write_bytes((ours / "quartet" / "launch.py").read_bytes())
    (tmp_path / "broker" / "__init__.py").unlink()
    (tmp_path / "broker" / "__init__.py").write_text('"""A message queue."""\n')
    info = tmp_path / "queues-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: queues\nVersion: 1.0\n")
    (info / "RECORD").write_text("broker/__init__.py,,\n")
    done = start("broker", tmp_path)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert f"queues has overwritten files in {tmp_path / 'broker'}" in line
