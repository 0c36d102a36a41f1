"""The torture run of a fleet, a short one; and that it finds what a fleet without a fence does."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.postgres import is_there

TESTS = Path(__file__).parents[2]

# `make chaos-fleet` draws another seed each time. This one freezes brokers six times.
SEED = 44

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="signals, /proc and mounts are Linux's"),
    pytest.mark.skipif(not is_there(), reason="the Debian package postgresql is not installed"),
    pytest.mark.timeout(900),
]


def torture(*options: str) -> subprocess.CompletedProcess[str]:
    search = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory(prefix="quartet-fleet-") as place:
        Path(place).chmod(0o755)  # the database's servers belong to another user
        return subprocess.run(
            [sys.executable, "-m", "chaos.fleet", *options],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search), "TMPDIR": place},
            capture_output=True,
            text=True,
            check=False,
        )


def figure(name: str, told: str) -> int:
    match = re.search(rf"^{name} +(\d+)$", told, re.MULTILINE)
    assert match, told
    return int(match[1])


def test_predictions_are_those_of_an_undisturbed_run_whatever_goes_wrong() -> None:
    done = torture(f"--seed={SEED}", "--minutes=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert figure("refused", done.stdout) == figure("woken owners", done.stdout) > 0
    if left_out := re.search("^left out: .*", done.stdout, re.MULTILINE):
        pytest.skip(f"passed, but {left_out[0]}")


def test_without_the_fence_it_fails() -> None:
    """Brokers that were frozen write when they wake, beside those that serve their agents now."""
    options = ("--seed=1", "--minutes=0.15", "--kinds=freeze-broker", "--predictor=chart")
    done = torture("--without-fence", *options)
    assert done.returncode == 1, done.stdout + done.stderr
    assert figure("refused", done.stdout) < figure("woken owners", done.stdout)
    assert "samples recorded twice" in done.stdout
    assert "the broker's ledger ends with 1" in done.stdout
