"""What goes wrong in a fleet: what is before the yield at its begin, the rest at its end."""

import signal
import time
from collections.abc import Callable, Generator
from random import Random

from chaos.fleet.site import Member, Site, Woken
from chaos.schedule import Kind
from chaos.times import MARGIN_S, SAID_WITHIN_S

Happening = Generator[None, None, None]
Doing = Callable[[Site, Member, Random], Happening]

# Short against the reply deadline of 1 s, after which an agent ends its stream.
_LAST_SAMPLES_S = 0.3

_LOOKS_EVERY_S = 0.02

# Nothing comes through.
_FOREVER_S = 3600


def kill_broker(_: Site, member: Member, __: Random) -> Happening:
    member.role.kill()
    yield
    _start(member)


def stop_broker(_: Site, member: Member, __: Random) -> Happening:
    if member.role.runs:
        member.role.stop()
    yield
    if member.role.runs:
        member.role.join()
    _start(member)


def pause_broker(_: Site, member: Member, __: Random) -> Happening:
    """For less than the agents wait for an answer, or a little more."""
    member.role.signal(signal.SIGSTOP)
    yield
    member.role.signal(signal.SIGCONT)


def freeze_broker(site: Site, member: Member, _: Random) -> Happening:
    """Its machine is gone, as its agents see it: they go elsewhere, and it does not hear of that.

    The last samples have arrived. It computes and commits them when it wakes.
    """
    held = site.holds(member) if site.database.is_well else []
    disturbed = site.database.disturbed
    member.role.signal(signal.SIGSTOP)
    _wait(lambda: all(each.has_samples for each in held), _LAST_SAMPLES_S)
    member.tell_door("stall")
    yield
    stale = [each for each in held if each.has_samples]
    woken = []
    if disturbed == site.database.disturbed:
        _wait(lambda: all(map(site.is_taken, stale)), MARGIN_S)
        mark = member.role.mark()
        woken = [Woken(member, mark, each.agent_id) for each in stale if site.is_taken(each)]
    member.role.signal(signal.SIGCONT)
    by_s = time.monotonic() + SAID_WITHIN_S  # nothing else happens to it before
    site.woken += [each for each in woken if each.is_due(max(0.0, by_s - time.monotonic()))]


def lose_agents(_: Site, member: Member, dice: Random) -> Happening:
    """All connections to its agents break, or stay half open for good: new ones are well."""
    member.tell_door(dice.choice(("cut", "stall")))
    yield


def cut_cable(_: Site, member: Member, __: Random) -> Happening:
    """To the database, not to the agents."""
    member.cut_cables()
    yield
    member.mend_cables()


def darken_cable(_: Site, member: Member, __: Random) -> Happening:
    """The same, and nobody tells the broker: no byte comes through, no connection is refused."""
    member.tell_cables("stall")
    member.tell_cables(f"delay {_FOREVER_S}")
    yield
    member.tell_cables("delay 0")
    member.tell_cables("cut")


def kill_primary(site: Site, _: Member, __: Random) -> Happening:
    """Somebody promotes the standby, and builds another one."""
    site.database.kill_primary()
    yield
    site.database.promote()


def crash_primary(site: Site, _: Member, __: Random) -> Happening:
    """The same server comes back."""
    site.database.kill_primary()
    yield
    site.database.restart_primary()


def kill_standby(site: Site, _: Member, __: Random) -> Happening:
    """Nobody confirms: commits wait."""
    site.database.kill_standby()
    yield
    site.database.restart_standby()


def fill_primarys_disk(site: Site, _: Member, __: Random) -> Happening:
    site.database.fill_disk()
    yield
    site.database.relieve_disk()


def _wait(holds: Callable[[], bool], most_s: float) -> None:
    """Return when it holds, or after so long."""
    by_s = time.monotonic() + most_s
    while not holds() and time.monotonic() < by_s:
        time.sleep(_LOOKS_EVERY_S)


def _start(member: Member) -> None:
    if not member.role.runs:
        member.role.start()


def _kind(name: str, parts: str, shortest_s: float, longest_s: float, needs: str = "") -> Kind:
    return Kind(name, frozenset(parts.split()), (shortest_s, longest_s), needs, of="broker")


# A database that is always away would hide what happens between brokers.
_OF_BROKERS = 3 * (
    _kind("kill-broker", "member", 0.0, 1.5),
    _kind("stop-broker", "member", 0.1, 1.5),
    _kind("pause-broker", "member", 0.2, 1.2),
    _kind("freeze-broker", "member", 1.8, 4.0),
    _kind("lose-agents", "member", 0.0, 0.0),
    _kind("cut-cable", "member", 0.0, 5.0),
    _kind("darken-cable", "member", 0.5, 5.0),
)
_OF_THE_DATABASE = (
    _kind("kill-primary", "database", 0.0, 2.0),
    _kind("crash-primary", "database", 0.0, 2.0),
    _kind("kill-standby", "database", 0.5, 4.0),
    _kind("fill-primarys-disk", "database", 1.0, 5.0, "mounts"),
)
KINDS = (*_OF_BROKERS, *_OF_THE_DATABASE)
"""To be drawn from; those that are there more than once come more often."""

DOINGS: dict[str, Doing] = {
    doing.__name__.replace("_", "-"): doing
    for doing in (
        *(kill_broker, stop_broker, pause_broker, freeze_broker, lose_agents),
        *(cut_cable, darken_cable),
        *(kill_primary, crash_primary, kill_standby, fill_primarys_disk),
    )
}
