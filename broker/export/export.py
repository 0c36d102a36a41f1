"""`broker export`: writes an agent's samples to a file, whole or not at all."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from broker.config import PredictorSettings
from broker.errors import CommandError, EvaluationError
from broker.export.cells import iso
from broker.export.formats import Format
from broker.export.rows import Rows, names_of, rows, rows_with_statistics
from broker.export.text import CsvText, JsonLines, TextFile
from broker.predictors.known import find
from broker.recorder.reader import LineState, Reader, Span
from broker.whole import written
from quartet.distribution import to_install
from quartet.errors import QuartetError, SettingsError
from quartet.foreign import described

# Agents in one message.
_MOST_NAMED = 20


class Writer(Protocol):
    """Writes rows. OSError where that fails."""

    def write(self, rows: Rows) -> None:
        """Write some rows."""
        ...

    def close(self) -> None:
        """Write what comes behind the rows."""
        ...


@dataclass(frozen=True, slots=True)
class Export:
    """What is wanted."""

    agent_id: str
    span: Span
    format: Format
    path: Path
    statistics_by: PredictorSettings | None = None
    """The predictor to replay, for the numbers behind the answers; None: nobody wants them."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    samples: int
    with_statistics: int
    remark: str = ""
    """Why numbers are missing; empty: none are wanted, or none are missing."""


async def export(reader: Reader, wanted: Export, progress: Callable[[int, int], None]) -> Exported:
    """Write the file. `progress` hears the number of samples, and when the last was taken.

    CommandError for an unknown agent, OutputError, StoreError; EvaluationError for a predictor
    that raises on a replay.
    """
    line = await known_line(reader, wanted.agent_id)
    found, remark = rows(reader, wanted.agent_id, wanted.span), ""
    if wanted.statistics_by:
        found, remark = await _with_statistics(reader, wanted, wanted.statistics_by)
    count = with_statistics = 0
    with written(wanted.path) as file:
        writer = _writer(file, wanted, line)
        async for some in found:
            writer.write(some)
            count += len(some.samples)
            with_statistics += sum(bool(each) for each in some.statistics or ())
            progress(count, some.samples[-1].sampled_at_ns)
        writer.close()
    return Exported(count, with_statistics, remark)


async def known_line(reader: Reader, agent_id: str) -> LineState:
    """The state of an agent's line. CommandError where there is none."""
    if line := await reader.line(agent_id):
        return line
    known = [each.agent_id for each in await reader.lines() if not each.is_rehearsal]
    more = ", ..." if len(known) > _MOST_NAMED else ""
    agents = ", ".join(known[:_MOST_NAMED]) or "none"
    raise CommandError(f"the store has no agent {agent_id}; it has {agents}{more}")


def on_record(line: LineState) -> str:
    """Which samples there are, in place of those that were wanted; for people."""
    if line.oldest_ns is None or line.latest is None:
        return "none is on record"
    since, until = iso(line.oldest_ns), iso(line.latest.sampled_at_ns)
    return f"those on record were taken from {since} to {until}"


def check(format_: Format) -> None:
    """SettingsError for a format whose library is missing."""
    if format_ is Format.PARQUET:
        try:
            import broker.export.parquet  # noqa: F401, PLC0415 - needs pyarrow
        except ImportError as error:
            raise SettingsError(f"{error.name} is missing: {to_install('parquet')}") from None


def _writer(file: BinaryIO, wanted: Export, line: LineState) -> Writer:
    names, with_statistics = names_of(line.sensors), wanted.statistics_by is not None
    if wanted.format is Format.CSV:
        return TextFile(file, CsvText(names, with_statistics=with_statistics))
    if wanted.format is Format.JSONL:
        return TextFile(file, JsonLines(names, with_statistics=with_statistics))
    from broker.export.parquet import ParquetFile  # noqa: PLC0415 - needs pyarrow

    return ParquetFile(
        file,
        names,
        agent_id=wanted.agent_id,
        sensors=line.sensors,
        with_statistics=with_statistics,
    )


async def _with_statistics(
    reader: Reader, wanted: Export, predictor: PredictorSettings
) -> tuple[AsyncIterator[Rows], str]:
    """The rows with their numbers, and why some of them may have none."""
    basis = await reader.snapshot(wanted.agent_id, wanted.span.since_ns)
    if basis is None:
        return _without(rows(reader, wanted.agent_id, wanted.span)), "no state is on record"
    found = find(basis.digest, predictor)
    if found is None:
        other = f"{predictor.use} is another predictor than the one that answered (code or options)"
        return _without(rows(reader, wanted.agent_id, wanted.span)), other
    _, black_box = found
    with_numbers = rows_with_statistics(reader, wanted.agent_id, wanted.span, black_box)
    return _told(with_numbers, predictor.use), ""


async def _without(found: AsyncIterator[Rows]) -> AsyncIterator[Rows]:
    async for some in found:
        yield Rows(some.samples, some.said, [None] * len(some.samples))


async def _told(found: AsyncIterator[Rows], name: str) -> AsyncIterator[Rows]:
    """Turn what a predictor raises into an error for a person."""
    try:
        async for some in found:
            yield some
    except QuartetError:
        raise
    except (Exception, SystemExit) as error:
        raise EvaluationError(
            f"predictor {name} raised {described(error)} on a replay: export without --statistics"
        ) from error
