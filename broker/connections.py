"""What the log says of peers that connect and disconnect, within bounds for each."""

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass

from broker.access import Peer
from broker.newcomers import host_of
from quartet.clock import Clock

log = logging.getLogger(__name__)

# Each costs some hundred bytes, for as long as a spell lasts.
_MOST_PEERS = 4096

# An agent that ends a stream in good order, to begin the next, does so at once.
_NEXT_STREAM_S = 1.0


@dataclass(slots=True)
class _Spell:
    """What one peer did lately."""

    since_s: float
    said: int = 0
    left_out: int = 0
    latest: str = ""
    """The last message that was left out."""


@dataclass(frozen=True, slots=True)
class _Pause:
    """The end of a stream in good order, after which the agent may begin another."""

    peer: Peer
    what: str
    since_s: float


class ConnectionLog:
    """Logs each change at INFO, until one agent has made many within ten minutes.

    The others of the ten minutes are at DEBUG, and the last of them is logged at the end: so a
    link that flaps for a year costs a few lines each ten minutes, and how it stands is known. A
    peer without a name goes by its host. Several streams of an agent, one after the other on one
    connection, are one. Loop only.
    """

    def __init__(
        self,
        clock: Clock = time,
        *,
        most: int = 6,
        spell_s: float = 600.0,
        peers: int = _MOST_PEERS,
    ) -> None:
        self._clock = clock
        self._most = most
        self._spell_s = spell_s
        self._most_peers = peers
        self._spells: OrderedDict[str, _Spell] = OrderedDict()
        self._pauses: OrderedDict[str, _Pause] = OrderedDict()
        """By agent, oldest first."""

    def opened(self, peer: Peer) -> None:
        """A stream of a peer has begun."""
        self.sweep()
        pause = self._pauses.pop(peer.agent_id or "", None)
        if pause and pause.peer.address == peer.address:
            log.debug("%s: begins another stream on its connection", peer)
            return
        if pause:
            self._note(pause.peer, pause.what)
        self._note(peer, "connected")

    def ended(self, peer: Peer, why: str, *, in_order: bool) -> None:
        """A stream has ended; in order: its peer ended it, and may begin another."""
        self.sweep()
        what = f"disconnected: {why}"
        if not in_order or peer.agent_id is None:
            self._note(peer, what)
            return
        if former := self._pauses.pop(peer.agent_id, None):
            self._note(former.peer, former.what)
        elif len(self._pauses) >= self._most_peers:
            self._end_pause()
        self._pauses[peer.agent_id] = _Pause(peer, what, self._clock.monotonic())

    def close(self) -> None:
        """Log who has disconnected just now. The broker stops."""
        while self._pauses:
            self._end_pause()

    def _end_pause(self) -> None:
        _, pause = self._pauses.popitem(last=False)
        self._note(pause.peer, pause.what)

    def _note(self, peer: Peer, what: str) -> None:
        key = peer.agent_id or host_of(peer.address)
        if (spell := self._spells.get(key)) is None:
            if len(self._spells) >= self._most_peers:
                _end(*self._spells.popitem(last=False))
            spell = self._spells[key] = _Spell(self._clock.monotonic())
        if spell.said < self._most:
            spell.said += 1
            log.info("%s: %s", peer, what)
        else:
            spell.left_out += 1
            spell.latest = f"{peer}: {what}"
            log.debug("%s", spell.latest)

    def sweep(self) -> None:
        """Log who began no other stream, and what was left out of spells that are over.

        To be called regularly.
        """
        now_s = self._clock.monotonic()
        over_s = now_s - self._spell_s
        while self._spells and next(iter(self._spells.values())).since_s <= over_s:
            _end(*self._spells.popitem(last=False))
        while self._pauses and next(iter(self._pauses.values())).since_s <= now_s - _NEXT_STREAM_S:
            self._end_pause()


def _end(_: str, spell: _Spell) -> None:
    if spell.left_out > 1:
        log.info("%s; %d changes before it are not logged", spell.latest, spell.left_out - 1)
    elif spell.left_out:
        log.info("%s", spell.latest)
