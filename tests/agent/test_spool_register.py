"""The register: what the ledger tells of samples that only ever were in memory."""

from pathlib import Path

import pytest
from support.spools import Device, errors

from agent.spool import ledger, register
from agent.spool.account import Fate
from agent.spool.tier import Tier
from quartet.database import Synchronous


async def test_after_a_kill_the_books_know_each_id_that_was_given(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.start()
    device.keep(3)
    device.append(4)
    device.kill()
    (entry,) = device.ledger().sessions
    assert not device.ledger().balanced
    assert (entry.waiting_ids, entry.unbooked_ids) == ([(0, 2)], [(3, 6)])
    for _ in range(2):
        device.start()
        device.step()
        (entry, *_) = device.ledger().sessions
        assert (entry.waiting_ids, entry.fates[Fate.CRASHED].runs) == ([(0, 2)], [(3, 6)])
        assert device.ledger().balanced
        device.kill()
    assert any("4 samples were in memory alone" in each for each in errors(caplog))


async def test_a_session_that_no_tier_was_told_of_is_in_the_books(device: Device) -> None:
    device.start()
    device.append(4)
    device.kill()
    device.start()
    samples = device.keep(2)
    assert await device.drain() == samples
    device.close()
    unknown, known = device.ledger().sessions
    assert unknown.fates[Fate.CRASHED].runs == [(0, 3)]
    assert (known.answered, known.fates) == (2, {})
    assert unknown.sequence < known.sequence
    assert device.ledger().balanced


async def test_while_the_agent_runs_what_is_in_memory_waits(device: Device) -> None:
    device.start()
    device.keep(3)
    device.append(4)
    (entry,) = device.ledger().sessions
    assert (entry.sampled, entry.waiting) == (7, 7)
    assert device.ledger().balanced
    device.close()
    assert not (device.directories.hot / register.FILE).exists()


async def test_while_the_agent_runs_two_sessions_may_be_in_memory(device: Device) -> None:
    device.start()
    device.keep(3)
    device.append(2)
    device.begin_session()  # ids have reached their highest
    device.append(4)
    first, second = device.ledger().sessions
    assert (first.waiting_ids, second.waiting_ids) == ([(0, 4)], [(0, 3)])
    assert device.ledger().balanced
    device.kill()
    assert [each.unbooked_ids for each in device.ledger().sessions] == [[(3, 4)], [(0, 3)]]


async def test_of_an_agent_that_ends_while_the_ledger_is_read_what_was_in_memory_waits(
    device: Device,
) -> None:
    opened: list[Path] = []

    def open_tier(path: Path, synchronous: Synchronous | None) -> Tier:
        opened.append(path)
        if len(opened) == 3:
            device.tiers.close()
        return Tier(path, synchronous)

    device.start()
    device.step()
    device.append(3)
    left = ledger.read(device.directories, open_tier)
    assert (left.balanced, left.sessions[0].waiting) == (True, 3)
    assert not device.ledger().balanced


async def test_while_an_agent_starts_the_ledger_tells_what_it_will_book(device: Device) -> None:
    device.start()
    device.keep(3)
    device.append(4)
    device.kill()
    device.start()
    (entry,) = device.ledger().sessions
    assert entry.fates[Fate.CRASHED].runs == [(3, 6)]
    assert device.ledger().balanced


async def test_a_register_left_on_the_disk_is_no_news_later(device: Device) -> None:
    device.start()
    device.keep(3)
    left = (device.directories.hot / register.FILE).read_bytes()
    device.kill()
    (device.directories.cold / register.FILE).write_bytes(left)
    device.start()
    assert not (device.directories.cold / register.FILE).exists()
    assert len(await device.drain()) == 3
    device.close()


class HalfWritten(type(Path())):  # type: ignore[misc]
    """A file that is being written at the first look."""

    looks = 0

    def read_bytes(self) -> bytes:
        data = bytearray(super().read_bytes())
        type(self).looks += 1
        data[60] ^= type(self).looks == 1
        return bytes(data)


async def test_a_record_that_is_being_written_is_looked_at_again(device: Device) -> None:
    device.start()
    device.append(3)
    (given,) = register.read(HalfWritten(device.directories.hot / register.FILE))
    assert (given.next_id, HalfWritten.looks) == (3, 2)


async def test_a_register_that_is_damaged_is_ignored_and_named(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.start()
    device.keep(3)
    device.kill()
    path = device.directories.hot / register.FILE
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    assert f"{path}: is damaged" in device.ledger().ignored[0]
    device.start()
    assert f"{path}: is damaged (its checksum); it is ignored" in caplog.text
    assert len(await device.drain()) == 3
    device.close()
    assert ledger.read(device.directories).balanced
