"""The tail: samples that a waiting reader gets at once are safe, before any tier has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.spools import Blocked, Device, count, home_in_ram, name, rooms

from agent.model import Sample
from agent.spool import tail
from agent.spool.account import Account, Fate
from agent.spool.coming import MANY_SAFE
from agent.spool.row import Row
from agent.spool.tail import SLOTS
from quartet.errors import StoreError


@pytest.fixture
def device(clock: ManualClock) -> Iterator[Device]:
    with home_in_ram() as home:
        yield Device(home / "spool", clock=clock, has_tail=True)


async def begin(device: Device) -> None:
    """Start, and answer a first sample, which makes the session known to the hot tier."""
    device.start()
    device.keep(1)
    await device.drain()
    device.clock.advance(2)
    device.step()  # it is deleted on the disk


def settle(device: Device, *samples: Sample) -> None:
    for sample in samples:
        device.queue.settle(sample, answered=True)


async def test_a_waiting_reader_gets_a_sample_without_the_disk_thread(device: Device) -> None:
    await begin(device)
    (sample,) = await device.hand_over()
    assert sample.id == 1
    assert not device.queue.gather(0).closing  # and there was nothing to wait for


async def test_the_first_sample_of_a_session_goes_by_the_disk_thread(device: Device) -> None:
    await begin(device)
    device.begin_session()
    assert await device.hand_over() == []
    device.step()
    (first,) = await device.take(9)
    settle(device, first)
    assert [each.id for each in await device.hand_over()] == [1]


async def test_what_is_answered_in_time_gets_no_row_and_is_in_the_account(device: Device) -> None:
    await begin(device)
    for _ in range(5):
        settle(device, *await device.hand_over())
    device.step()
    assert count(device.directories.hot) == 0
    (entry,) = device.ledger().sessions
    assert (entry.sampled, entry.answered, entry.waiting) == (6, 6, 0)


async def test_what_is_not_answered_in_time_gets_a_row(device: Device) -> None:
    await begin(device)
    samples = [sample for _ in range(3) for sample in await device.hand_over()]
    settle(device, samples[1])
    device.step()
    assert count(device.directories.hot) == 2
    settle(device, samples[0], samples[2])
    device.step()
    assert count(device.directories.hot) == 0
    assert device.ledger().balanced


@pytest.mark.parametrize("harm", ["none", "no file", "cannot be written", "cannot be read"])
async def test_after_a_crash_samples_that_no_tier_had_are_sent(device: Device, harm: str) -> None:
    await begin(device)
    waiting = device.keep(2)
    assert await device.take(9) == waiting
    samples = [sample for _ in range(4) for sample in await device.hand_over()]
    settle(device, samples[0])  # a crash forgets that, and the broker says the same again
    device.kill()
    (entry,) = device.ledger().sessions
    assert (entry.sampled, entry.answered, entry.waiting_ids) == (7, 1, [(1, 6)])
    assert device.ledger().balanced

    def refuse(path: Path) -> None:
        if path.parent.name == "hot":
            raise StoreError(f"{path}: cannot be used: read-only file system", path)

    hot = device.directories.hot
    if harm == "no file":
        (hot / "spool.db").unlink()
        (hot / "spool.db-wal").unlink()
    block = Blocked(hot, unreadable=True) if harm == "cannot be read" else None
    hooks = {"before_write": refuse} if harm == "cannot be written" else {}
    with device.files.meanwhile(**hooks):
        device.start()
        given = await device.drain()
    assert [*map(name, given)] == [*map(name, waiting + samples)]
    if block:
        block.close()
    device.close()
    (entry,) = device.ledger().sessions
    assert (entry.sampled, entry.answered, entry.waiting) == (7, 7, 0)
    assert device.ledger().balanced


async def test_a_torn_record_costs_its_sample_alone_and_is_told(device: Device) -> None:
    await begin(device)
    for _ in range(3):
        await device.hand_over()
    device.kill()
    path = device.directories.hot / tail.FILE
    ring = bytearray(path.read_bytes())
    ring[64 + 30] ^= 1  # of the second of three
    path.write_bytes(ring)
    (entry,) = device.ledger().sessions
    assert (entry.waiting_ids, entry.unbooked_ids) == ([(1, 1), (3, 3)], [(2, 2)])
    device.start()
    assert [each.id for each in await device.drain()] == [1, 3]
    device.close()
    (entry,) = device.ledger().sessions
    assert (entry.sampled, entry.answered) == (4, 3)
    assert entry.fates[Fate.CRASHED].runs == [(2, 2)]


async def test_a_power_cut_takes_it_and_invents_nothing(device: Device) -> None:
    await begin(device)
    await device.hand_over()
    device.cut_power()
    device.start()
    assert await device.drain() == []
    device.close()
    assert device.ledger().balanced


async def test_no_sample_overtakes_one_that_is_with_the_disk_thread(device: Device) -> None:
    await begin(device)
    assert len(await device.hand_over()) == 1
    device.append(2)  # while nobody waits for them
    assert await device.hand_over() == []
    device.step()
    assert [each.id for each in await device.take(9)] == [2, 3, 4]


async def test_while_the_ram_tier_fails_every_sample_goes_by_the_disk_thread(
    device: Device, clock: ManualClock
) -> None:
    await begin(device)
    block = Blocked(device.directories.hot)
    await device.hand_over()
    device.step()
    assert await device.hand_over() == []
    device.step()
    block.close()
    clock.advance(60)
    device.keep(1)
    await device.drain()
    assert len(await device.hand_over()) == 1


async def test_what_is_booked_as_answered_does_not_come_back(device: Device) -> None:
    await begin(device)
    for _ in range(3):
        settle(device, *await device.hand_over())
    device.step()
    device.kill()
    device.start()
    assert await device.drain() == []
    device.close()
    (entry,) = device.ledger().sessions
    assert (entry.sampled, entry.answered) == (4, 4)


async def test_old_records_do_not_come_back(device: Device, clock: ManualClock) -> None:
    await begin(device)
    for _ in range(3):
        settle(device, *await device.hand_over())
    block = Blocked(device.directories.hot)
    device.step()  # straight to the disk: the RAM tier takes nothing
    device.keep(1)
    await device.drain()
    block.close()
    device.kill()
    device.start()
    assert await device.drain() == []
    clock.advance(60)
    device.step()
    assert await device.hand_over() == []  # a new process, a new session
    device.close()
    assert device.ledger().balanced


@pytest.mark.parametrize("harm", ["removed", "replaced", "no directory"])
async def test_without_its_file_samples_go_by_the_disk_thread(
    device: Device, clock: ManualClock, harm: str
) -> None:
    await begin(device)
    path = device.directories.hot / tail.FILE
    path.unlink()
    if harm == "replaced":
        path.write_bytes(b"another one")
    if harm == "no directory":
        path.mkdir()
    clock.advance(2)
    device.step()
    if harm == "no directory":
        assert await device.hand_over() == []
        device.step()
        settle(device, *await device.take(9))
        path.rmdir()
    clock.advance(6)
    device.step()
    samples = await device.hand_over()
    assert len(samples) == 1
    device.kill()
    device.start()
    assert [*map(name, await device.drain())] == [*map(name, samples)]
    device.close()
    assert device.ledger().balanced


async def test_a_full_tail_leaves_its_samples_to_the_disk_thread(device: Device) -> None:
    await begin(device)
    for number in range(SLOTS):
        (sample,) = await device.hand_over()
        settle(device, sample)
        assert device.queue.wants_more is False
        assert device.queue._has_work() is (number + 1 >= MANY_SAFE)  # noqa: SLF001 - who is woken
    assert await device.hand_over() == []
    device.step()
    settle(device, *await device.take(9))
    device.step()
    assert len(await device.hand_over()) == 1


async def test_with_durability_disk_every_sample_waits_for_the_disk(
    tmp_path: Path, clock: ManualClock
) -> None:
    device = Device(tmp_path / "spool", rooms(durability="disk"), clock=clock, has_tail=True)
    await begin(device)
    assert await device.hand_over() == []
    device.step()
    assert len(await device.take(9)) == 1


async def test_a_stop_leaves_no_file(device: Device) -> None:
    await begin(device)
    settle(device, *await device.hand_over())
    device.close()
    assert not (device.directories.hot / tail.FILE).exists()


def test_gaps_are_booked_where_no_file_was_damaged() -> None:
    session = Device.session_of(3)
    rows = [(7, b""), (8, b""), (11, b"")]
    known = [(session, Account(sampled=5, answered=5))]
    ((_, account),), found = tail.adopt({session.id: rows}, known, name_gaps=True)
    assert found == [Row(3, 7, b""), Row(3, 8, b""), Row(3, 11, b"")]
    assert (account.sampled, account.fates[Fate.CRASHED].runs) == (12, [(5, 6), (9, 10)])
    ((_, account),), _ = tail.adopt({session.id: rows}, known, name_gaps=False)
    assert (account.sampled, account.fates) == (12, {})
    assert known[0][1].sampled == 5
