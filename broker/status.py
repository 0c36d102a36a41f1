"""How each agent stands, by the records: worst first, and whether somebody must look after it."""

import time
from dataclasses import dataclass

import msgspec

from broker.judged import RANKS, S_NS, AgentStatus, State, ago, judged, silence, why
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
    served_since_ns: int | None
    """None: no broker runs."""
    agents: tuple[AgentStatus, ...]
    plain: PlainAccount
    silent_rehearsals: int = 0
    """Simulations that send no more. Nobody misses them."""

    @property
    def needs_person(self) -> bool:
        """Whether somebody must look after an agent, or start the broker."""
        return self.served_since_ns is None or any(each.needs_person for each in self.agents)

    def to_json(self) -> str:
        """For programs."""
        tree = {
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
        return msgspec.json.encode(tree).decode()

    def to_text(self) -> str:
        """For people. What agents and predictors have said cannot harm a terminal."""
        lines = [self._headline()]
        if self.agents:
            cells = aligned([_HEAD, *map(self._cells, self.agents)], names=2)
            whys = ["why", *(why(each, self.at_ns) for each in self.agents)]
            rows = zip(cells, whys, strict=True)
            lines += [f"{row}  {shown(each)}".rstrip() for row, each in rows]
        plain = self.plain
        if plain.streams:
            lines.append(
                f"without agent metadata: {counted(plain.streams, 'stream')},"
                f" {counted(plain.answered, 'sample')} answered"
            )
        if self.silent_rehearsals:
            ended = counted(self.silent_rehearsals, "rehearsal")
            lines.append(f"ended: {ended} ('broker ledger' counts the samples)")
        return "\n".join(lines)

    def _headline(self) -> str:
        if self.served_since_ns is None:
            runs = "no broker runs: start it. These are its last records"
        else:
            runs = f"the broker has run for {ago(self.at_ns - self.served_since_ns)}"
        return "; ".join([runs, *(self._needs() or [self._absence()])])

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

    def _cells(self, agent: AgentStatus) -> tuple[str, ...]:
        state = agent.state.value
        heard_ns, until_ns = agent.heard_at_ns, agent.certificate_until_ns
        return (
            agent.agent_id,
            state.upper() if agent.state is State.ALARM else state,
            "-" if heard_ns is None else f"{ago(self.at_ns - heard_ns)} ago",
            str(agent.missing),
            "-" if until_ns is None else _days_left(until_ns, self.at_ns),
        )


_HEAD = ("agent", "state", "last sample", "missing", "certificate")


async def read(reader: Reader, clock: Clock = time) -> Status:
    """The status now. Raises StoreError."""
    served_since_ns = await reader.served_since()
    lines, plain = await reader.lines(), await reader.plain()
    now_ns = clock.time_ns()
    silent = [line for line in lines if line.is_rehearsal and silence(line, now_ns)]
    agents = (judged(line, served_since_ns, now_ns) for line in lines if line not in silent)
    ordered = sorted(
        agents, key=lambda each: (not each.needs_person, RANKS[each.state], each.agent_id)
    )
    return Status(now_ns, served_since_ns, tuple(ordered), plain, len(silent))


def _days_left(until_ns: int, now_ns: int) -> str:
    if until_ns <= now_ns:
        return "expired"
    return counted(int((until_ns - now_ns) // (_DAY_S * S_NS)), "day")
