"""Where the broker's processor time goes, with a store and `chart` on; prints one table."""

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from bench import figures
from bench.child import Child, ChildError
from bench.load import Report

_RUN = ("run", "--listen", "127.0.0.1:0", "--predictor", "chart", "--store")
_STREAMS = 100
# Longer than any load takes by its own deadlines.
_LOAD_S = 120.0
# Rooms with less than this share of the whole are added up.
_LEAST = 0.01


def measure(seconds: float) -> dict[str, float]:
    """Microseconds for each sample, by room, at 100 streams of 20 samples/s.

    Raises:
        ChildError: the broker or the load failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "used.json")
        with Child("bench.sampled", str(file), *_RUN, f"{folder}/broker.db") as broker:
            target = ("--broker", broker.address(), "--pid", str(broker.pid))
            os.kill(broker.pid, signal.SIGUSR2)  # what its start took is no part of it
            kind = ("--streams", str(_STREAMS), "--predictor", "chart", "--warm-up", "0")
            with Child("bench.load", *target, *kind, "--seconds", str(seconds)) as load:
                report = Report(**json.loads(load.finish(_LOAD_S)))
            printed = broker.stop()
        if not file.exists() or not report.answered:
            raise ChildError(f"no profile: {printed[-500:]}")
        used_s = json.loads(file.read_text())
    return {room: of_s / report.answered * 1e6 for room, of_s in used_s.items()}


def merged(rooms: dict[str, float]) -> dict[str, float]:
    """The rooms that matter, the dearest first, and the rest."""
    least = sum(rooms.values()) * _LEAST
    ordered = sorted(rooms.items(), key=lambda each: -each[1])
    found = {name: used for name, used in ordered if used >= least}
    return {**found, "others": sum(rooms.values()) - sum(found.values())}


def main() -> int:
    """Measure once; 1 if a process failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run")
    figures.add_argument(parser)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        rooms = merged(measure(2.0 if arguments.quick else 10.0))
    except ChildError as error:
        print(f"profile_bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    whole = sum(rooms.values())
    print(f"{_STREAMS} streams x 20/s, with a store and chart; us a sample")
    for name, used in rooms.items():
        print(f"{name:26}{used:8.1f}{used / whole:8.0%}")
    print(f"{'all':26}{whole:8.1f}")
    found = [each for name, used in rooms.items() for each in figures.figure(name, "us", [used])]
    figures.write(arguments.json, "profile", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
