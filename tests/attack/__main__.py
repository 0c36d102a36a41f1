"""The long run, as `make attack` starts it: python -m attack, with tests on the path."""

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from support.processes import let_children_be_signalled

from attack.attacks import ATTACKS, Target
from attack.plant import under_attack

_DATASET = Path(__file__).parents[2] / "dataset" / "sensors.csv"


def idle(_: Target, seconds: int) -> str:
    """No attack, to compare with. Nearly all of them end sooner."""
    time.sleep(seconds)
    return "no attack"


def main() -> int:
    """Attack, and tell; 0 where the agent was served through all of it."""
    parser = argparse.ArgumentParser(prog="python -m attack", allow_abbrev=False)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    seed = parser.parse_args().seed
    let_children_be_signalled()
    print(f"seed {seed}\n{'attack':20}{'seconds':>8}{'answered':>10}{'p99 ms':>8}{'RSS MB':>12}")
    failures, answered, last_mb = 0, 0, 0
    with (
        tempfile.TemporaryDirectory(prefix="quartet-attack-") as home,
        under_attack(Path(home), _DATASET, seed) as plant,
    ):
        for attack, count in {idle: 2, **ATTACKS}.items():
            began_s = time.monotonic()
            try:
                outcome = plant.attack(attack, count)
            except AssertionError as error:
                failures += 1
                print(f"{attack.__name__:20}FAILED: {error}")
                continue
            before_mb, last_mb = outcome.rss_mb
            answered += outcome.answered
            print(
                f"{attack.__name__:20}{time.monotonic() - began_s:8.1f}{outcome.answered:10}"
                f"{outcome.p99_ms:8.1f}{before_mb:6} {last_mb:5}  {outcome.came_of_it}",
                flush=True,
            )
    print(f"{answered} samples of the agent were answered meanwhile; {failures} attacks succeeded")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
