"""A spool at samples in it, of which a file is damaged, and its next two starts."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Literal

from support.clock import ManualClock
from support.spools import Blocked, Device, content, home_in_ram, name

from agent.model import Sample
from agent.spool.directories import FILE
from quartet.errors import StoreError

Which = Literal["hot", "cold"]
Damage = Callable[[Path], None]

PAGE_BYTES = 4096
SESSIONS, SAMPLES = 3, 400


# Three sessions of which all waits, in one of the tiers


class Original:
    """The files of a spool in which samples wait, and those samples in their order."""

    def __init__(self, which: Which) -> None:
        self.samples: list[Sample] = []
        self.files: dict[str, dict[str, bytes]] = {}
        with home_in_ram() as home:
            device = Device(home, clock=ManualClock())
            device.start()
            block = None
            for _ in range(SESSIONS):
                device.begin_session()
                self.samples += device.keep(1)
                if which == "hot" and not block:
                    block = Blocked(device.directories.cold)
                self.samples += device.keep(SAMPLES - 1)
            if block:
                block.close()
                device.kill()
            else:
                device.close()
            for directory in (device.directories.hot, device.directories.cold):
                with closing(sqlite3.connect(directory / FILE)) as file:
                    file.execute("PRAGMA wal_checkpoint(truncate)")
            self.files = {
                directory.name: {path.name: path.read_bytes() for path in directory.iterdir()}
                for directory in (device.directories.hot, device.directories.cold)
            }

    def put_into(self, home: Path, clock: ManualClock) -> Device:
        device = Device(home, clock=clock, sessions_before=SESSIONS)
        for directory in (device.directories.hot, device.directories.cold):
            for file, data in self.files[directory.name].items():
                (directory / file).write_bytes(data)
        return device


original = cache(Original)


class Rescue:
    """The next two starts of a device, of which a file was damaged."""

    async def run(self, device: Device, clock: ManualClock) -> None:
        with suppress(StoreError):
            before = device.ledger()
            assert not (before.balanced and before.damaged)
        device.start()
        session = device.begin_session()
        new = device.keep(5)
        self.given = await device.drain()
        clock.advance(6)
        self.given += await device.drain()
        clock.advance(6)
        device.close()
        self.ledger = device.ledger()
        assert [s for s in self.given if s.session.id == session.id] == new
        self.given = [s for s in self.given if s.session.id != session.id]
        device.start()
        assert await device.drain() == []
        device.tiers.close()
        assert device.ledger() == self.ledger

    def assert_consistent_with(self, samples: list[Sample]) -> None:
        """What is given is what was sampled, each once, in order; the books tell the rest."""
        self.assert_true_and_in_order(samples)
        assert self.ledger.balanced
        for entry in self.ledger.sessions:
            mine = sum(sample.session.id == entry.session_id for sample in self.given)
            assert entry.waiting == 0
            if entry.sequence < self.ledger.sessions[-1].sequence:
                assert entry.answered == mine

    def assert_true_and_in_order(self, samples: list[Sample]) -> None:
        by_name = {name(sample): sample for sample in samples}
        assert [content(s) for s in self.given] == [content(by_name[name(s)]) for s in self.given]
        order = {each: place for place, each in enumerate(by_name)}
        places = [order[name(sample)] for sample in self.given]
        assert places == sorted(set(places))
