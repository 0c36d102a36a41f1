"""How each agent stands, by the records: worst first, and whether somebody must look after it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from broker.judged import RANKS, S_NS, AgentStatus, State, ago, judged, silence, why
from broker.recorder.fleet import Fleet
from broker.recorder.reader import PlainAccount, Reader
from quartet.clock import Clock
from quartet.columns import aligned
from quartet.foreign import shown
from quartet.plural import counted

# Of what to_json() gives; raised when a reader of this one would misread it.
_SCHEMA = 1

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Status:
    """How all agents stand, for people and for programs."""

    at_ns: int
    """By the clock that the records go by."""
    served_since_ns: int | None
    """None: no broker runs."""
    agents: tuple[AgentStatus, ...]
    plain: PlainAccount
    silent_rehearsals: int = 0
    """Simulations that send no more. Nobody misses them."""
    fleet: Fleet | None = None
    """None: the store is a file, which has one broker."""

    @property
    def needs_person(self) -> bool:
        """Whether somebody must look after an agent, the broker or the database."""
        if self.served_since_ns is None or (self.fleet and self.fleet.server.waits):
            return True
        return any(each.needs_person for each in self.agents)

    def to_json(self) -> str:
        """For programs."""
        tree: dict[str, object] = {
            "schema": _SCHEMA,
            "at_ns": self.at_ns,
            "broker": {
                "is_running": self.served_since_ns is not None,
                "since_ns": self.served_since_ns,
            },
            "needs_person": self.needs_person,
            "agents": self.agents,
            "plain": self.plain,
            "silent_rehearsals": self.silent_rehearsals,
        }
        if self.fleet:
            tree["fleet"] = self.fleet
        return msgspec.json.encode(tree).decode()

    def to_text(self) -> str:
        """For people. What agents and predictors have said cannot harm a terminal."""
        lines = [self._headline()]
        if self.agents:
            head = (*_HEAD, "broker") if self.fleet else _HEAD
            owners = self._owners()
            rows = [head, *(self._cells(each, owners) for each in self.agents)]
            cells = aligned(rows, names=2)
            whys = ["why", *(why(each, self.at_ns) for each in self.agents)]
            pairs = zip(cells, whys, strict=True)
            lines += [f"{row}  {shown(each)}".rstrip() for row, each in pairs]
        plain = self.plain
        if plain.streams:
            lines.append(
                f"without agent metadata: {counted(plain.streams, 'stream')},"
                f" {counted(plain.answered, 'sample')} answered"
            )
        if self.silent_rehearsals:
            ended = counted(self.silent_rehearsals, "rehearsal")
            lines.append(f"ended: {ended} ('broker ledger' counts the samples)")
        return "\n".join([*lines, *self._fleet_lines()])

    def _headline(self) -> str:
        if self.served_since_ns is None:
            runs = "no broker runs: start it. These are its last records"
        else:
            brokers = len(self.fleet.brokers) if self.fleet else 1
            who = "the broker has" if brokers == 1 else f"{brokers} brokers have"
            up_to = "" if brokers == 1 else "up to "
            runs = f"{who} run for {up_to}{ago(self.at_ns - self.served_since_ns)}"
        waits = ["no commit is confirmed"] if self.fleet and self.fleet.server.waits else []
        return "; ".join([runs, *waits, *(self._needs() or [self._absence()])])

    def _needs(self) -> list[str]:
        """How many need a person, and how many can need none."""
        rehearsals = sum(each.is_rehearsal for each in self.agents)
        said = []
        if count := len(self.agents) - rehearsals:
            needy = sum(each.needs_person for each in self.agents)
            need = "need" if needy > 1 else "needs"
            said.append(f"{needy or 'none'} of {counted(count, 'agent')} {need} a person")
        if rehearsals:
            said.append(f"{counted(rehearsals, 'rehearsal', 'needs', 'need')} nobody")
        return said

    def _absence(self) -> str:
        if self.silent_rehearsals:
            return "no agent except rehearsals that have ended"
        return "no agent has sent a sample"

    def _cells(self, agent: AgentStatus, owners: dict[str, str]) -> tuple[str, ...]:
        state = agent.state.value
        heard_ns, until_ns = agent.heard_at_ns, agent.certificate_until_ns
        return (
            agent.agent_id,
            state.upper() if agent.state is State.ALARM else state,
            "-" if heard_ns is None else f"{ago(self.at_ns - heard_ns)} ago",
            str(agent.missing),
            "-" if until_ns is None else _days_left(until_ns, self.at_ns),
            *([owners.get(agent.agent_id, "-")] if self.fleet else ()),
        )

    def _owners(self) -> dict[str, str]:
        """By agent id, which broker has its line and since when; of several brokers alone."""
        return {
            each.agent_id: f"{each.broker} for {ago(self.at_ns - each.since_ns)}"
            if each.is_running
            else f"{each.broker} (gone)"
            for each in (self.fleet.owners if self.fleet else ())
            if each.broker
        }

    def _fleet_lines(self) -> Iterator[str]:
        """The brokers, and the database."""
        if not self.fleet:
            return
        for broker in self.fleet.brokers:
            own = [each for each in self.fleet.owners if each.broker == broker.name]
            newest_ns = max((each.committed_at_ns for each in own), default=None)
            commit = "" if newest_ns is None else f", last commit {ago(self.at_ns - newest_ns)} ago"
            yield (
                f"broker {shown(broker.name)}: for {ago(self.at_ns - broker.since_ns)},"
                f" {counted(len(own), 'agent')}{commit}"
            )
        server = self.fleet.server
        yield f"database: {f'{server.address}, ' if server.address else ''}{server}"


_HEAD = ("agent", "state", "last sample", "missing", "certificate")


async def read(reader: Reader, clock: Clock = time) -> Status:
    """The status now. Raises StoreError."""
    served_since_ns = await reader.served_since()
    lines, plain, fleet = await reader.lines(), await reader.plain(), await reader.fleet()
    now_ns = clock.time_ns()
    if fleet:
        now_ns = fleet.at_ns
        served_since_ns = min((each.since_ns for each in fleet.brokers), default=None)
    silent = [line for line in lines if line.is_rehearsal and silence(line, now_ns)]
    agents = (judged(line, served_since_ns, now_ns) for line in lines if line not in silent)
    ordered = sorted(
        agents, key=lambda each: (not each.needs_person, RANKS[each.state], each.agent_id)
    )
    return Status(now_ns, served_since_ns, tuple(ordered), plain, len(silent), fleet)


def _days_left(until_ns: int, now_ns: int) -> str:
    if until_ns <= now_ns:
        return "expired"
    return counted(int((until_ns - now_ns) // (_DAY_S * S_NS)), "day")
