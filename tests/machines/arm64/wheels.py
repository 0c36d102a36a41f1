"""What a device without a network installs from: wheels for arm64, by the pins in requirements/."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
PINS = REPOSITORY / "requirements" / "agent.txt"

# Published as source only; plain Python, so that a wheel made here is one for there.
SOURCE_PINS = PINS.with_name("source.txt")

# What Debian bookworm's C library (2.36) bears, and its Python.
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_28_aarch64", "manylinux_2_34_aarch64")
PYTHON = "311"


def cache() -> Path:
    """Where what takes long is kept from run to run."""
    given = os.environ.get("QUARTET_CACHE")
    return (Path(given) if given else Path.home() / ".cache" / "quartet") / "arm64"


def house() -> Path:
    """A directory with a wheel for each pin; made once for these pins."""
    recipe = b"".join(path.read_bytes() for path in (Path(__file__), PINS, SOURCE_PINS))
    made = cache() / f"wheels-{hashlib.sha256(recipe).hexdigest()[:16]}"
    if not made.exists():
        part = made.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _fetch(part)
        part.rename(made)
    return made


def project(directory: Path) -> Path:
    """The wheel of this checkout, made in the directory."""
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory))
    subprocess.run([sys.executable, *build, str(REPOSITORY)], check=True, capture_output=True)
    (wheel,) = directory.glob("quartet-*.whl")
    return wheel


def _fetch(directory: Path) -> None:
    platforms = [f"--platform={name}" for name in PLATFORMS]
    kinds = ("--no-deps", "--only-binary=:all:", f"--python-version={PYTHON}", *platforms)
    _pip("download", f"--dest={directory}", *kinds, "--require-hashes", f"--requirement={PINS}")
    pinned = ("--no-deps", "--require-hashes", f"--requirement={SOURCE_PINS}")
    _pip("wheel", f"--wheel-dir={directory}", *pinned)


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"pip {arguments[0]}: {done.stderr}")
