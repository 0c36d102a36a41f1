"""All agents as they are now. Asks nobody: what is on record is brought to it."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from broker.console.present.agent import Agent, Row
from broker.console.present.seams import OpenAlarm
from broker.feed.stale import nothing_recorded
from broker.judged import State
from broker.recorder.reader import LineState, RecordedSample
from quartet.clock import Clock


@dataclass(frozen=True, slots=True)
class Picture:
    """All agents at one moment. Its rows are shared with the next one, where they stay as is."""

    rows: Mapping[str, Row] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    needs_person: int = 0
    silence: str = ""
    """Why it may not be the agents that are silent; empty: some are heard."""


class Fleet:
    """Follows all agents. Loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._agents: dict[str, Agent] = {}

    @property
    def agent_ids(self) -> Set[str]:
        """Of all agents on record."""
        return self._agents.keys()

    def take(self, lines: Sequence[LineState]) -> None:
        """Take all lines as they are on record now; others are there no more."""
        self._agents = {line.agent_id: self._taken(line) for line in lines}

    def take_one(self, agent_id: str, line: LineState | None) -> None:
        """Take one line as it is on record now; None: it is there no more."""
        if line is None:
            self._agents.pop(agent_id, None)
        else:
            self._agents[agent_id] = self._taken(line)

    def _taken(self, line: LineState) -> Agent:
        agent = self._agents.get(line.agent_id)
        if agent is None:
            return Agent(line, self._clock)
        agent.take(line)
        return agent

    def hear(self, heard: Mapping[str, list[RecordedSample]]) -> list[str]:
        """Take in new samples, by agent; the agents whose line is to be looked at for them.

        First those whose answer has turned to True, then those that are new, then the others.
        """
        alarmed: list[str] = []
        unknown: list[str] = []
        calmed: list[str] = []
        for agent_id, samples in heard.items():
            agent = self._agents.get(agent_id)
            if agent is None:
                unknown.append(agent_id)
            elif agent.hear(samples):
                (alarmed if samples[-1].prediction else calmed).append(agent_id)
        return [*alarmed, *unknown, *calmed]

    def note(self, open_alarms: Mapping[str, OpenAlarm], read_at_s: float) -> None:
        """Take what a book holds, that has read all that was on record then (monotonic)."""
        for agent_id, agent in self._agents.items():
            agent.note(open_alarms.get(agent_id), read_at_s)

    def look(
        self,
        served_since_ns: int | None,
        former: Picture,
    ) -> tuple[Picture, list[str]]:
        """All as they are now, and the agents that fell silent since the last look."""
        now_ns = self._clock.time_ns()
        rows: dict[str, Row] = {}
        counts = dict.fromkeys((state.value for state in State), 0)
        fallen, expected, newest_ns, in_need = [], 0, 0, 0
        for agent_id, agent in self._agents.items():
            if agent.is_hidden:
                continue
            before = agent.row
            state = agent.judge(served_since_ns)
            row = rows[agent_id] = agent.row
            counts[state.value] += 1
            in_need += row["needs_person"]
            is_silent = state in (State.OFFLINE, State.LATE)
            if is_silent and before and before["state"] != state.value:
                fallen.append(agent_id)
            if latest := agent.line.latest:
                newest_ns = max(newest_ns, latest.arrived_at_ns if is_silent else now_ns)
            if served_since_ns is not None:
                expected += agent.should_be_heard(served_since_ns, now_ns)
        silence = nothing_recorded(expected, newest_ns, now_ns)
        same = rows.keys() == former.rows.keys() and all(
            row is former.rows[agent_id] for agent_id, row in rows.items()
        )
        picture = Picture(former.rows if same else rows, counts, in_need, silence)
        return picture, fallen

    def fast(self, agent_id: str) -> Row:
        """What changes with each sample of an agent; nothing of one that there is no more."""
        agent = self._agents.get(agent_id)
        return agent.fast() if agent else {}
