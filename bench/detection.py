"""How early and how rarely for nothing `chart` alarms, beside other detectors; prints one table."""

import argparse
import functools
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bench import figures
from bench.detectors import CHOSEN, FORMS, WARM_UP_ROWS, Answering, Form, ZScore
from bench.outcomes import delay_rows, on_all_processors
from broker.model import Sample
from broker.predictors import Predictor
from broker.predictors.load import load
from dataset.make_dataset import DEFAULT_ROWS, make

# Nothing was ever tuned on these: neither `chart` nor what stands beside it.
_SEEDS_FROM, _FILES_OF_A_KIND = 900_000, 100
# Forms were chosen on these.
_CHOOSING_FAULTY, _CHOOSING_HEALTHY = range(10_000, 10_050), range(15_000, 15_050)

Makers = Mapping[str, Callable[[], Predictor]]

# Where there is nothing to choose. 4 is a customary limit of a z-score.
DETECTORS: Makers = {
    "chart": load("chart", {}).make,
    "T2 alone": load("chart", {"mewma_limit": math.inf}).make,
    "MEWMA alone": load("chart", {"t2_limit": math.inf}).make,
    "z-score": Form(Answering, ZScore, {"limit": 4}),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one detector made of one file."""

    alarmed: bool  # in any row
    before: int  # rows True before the onset
    delay: int  # rows from the onset to a sustained alarm, or to the end
    found: bool
    ns: int  # of the processor, for the rows after the warm-up


@dataclass(frozen=True, slots=True)
class File:
    """What all detectors made of one file."""

    onset: int | None
    outcomes: dict[str, Outcome]


def measure(makers: Makers, job: tuple[int, bool]) -> File:
    """Show one file to all."""
    seed, healthy = job
    recording = make(seed, DEFAULT_ROWS, healthy)
    rows = recording.values.astype(np.float32).tolist()  # as on the wire
    samples = [Sample(number, (a, b, c, d)) for number, (a, b, c, d) in enumerate(rows)]
    onset = recording.onset_row
    return File(onset, {name: _judge(maker(), samples, onset) for name, maker in makers.items()})


def _judge(predictor: Predictor, samples: list[Sample], onset: int | None) -> Outcome:
    answers = [predictor.predict(sample) for sample in samples[:WARM_UP_ROWS]]
    began_ns = time.thread_time_ns()
    answers += [predictor.predict(sample) for sample in samples[WARM_UP_ROWS:]]
    took_ns = time.thread_time_ns() - began_ns
    onset = len(samples) if onset is None else onset
    delay = delay_rows(answers, onset)
    found = delay is not None
    rows = delay if delay is not None else len(samples) - onset
    return Outcome(any(answers), sum(answers[:onset]), rows, found, took_ns)


def measure_all(makers: Makers, jobs: list[tuple[int, bool]]) -> list[File]:
    """Share the files out to all processors."""
    return on_all_processors(functools.partial(measure, makers), jobs)


def table(files: list[File]) -> str:
    """One row for each detector."""
    lines = [
        f"{'':18}{'healthy files':>14}{'delay, rows':>16}{'faulty files':>14}"
        f"{'rows True':>14}{'time to':>9}",
        f"{'':18}{'alarmed':>14}{'p50':>8}{'p90':>8}{'found':>14}{'before onset':>14}{'chart':>9}",
    ]
    faulty, healthy = _parted(files)
    before_rows = sum(onset for onset, _ in faulty)
    for name in files[0].outcomes:
        of_faulty = [outcomes[name] for _, outcomes in faulty]
        alarmed = statistics.fmean(outcomes[name].alarmed for outcomes in healthy)
        delays = [each.delay for each in of_faulty]
        p90 = statistics.quantiles(delays, n=10, method="inclusive")[-1]
        found = statistics.fmean(each.found for each in of_faulty)
        before = sum(each.before for each in of_faulty) / before_rows
        times = [file.outcomes[name].ns / file.outcomes["chart"].ns for file in files]
        lines.append(
            f"{name:18}{alarmed:14.0%}{statistics.median(delays):8.1f}{p90:8.1f}"
            f"{found:14.0%}{before:14.2%}{statistics.median(times):9.2f}"
        )
    return "\n".join(lines)


def _parted(
    files: list[File],
) -> tuple[list[tuple[int, dict[str, Outcome]]], list[dict[str, Outcome]]]:
    """The faulty files, with their onsets, and the healthy ones."""
    faulty = [(file.onset, file.outcomes) for file in files if file.onset is not None]
    return faulty, [file.outcomes for file in files if file.onset is None]


def costs(files: list[File]) -> dict[str, float]:
    """Of each form: the healthy files alarmed plus the mean delay, as shares of what can be."""
    faulty, healthy = _parted(files)
    return {
        name: statistics.fmean(outcomes[name].alarmed for outcomes in healthy)
        + statistics.fmean(
            outcomes[name].delay / (DEFAULT_ROWS - onset) for onset, outcomes in faulty
        )
        for name in files[0].outcomes
    }


def choose() -> None:
    """Print the cost of each form, the best of its kind first."""
    jobs = [(seed, False) for seed in _CHOOSING_FAULTY]
    jobs += [(seed, True) for seed in _CHOOSING_HEALTHY]
    for name, forms in FORMS.items():
        cost = costs(measure_all({str(form): form for form in forms}, jobs))
        print(name)
        for form in sorted(cost, key=cost.__getitem__):
            print(f"{cost[form]:8.3f}  {form}")


def main() -> int:
    """Measure, and print the table; 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run: 10 files")
    figures.add_argument(parser)
    parser.add_argument("--choose", action="store_true", help="try all forms on other files")
    arguments = parser.parse_args()
    count = 5 if arguments.quick else _FILES_OF_A_KIND
    jobs = [(_SEEDS_FROM + number, False) for number in range(count)]
    jobs += [(_SEEDS_FROM + _FILES_OF_A_KIND + number, True) for number in range(count)]
    try:
        if arguments.choose:
            choose()
            return 0
        files = measure_all({**DETECTORS, **CHOSEN}, jobs)
    except KeyboardInterrupt:
        return 130
    print(f"{count} faulty and {count} healthy files of {DEFAULT_ROWS} rows")
    print(table(files))
    figures.write(arguments.json, "detection", measured(files))
    return 0


def measured(files: list[File]) -> list[figures.Figure]:
    """For --json: of each detector, with ratios to `chart`."""
    faulty, healthy = _parted(files)
    found = []
    for name in files[0].outcomes:
        delays, of_chart = (
            statistics.median(outcomes[each].delay for _, outcomes in faulty)
            for each in (name, "chart")
        )
        alarmed = statistics.fmean(outcomes[name].alarmed for outcomes in healthy)
        found += figures.figure(f"{name}, delay", "rows", [delays], [of_chart])
        found += figures.figure(f"{name}, healthy files alarmed", "of 1", [alarmed])
    return found


if __name__ == "__main__":
    sys.exit(main())
