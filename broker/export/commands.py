"""`broker export`."""

import argparse
import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

from broker import whole
from broker.config import PredictorSettings, Store
from broker.export.cells import iso
from broker.export.export import Export, Exported, check, export, known_line, on_record
from broker.export.formats import Format, format_of
from broker.progress import ProgressLine
from broker.recorder.opening import open_reader
from broker.recorder.reader import Reader, Span
from quartet.errors import SettingsError
from quartet.foreign import shown
from quartet.plural import counted
from quartet.signals import on_signals

Result = TypeVar("Result")


def run(options: argparse.Namespace, store: Store, predictor: PredictorSettings) -> int:
    """Export; 0. SettingsError before anything is read; otherwise see export()."""
    out: Path = options.out
    span = _span(vars(options)["from"], options.to)
    format_ = _format(out, options.format)
    whole.check(out, overwrite=options.overwrite)
    check(format_)
    statistics_by = predictor if options.statistics else None
    wanted = Export(options.agent, span, format_, out, statistics_by)
    print(asyncio.run(interruptible(_exported(open_reader(store), wanted))), file=sys.stderr)
    return 0


async def interruptible(work: Coroutine[object, object, Result]) -> Result:
    """The result of some work, which is cancelled at Ctrl-C or SIGTERM. KeyboardInterrupt then."""
    task = asyncio.ensure_future(work)

    def cancel() -> None:
        task.cancel()

    with on_signals(cancel):
        try:
            return await task
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def _exported(reader: Reader, wanted: Export) -> str:
    """Export with progress; what was done, for people."""
    line = ProgressLine(sys.stderr)

    def progress(count: int, at_ns: int) -> None:
        if line.is_due:
            line.show(f"exporting: {count:,} up to {iso(at_ns)[:19]}Z")

    try:
        done = await export(reader, wanted, progress)
    finally:
        line.end()
    return await _told(reader, wanted, done)


async def _told(reader: Reader, wanted: Export, done: Exported) -> str:
    told = f"{wanted.path}: {counted(done.samples, 'sample')} of {wanted.agent_id}"
    if wanted.path == whole.STDOUT:
        told = told.removeprefix("-: ")
    if not done.samples:
        told += f" in this time; {on_record(await known_line(reader, wanted.agent_id))}"
    if wanted.statistics_by:
        told += f", {done.with_statistics} of them with statistics"
        told += f": {done.remark}" if done.remark else ""
    return shown(told, 1000)


def _span(since_ns: int | None, until_ns: int | None) -> Span:
    whole_time = Span()
    since_ns = whole_time.since_ns if since_ns is None else since_ns
    until_ns = whole_time.until_ns if until_ns is None else until_ns
    if since_ns >= until_ns:
        raise SettingsError("--from must be before --to")
    return Span(since_ns, until_ns)


def _format(out: Path, given: str | None) -> Format:
    if given:
        return Format(given)
    if out == whole.STDOUT:
        return Format.CSV
    if found := format_of(out):
        return found
    raise SettingsError(
        f"{out}: its ending tells no format: give --format csv, jsonl or parquet, or a name such"
        " as press-4.csv"
    )
