"""`broker evaluate` and `broker check-predictor`."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

from broker.config import PredictorSettings
from broker.errors import EvaluationError
from broker.evaluate import report
from broker.evaluate.conformance import Finding, check, check_recording
from broker.evaluate.replay import Evaluation, Numbers, Traces, Watch, replay
from broker.model import Sample
from broker.predictors import BlackBox
from broker.predictors.load import load
from quartet.distribution import to_install
from quartet.errors import SettingsError
from quartet.foreign import shown
from quartet.predictions import PredictionFile


def evaluate(options: argparse.Namespace, predictors: list[PredictorSettings]) -> int:
    """Replay each file through each black box; a summary, or a table where there are several.

    0, or what is raised: SettingsError, TableError, EvaluationError.
    """
    files: list[Path] = options.files
    several = len(files) * len(predictors) > 1
    if several and (options.out or options.plot):
        raise SettingsError("--out and --plot take one file and one predictor")
    if options.out and options.plot and options.out.resolve() == options.plot.resolve():
        raise SettingsError(f"{options.out}: --out and --plot need different files")
    for written in filter(None, (options.out, options.plot)):
        if any(written.exists() and written.samefile(path) for path in files if path.exists()):
            raise SettingsError(f"{written}: is an input file, and must not be overwritten")
    if options.plot:
        _check_plot()
    black_boxes = [(each.use, load(each.use, each.options)) for each in predictors]
    evaluations = []
    for path in files:
        for name, black_box in black_boxes:
            evaluation = Evaluation(path, name)
            _replay(evaluation, black_box, options.out, options.plot)
            evaluations.append(evaluation)
    print(report.table(evaluations) if several else report.summary(evaluations[0]))
    return 0


def check_predictor(predictor: PredictorSettings, recording: Path | None = None) -> int:
    """Print a line for each thing that is asked of a black box; 1 where one failed, else 0.

    TableError for a recording of a healthy machine that cannot be read.
    """
    black_box = load(predictor.use, predictor.options)
    findings: Iterator[Finding] = check(black_box, threads=predictor.threads_to_use)
    if recording:
        findings = chain([check_recording(black_box, predictor.use, recording)], findings)
    print(f"passed  {'loads':<16} digest {black_box.digest}")
    outcomes: Counter[str] = Counter()
    for finding in findings:
        outcomes[finding.outcome] += 1
        print(f"{finding.outcome:<7} {finding.name:<16} {finding.detail}", flush=True)
    if failures := outcomes["failed"]:
        print(f"{failures} failed")
    return 1 if failures else 0


def _replay(
    evaluation: Evaluation, black_box: BlackBox, out: Path | None, picture: Path | None
) -> None:
    traces = Traces()
    with ExitStack() as stack:
        watches: list[Watch] = [traces.watch] if picture else []
        if out:
            watches.append(stack.enter_context(_written(out)))
        progress = stack.enter_context(_progress(str(evaluation.path)))

        def watch(sample: Sample, answer: bool, numbers: Numbers) -> None:
            for each in watches:
                each(sample, answer, numbers)

        replay(evaluation, black_box, watch, progress, with_numbers=picture is not None)
    if picture:
        from broker.evaluate.plot import plot  # noqa: PLC0415 - needs matplotlib

        plot(evaluation, traces, picture)


@contextmanager
def _written(path: Path) -> Iterator[Watch]:
    """Write each answer to a file, as the agent's --predictions does."""
    try:
        with PredictionFile(path, at_once=False) as file:
            yield lambda sample, answer, _: file.write(sample.id, answer)
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _progress(title: str) -> Iterator[Callable[[float], None]]:
    """Show on a terminal how far it is, where rich is there."""
    try:
        from rich.console import Console  # noqa: PLC0415 - optional
        from rich.markup import escape  # noqa: PLC0415
        from rich.progress import Progress  # noqa: PLC0415
    except ImportError:
        yield lambda _: None
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(escape(shown(title)), total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _check_plot() -> None:
    try:
        import broker.evaluate.plot  # noqa: F401, PLC0415 - needs matplotlib
    except ImportError as error:
        raise SettingsError(f"{error.name} is missing: {to_install('plot')}") from None
