"""The torture run, a short one, as `make chaos` does a long one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.schedule import KINDS

TESTS = Path(__file__).parents[1]

# `make chaos` draws another seed each time.
SEED = 36

_CHAOS = (sys.executable, "-m", "chaos")


@pytest.mark.skipif(sys.platform != "linux", reason="signals, /proc and mounts are Linux's")
@pytest.mark.timeout(900)
def test_every_sample_gets_one_prediction_whatever_goes_wrong() -> None:
    search = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        # each kind of fault once
        [*_CHAOS, f"--seed={SEED}", f"--faults={len(KINDS)}", "--samples=2000"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    left_out = [line for line in done.stdout.splitlines() if line.startswith("left out: ")]
    if left_out:
        pytest.skip(f"passed, but {'; '.join(left_out)}")
