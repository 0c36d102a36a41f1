"""The samples and the predictor's states of an incident file, as they are written."""

import hashlib
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from broker.errors import CommandError
from broker.export.rows import Rows, explanations
from broker.export.text import CsvText
from broker.incident.manifest import MOST_STATES, SAMPLES, STATES, Member, State
from broker.recorder.reader import Reader, RecordedSample, RecordedSnapshot

# Rows that are written at once.
_AT_ONCE = 10_000


class Filling:
    """Writes `samples.csv` while entered, and the states after it."""

    def __init__(
        self, archive: ZipFile, reader: Reader, agent_id: str, names: Sequence[str]
    ) -> None:
        self._archive = archive
        self._reader = reader
        self._agent_id = agent_id
        self._text = CsvText(names)
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._held: list[RecordedSample] = []
        self._kept: dict[str, bytes] = {}
        self._digest = ""
        """Of the predictor that can be replayed up to here; empty: none can."""
        self.states: list[State] = []
        self.rows = 0
        self.lead = 0
        """Rows that are none of the range: they lead from a state to it."""
        self.sessions: set[str] = set()
        self.first_arrived_ns = self.last_arrived_ns = 0

    def __enter__(self) -> Self:
        self._file = self._archive.open(member(SAMPLES), "w", force_zip64=True)
        self._write(self._text.header)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def begin(self, snapshot: RecordedSnapshot) -> None:
        """The predictor was in this state before the next sample.

        A state that the samples before lead to is left out: a replay must come to it by itself.
        """
        has_state = snapshot.state is not None
        if snapshot.digest == self._digest and has_state and not snapshot.is_fresh:
            return
        if len(self.states) >= MOST_STATES:
            raise CommandError(
                f"the predictor was reset more than {MOST_STATES} times: give less --minutes"
            )
        self._digest = snapshot.digest if has_state or snapshot.is_fresh else ""
        name = None
        if snapshot.state is not None and not snapshot.is_fresh:
            name = f"{STATES}{len(self._kept)}"
            self._kept[name] = snapshot.state
        self.states.append(State(self.rows, snapshot.digest, snapshot.is_fresh, name))

    async def add(self, sample: RecordedSample, *, is_lead: bool) -> None:
        """The next sample; `is_lead`: it is none of the range."""
        if not self.rows:
            self.first_arrived_ns = sample.arrived_at_ns
        self.last_arrived_ns = max(self.last_arrived_ns, sample.arrived_at_ns)
        self.lead += is_lead
        self.rows += 1
        self.sessions.add(sample.session_id)
        self._held.append(sample)
        if len(self._held) >= _AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        """Write what is held back."""
        if self._held:
            said = await explanations(self._reader, self._agent_id, self._held)
            self._write(self._text.of(Rows(self._held, said)))
            self._held.clear()

    @property
    def written(self) -> Member:
        """What was written so far."""
        return Member(self._bytes, self._hash.hexdigest())

    def write_states(self) -> dict[str, Member]:
        """Write the states; what each is, by its name."""
        members = {}
        for name, state in self._kept.items():
            self._archive.writestr(member(name), state)
            members[name] = Member(len(state), hashlib.sha256(state).hexdigest())
        return members

    def _write(self, text: str) -> None:
        data = text.encode()
        self._hash.update(data)
        self._bytes += len(data)
        self._file.write(data)


def member(name: str) -> ZipInfo:
    """A member of this name, to be written. Its time is none, as a Pi's clock may have none."""
    info = ZipInfo(name)
    info.compress_type = ZIP_DEFLATED
    return info
