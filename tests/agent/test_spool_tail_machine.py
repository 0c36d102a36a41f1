"""The tail under whatever happens in whatever order: no sample is lost, or given out of order."""

from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.spools import Blocked, Device, Name, home_in_ram, name

from agent.model import Sample
from agent.spool import tail

few = settings(derandomize=True, deadline=None, max_examples=80)

STEPS = [
    *[("hand over", 1)] * 4,
    *[("hand over", 3), ("append", 2), ("answer", 1), ("answer", 9), ("answer", 9)],
    *[("step", 0), ("step", 0), ("wait", 2.6), ("wait", 6.0), ("rewind", 0), ("read", 9)],
    *[("kill", 0), ("kill", 0), ("close", 0), ("new session", 0)],
    *[("fail hot", 0), ("fail cold", 0), ("recover", 0), ("remove", 0)],
]


class Life:
    """A device, and all of its samples: none is lost, or given out of order."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.blocks: list[Blocked] = []
        self.names: list[Name] = []  # of all samples, in their order
        self.answered: set[Name] = set()
        self.in_flight: dict[Name, Sample] = {}
        self.doubtful: set[Name] = set()  # in memory alone when the agent was killed
        device.start()

    async def do(self, step: str, argument: Any) -> None:  # noqa: C901, PLR0912 - one case a step
        device = self.device
        match step:
            case "hand over":
                for _ in range(argument):
                    self.take(await device.hand_over())
                    self.note()
            case "append":
                device.append(argument)
                self.note()
            case "read":
                self.take(await device.take(argument))
            case "answer":
                for key in [*self.in_flight][:argument]:
                    device.queue.settle(self.in_flight.pop(key), answered=True)
                    self.answered.add(key)
            case "step" | "wait":
                device.clock.advance(argument)
                device.step()
            case "rewind":
                device.queue.rewind()
                self.in_flight.clear()
            case "new session":
                device.begin_session()
            case "fail hot" | "fail cold":
                self.fail(getattr(device.directories, step[5:]))
            case "recover":
                self.recover()
            case "remove":
                (device.directories.hot / tail.FILE).unlink(missing_ok=True)
                self.doubtful.update(self.unbooked())
            case "kill":
                self.recover()
                self.doubtful.update(self.unnoted())
                device.kill()
                self.restart()
            case "close":
                self.recover()
                device.clock.advance(6)
                device.step()
                device.close()
                self.restart()

    def take(self, samples: list[Sample]) -> None:
        for sample in samples:
            assert name(sample) not in self.in_flight
            self.in_flight[name(sample)] = sample
        order = [self.names.index(each) for each in self.in_flight if each in self.names]
        assert order == sorted(order)

    def note(self) -> None:
        session, next_id = self.device.last
        known = sum(each == session for each, _ in self.names)
        self.names += [(session, id_) for id_ in range(known, next_id)]

    def unbooked(self) -> set[Name]:
        sampled = {session.id: account.sampled for session, account in self.device.books}
        return {each for each in self.names if each[1] >= sampled.get(each[0], 0)}

    def unnoted(self) -> set[Name]:
        """Those that are neither booked nor in the tail."""
        noted = tail.read(self.device.directories.hot)
        return {each for each in self.unbooked() if each[1] not in dict(noted.get(each[0], []))}

    def fail(self, directory: Path) -> None:
        if not self.blocks and (directory / "spool.db").exists():
            self.blocks.append(Blocked(directory))

    def recover(self) -> None:
        while self.blocks:
            self.blocks.pop().close()

    def restart(self) -> None:
        self.in_flight.clear()
        self.device.start()


@few
@given(st.lists(st.sampled_from(STEPS), min_size=10, max_size=40))
@example([*[("append", 2), ("step", 0), ("read", 9), ("answer", 9)], *[("hand over", 3)] * 3])
@example(
    [
        *[
            ("append", 2),
            ("step", 0),
            ("read", 9),
            ("answer", 9),
            ("hand over", 3),
            ("fail hot", 0),
        ],
        *[("step", 0), ("hand over", 1), ("step", 0), ("read", 9), ("answer", 2), ("kill", 0)],
    ]
)
async def test_no_sample_is_lost_or_out_of_order(script: list[tuple[str, Any]]) -> None:
    with home_in_ram() as home:
        clock = ManualClock()
        life = Life(Device(home / "spool", clock=clock, has_tail=True))
        for step, argument in script:
            await life.do(step, argument)
        await life.do("kill", 0)
        device = life.device
        for _ in range(2):
            clock.advance(6)
            device.step()
        given = await device.drain()
        places = [life.names.index(name(sample)) for sample in given]
        assert places == sorted(set(places))
        lost = set(life.names) - {*map(name, given)} - life.answered
        assert lost <= life.doubtful
        device.close()
        left = device.ledger()
        assert left.balanced
        assert not any(entry.waiting for entry in left.sessions)
        assert sum(entry.sampled for entry in left.sessions) == len(life.names)
