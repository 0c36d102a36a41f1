"""Who may stream, under which name, and how many at a time."""

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from broker.config import LimitsSettings
from broker.errors import AccessError, CrowdedError, DeniedError
from broker.model import Code, Ending
from broker.newcomers import Newcomers, host_of
from quartet.clock import Clock
from quartet.foreign import shown
from quartet.plural import counted

if TYPE_CHECKING:
    from quartet.certificates import Certificate

log = logging.getLogger(__name__)

# Who is refused tries again each 30 s, for days: said once in this time.
_SAID_FOR_S = 3600.0
# For the answers to what was received, and for a peer to read them.
_GRACE_S = 5.0

# So many that are refused are remembered at a time.
_MOST_SAID = 1000


class Trust(Protocol):
    """What is known of certificates: broker.credentials, where there is TLS."""

    def objection(self, certificate: "Certificate") -> str:
        """Why it is not good any more; empty if it is."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a stream: its address; who it is by its certificate, and as it says."""

    address: str
    certificate: "Certificate | None"
    agent_id: str | None
    is_rehearsal: bool = False

    def __str__(self) -> str:
        who = self.agent_id or self.certificate
        return f"{who} at {self.address}" if who else self.address


@dataclass(slots=True, eq=False)
class _Visit:
    """A stream that was let in."""

    peer: Peer
    end: Callable[[Ending], None]
    task: "asyncio.Task[Any] | None" = field(default_factory=asyncio.current_task)
    ended_at_s: float | None = None


class Access:
    """Admits streams, and ends them when their peer is trusted no more. Loop only."""

    def __init__(
        self,
        agents: Collection[str] | None,
        limits: LimitsSettings,
        trust: Trust | None,
        clock: Clock = time,
    ) -> None:
        self._agents = _as_set(agents)
        self._limits = limits
        self._trust = trust
        self._clock = clock
        self._visits: set[_Visit] = set()
        self._counts: Counter[str] = Counter()
        self._newcomers = Newcomers(clock)
        self._said: OrderedDict[tuple[str, str, type[AccessError]], float] = OrderedDict()

    @property
    def streams(self) -> int:
        """How many there are."""
        return len(self._visits)

    @contextmanager
    def admit(self, peer: Peer, end: Callable[[Ending], None]) -> Iterator[None]:
        """Let a stream in while entered. AccessError, which is logged, where it may not.

        From now on `end` is called when the peer is trusted no more. A stream that has not
        ended after 5 s is ended by force, at the next sweep(): its task is cancelled.
        """
        try:
            self._check_name(peer)
            self._check_room(peer)
        except AccessError as error:
            self._refuse(peer, error)
        visit = _Visit(peer, end)
        who = _counted_as(peer)
        self._visits.add(visit)
        self._counts[who] += 1
        try:
            yield
        finally:
            self._visits.discard(visit)
            self._counts[who] -= 1
            if not self._counts[who]:
                del self._counts[who]

    def check(self, peer: Peer) -> None:
        """Raise DeniedError, which is logged, for a peer that may not stream under its name."""
        try:
            self._check_name(peer)
        except DeniedError as error:
            self._refuse(peer, error)

    def check_stream(self, peer: Peer) -> None:
        """Raise an AccessError, which is logged, where a stream of this peer would be refused.

        An agent that has a stream already needs no more room: its next one takes that place.
        """
        try:
            self._check_name(peer)
            if not self._counts[_counted_as(peer)]:
                self._check_room(peer)
        except AccessError as error:
            self._refuse(peer, error)

    def admit_new_line(self, peer: Peer) -> None:
        """Let in an agent that was never seen. CrowdedError, which is logged, where it may not."""
        most, host = self._limits.new_lines_per_minute, host_of(peer.address)
        if not most or self._newcomers.add(host, most):
            return
        error = CrowdedError(
            f"limits.new_lines_per_minute is reached by {host}: {counted(most, 'new agent')}"
        )
        self._say(peer, error, (host, "", CrowdedError))  # its other names are no news
        raise error

    def limit(self, limits: LimitsSettings) -> None:
        """Have other limits. Streams that are open stay."""
        self._limits = limits

    def admit_only(self, agents: Collection[str] | None) -> None:
        """Have another list of those who may stream, and end the streams of those not in it."""
        self._agents = _as_set(agents)
        self.sweep()

    def sweep(self) -> None:
        """End the streams of peers that would not be admitted any more. To be called regularly."""
        for visit in list(self._visits):
            try:
                self._check_name(visit.peer)
            except DeniedError as error:
                self._cut_off(visit, str(error))

    def _cut_off(self, visit: _Visit, reason: str) -> None:
        now_s = self._clock.monotonic()
        if visit.ended_at_s is None:
            log.warning("%s is cut off: %s", visit.peer, reason)
            visit.ended_at_s = now_s
            visit.end(Ending(Code.PERMISSION_DENIED, reason))
        elif now_s - visit.ended_at_s >= _GRACE_S and visit.task:
            log.warning("%s is cut off by force: it does not read its answers", visit.peer)
            visit.task.cancel()

    def _check_name(self, peer: Peer) -> None:
        certificate, agent_id = peer.certificate, peer.agent_id
        if certificate and self._trust and (reason := self._trust.objection(certificate)):
            raise DeniedError(reason)
        if certificate and agent_id and agent_id not in certificate.names:
            raise DeniedError(f"its certificate names {certificate}, not {agent_id}")
        if self._agents is None:
            return
        names = [agent_id] if agent_id else certificate.names if certificate else ()
        if not any(name in self._agents for name in names):
            remedy = "; give the simulation a name that is: --agent-id NAME"
            raise DeniedError(
                f"{' and '.join(map(shown, names)) or 'a client without a name'} is"
                f" not in access.agents{remedy if peer.is_rehearsal else ''}"
            )

    def _check_room(self, peer: Peer) -> None:
        if len(self._visits) >= self._limits.streams:
            raise CrowdedError(f"limits.streams is reached: {self._limits.streams}")
        who = _counted_as(peer)
        most = self._limits.streams_per_agent
        if who and self._counts[who] >= most:
            raise CrowdedError(f"limits.streams_per_agent is reached by {who}: {most}")

    def _refuse(self, peer: Peer, error: AccessError) -> NoReturn:
        host = peer.address.rpartition(":")[0]
        self._say(peer, error, (host, _counted_as(peer), type(error)))
        raise error

    def _say(self, peer: Peer, error: AccessError, key: tuple[str, str, type[AccessError]]) -> None:
        now_s = self._clock.monotonic()
        is_news = now_s - self._said.get(key, -_SAID_FOR_S) >= _SAID_FOR_S
        log.log(logging.WARNING if is_news else logging.DEBUG, "%s is refused: %s", peer, error)
        if is_news:
            self._said[key] = now_s
            self._said.move_to_end(key)
            if len(self._said) > _MOST_SAID:
                self._said.popitem(last=False)


def certificate_of(pem: bytes | None, address: str) -> "Certificate | None":
    """What a peer has shown, if it was asked. DeniedError where that cannot be read."""
    if pem is None:
        return None
    from quartet.certificates import Certificate  # noqa: PLC0415 - costs 20 MB, where there is TLS

    try:
        return Certificate.from_pem(pem)
    except ValueError as error:
        log.warning("%s has a certificate that cannot be read", address)
        raise DeniedError("its certificate cannot be read") from error


def _as_set(agents: Collection[str] | None) -> frozenset[str] | None:
    return None if agents is None else frozenset(agents)


def _counted_as(peer: Peer) -> str:
    """Whose stream it is; empty where nobody can tell."""
    return peer.agent_id or (str(peer.certificate) if peer.certificate else "")
