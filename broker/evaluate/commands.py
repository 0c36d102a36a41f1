"""`broker evaluate` and `broker check-predictor`."""

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import TextIO

import msgspec

from broker.config import PredictorSettings
from broker.errors import EvaluationError
from broker.evaluate import report
from broker.evaluate.conformance import Finding, check, check_recording
from broker.evaluate.replay import Evaluation, Told, Traces, Truth, replay
from broker.evaluate.truth import Faults, is_fault, read_intervals
from broker.predictors import BlackBox
from broker.predictors.load import load
from quartet.commandline import as_given, predictions_of
from quartet.distribution import to_install
from quartet.errors import SettingsError, TableError
from quartet.foreign import in_json, shown
from quartet.plural import counted
from quartet.predictions import PredictionFile, Target
from quartet.recording import STDIN, Choice, Recording

_FOUND = Choice()

_LISTED = "('agent run --simulate FILE --check' lists all such rows)"

# Of a line that names places in a file.
_MOST_IN_REMARK = 1000


def evaluate(options: argparse.Namespace, predictors: list[PredictorSettings]) -> int:
    """Replay each file through each black box; a summary, or a table where there are several.

    A file that cannot be read to its end is told, and the others follow; 1 then, else 0.
    SettingsError or PredictorError before any is read.
    """
    files: list[Path] = options.files
    _check(options, files, several=len(files) * len(predictors) > 1)
    target = predictions_of(options)
    black_boxes = [(each.use, load(each.use, each.options)) for each in predictors]
    choice, extra = Choice(options.columns, options.time), []
    truth: Truth | None = None
    faults: Faults | None = None
    if options.labels:
        extra, truth = [options.labels], lambda _, row: is_fault(row.extra[0])
    elif options.intervals:
        faults = Faults(read_intervals(options.intervals))
        truth = faults.hold
    evaluations = []
    for path in files:
        found = [Evaluation(str(path), name) for name, _ in black_boxes]
        evaluations += found
        try:
            with _opened(path, choice, "broker evaluate", extra) as recording:
                for evaluation, (_, black_box) in zip(found, black_boxes, strict=True):
                    _replay(
                        evaluation,
                        recording,
                        black_box,
                        truth=truth,
                        out=target,
                        picture=options.plot,
                    )
        except (TableError, EvaluationError) as error:
            for evaluation in found:
                evaluation.problem = evaluation.problem or str(error)
    if faults and (unmet := faults.unmet()):
        print(
            f"{options.intervals}: {counted(unmet, 'interval', 'holds', 'hold')} no row",
            file=sys.stderr,
        )
    is_taken = target is not None and target.is_stdout
    _show(evaluations, sys.stderr if is_taken else sys.stdout, as_json=options.json)
    return 1 if any(each.problem for each in evaluations) else 0


def _check(options: argparse.Namespace, files: Sequence[Path], *, several: bool) -> None:
    """SettingsError for options that do not go together."""
    out: Path | None = options.predictions
    if several and (out or options.plot):
        raise SettingsError("--out and --plot take one file and one predictor")
    if out and options.plot and out.resolve() == options.plot.resolve():
        raise SettingsError(f"{out}: --out and --plot need different files")
    inputs = [path for path in (*files, options.intervals) if path and path.exists()]
    for written in filter(None, (out, options.plot)):
        if any(written.exists() and written.samefile(path) for path in inputs):
            raise SettingsError(f"{written}: is an input file, and must not be overwritten")
    if STDIN in files and several:
        raise SettingsError("standard input can be read only once: give one predictor, no files")
    if options.intervals and len(files) > 1:
        raise SettingsError("--intervals takes one file: its rows are those of one recording")
    if options.plot:
        _check_plot()


def _show(evaluations: Sequence[Evaluation], out: TextIO, *, as_json: bool) -> None:
    """Print what was found, and what ended too early: its rows up to there count."""
    found = [each for each in evaluations if each.answers]
    if as_json:
        document = msgspec.json.encode(report.document(evaluations))
        print(in_json(msgspec.json.format(document).decode()), file=out)
    elif len(evaluations) > 1 and found:
        print(report.table(found), file=out)
    elif found:
        print(report.summary(found[0]), file=out)
    for problem in dict.fromkeys(each.problem for each in evaluations if each.problem):
        print(f"broker: {problem}", file=sys.stderr)


def check_predictor(
    predictor: PredictorSettings, path: Path | None = None, choice: Choice = _FOUND
) -> int:
    """Print a line for each thing that is asked of a black box; 1 where one failed, else 0.

    TableError for a recording of a healthy machine that cannot be read.
    """
    black_box = load(predictor.use, predictor.options)
    findings: Iterator[Finding] = check(black_box, threads=predictor.threads_to_use)
    if path:
        command = f"broker check-predictor {predictor.use} --recording"
        with _opened(path, choice, command) as recording:
            told = check_recording(black_box, predictor.use, recording)
        findings = chain([told], findings)
    print(f"passed  {'loads':<16} digest {black_box.digest}")
    outcomes: Counter[str] = Counter()
    for finding in findings:
        outcomes[finding.outcome] += 1
        detail = finding.detail
        if finding.name == "answers" and finding.outcome == "warning" and path is None:
            detail += "; check-predictor --recording shows what it predicts for your machine"
        print(f"{finding.outcome:<7} {finding.name:<16} {detail}", flush=True)
    if failures := outcomes["failed"]:
        print(f"{failures} failed")
    return 1 if failures else 0


@contextmanager
def _opened(
    path: Path, choice: Choice, command: str, extra: Sequence[str] = ()
) -> Iterator[Recording]:
    """A recording; which columns are in use, and what is remarkable, is told on stderr."""
    _, verb, *_ = command.split(" ", 2)
    given = as_given(f"{command} {shlex.quote(str(path))}", verb)
    with Recording(path, choice, extra=extra, command=given) as recording:
        print(f"{shown(path)}: {recording.binding}", file=sys.stderr)
        try:
            yield recording
        finally:
            for remark in recording.remarks:
                print(shown(remark, _MOST_IN_REMARK), file=sys.stderr)


def _replay(
    evaluation: Evaluation,
    recording: Recording,
    black_box: BlackBox,
    *,
    truth: Truth | None,
    out: Target | None,
    picture: Path | None,
) -> None:
    traces = Traces()
    with ExitStack() as stack:
        watches: list[Callable[[Told], None]] = [traces.watch] if picture else []
        if out:
            watches.append(stack.enter_context(_written(out)))
        progress = stack.enter_context(_progress(evaluation.source))

        def watch(told: Told) -> None:
            for each in watches:
                each(told)

        try:
            replay(
                evaluation,
                recording,
                black_box,
                watch,
                progress,
                truth=truth,
                with_numbers=picture is not None,
            )
        except TableError as error:
            evaluation.problem = f"{error} {_LISTED}"
        except EvaluationError as error:
            evaluation.problem = str(error)
    if picture and evaluation.answers:
        from broker.evaluate.plot import plot  # noqa: PLC0415 - needs matplotlib

        plot(evaluation, traces, recording.binding, picture)


@contextmanager
def _written(target: Target) -> Iterator[Callable[[Told], None]]:
    """Write each answer to a file, as the agent's --predictions does."""
    try:
        with PredictionFile(target, at_once=False) as file:
            yield lambda told: file.write(
                told.sample.id, told.at_ns, told.sample.values, prediction=told.answer
            )
    except OSError as error:
        raise EvaluationError(
            f"{target.path}: cannot be written: {error.strerror or error}"
        ) from error


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
