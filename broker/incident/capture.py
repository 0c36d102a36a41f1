"""Makes an incident file from the records."""

import platform
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec

from broker.config import PredictorSettings
from broker.errors import CommandError
from broker.export.cells import iso
from broker.export.export import known_line, on_record
from broker.export.rows import names_of
from broker.incident.filling import Filling, member
from broker.incident.manifest import (
    FORMAT,
    MANIFEST,
    MOST_MANIFEST,
    README,
    SAMPLES,
    VERSION,
    Around,
    Event,
    Manifest,
    Member,
    Sensor,
    Session,
    Use,
)
from broker.incident.words import readme
from broker.predictors.known import find
from broker.recorder.reader import LineState, Reader, RecordedSnapshot, SessionAccount, Span
from broker.retrace import Step, history
from quartet.distribution import version
from quartet.plural import counted

# More sessions than an agent's records have.
_MOST_SESSIONS = 10_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many samples a file may have."""

    rows: int = 1_000_000
    """A file that a person can send: some 40 MB, and a replay of a minute."""
    before: int = 500_000
    """Between the state on record and the range: a state is kept for each hour."""


class _TooFarError(Exception):
    """The state on record lies too many samples before the range."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What is wanted."""

    agent_id: str
    around: Around
    predictor: PredictorSettings
    """The configured one."""
    bounds: Bounds = Bounds()

    @property
    def span(self) -> Span:
        """The range, in sampling time."""
        return Span(self.around.since_ns, self.around.until_ns)


async def capture(
    reader: Reader, wanted: Capture, file: BinaryIO, progress: Callable[[int], None]
) -> Manifest:
    """Write the zip into an empty file; what it says of itself.

    `progress` hears the number of samples. CommandError for an unknown agent, no samples, or
    more than a file may have. StoreError, OSError.
    """
    line = await known_line(reader, wanted.agent_id)
    try:
        steps = history(reader, wanted.agent_id, wanted.span)
        return await _filled(reader, line, wanted, file, steps, progress=progress)
    except _TooFarError:
        file.seek(0)
        file.truncate()
        steps = _without_state(reader, wanted)
        return await _filled(reader, line, wanted, file, steps, progress=progress)


async def _without_state(reader: Reader, wanted: Capture) -> AsyncIterator[Sequence[Step]]:
    async for samples in reader.samples(wanted.agent_id, wanted.span):
        yield samples


async def _filled(
    reader: Reader,
    line: LineState,
    wanted: Capture,
    file: BinaryIO,
    steps: AsyncIterator[Sequence[Step]],
    *,
    progress: Callable[[int], None],
) -> Manifest:
    agent_id, bounds, span = wanted.agent_id, wanted.bounds, wanted.span
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        with Filling(archive, reader, agent_id, names_of(line.sensors)) as filling:
            async for some in steps:
                for step in some:
                    if isinstance(step, RecordedSnapshot):
                        filling.begin(step)
                    else:
                        await filling.add(step, is_lead=step.sampled_at_ns not in span)
                if filling.lead > bounds.before:
                    raise _TooFarError
                if filling.rows > bounds.rows:
                    raise CommandError(
                        f"these are more than {counted(bounds.rows, 'sample')}: give less --minutes"
                    )
                progress(filling.rows)
            await filling.flush()
        if filling.lead == filling.rows:
            raise CommandError(
                f"{agent_id}: no samples were taken from {iso(span.since_ns)} to"
                f" {iso(span.until_ns)}; {on_record(line)}. A time without Z or an offset is local"
                " time"
            )
        members = {SAMPLES: filling.written, **filling.write_states()}
        manifest = await _manifest(reader, line, wanted, filling, members)
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        if len(text) > MOST_MANIFEST:
            raise CommandError(
                f"{agent_id}: these are too many sessions and events: give less --minutes"
            )
        archive.writestr(member(MANIFEST), text)
        archive.writestr(member(README), readme(manifest))
    return manifest


async def _manifest(
    reader: Reader,
    line: LineState,
    wanted: Capture,
    filling: Filling,
    members: dict[str, Member],
) -> Manifest:
    accounts = await reader.sessions(wanted.agent_id, _MOST_SESSIONS)
    arrived = Span(filling.first_arrived_ns, filling.last_arrived_ns + 1)
    events = await reader.events(wanted.agent_id, arrived)
    found = find(filling.states[0].digest, wanted.predictor) if filling.states else None
    return Manifest(
        format=FORMAT,
        version=VERSION,
        quartet=version(),
        python=platform.python_version(),
        machine=platform.machine(),
        agent=wanted.agent_id,
        around=wanted.around,
        rows=filling.rows,
        sensors=_sensors(line),
        predictor=Use(found[0].use, dict(found[0].options)) if found else None,
        states=filling.states,
        sessions=[
            _session(each) for each in accounts.newest if each.session_id in filling.sessions
        ],
        events=[Event(each.at_ns, str(each.kind), each.text) for each in events],
        members=members,
    )


def _sensors(line: LineState) -> list[Sensor | None] | None:
    if line.sensors is None:
        return None
    return [Sensor(each.name, each.unit) if each else None for each in line.sensors]


def _session(account: SessionAccount) -> Session:
    return Session(
        account.session_id,
        account.first_id,
        account.last_id,
        account.received,
        account.answered,
        account.duplicates,
        account.refused,
        account.gaps,
        account.digest,
        account.missing,
    )
