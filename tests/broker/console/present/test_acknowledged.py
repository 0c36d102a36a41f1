"""An alarm that a person acknowledged, as pages are told of it."""

from support.present import Site
from support.records import S_NS, Noted, Said

from broker.model import Alarm, Standing


async def alarmed(site: Site) -> int:
    """An alarm of agent a that has just begun; when."""
    site.records.send("a")
    await site.look()
    begun_ns = site.records.send("a", prediction=True, reason="hot").sampled_at_ns
    await site.look()
    return begun_ns


async def test_an_alarm_that_was_acknowledged_needs_nobody_more(site: Site) -> None:
    begun_ns = await alarmed(site)
    site.book.alarms["a"] = Noted(begun_ns, Said(site.clock.time_ns(), "shift-a", "oil"))
    site.records.send("a", prediction=True)
    fleet = await site.look()
    row = fleet["agents"]["a"]
    assert (row["state"], row["needs_person"], row["since"]) == (
        *("acknowledged", False, begun_ns / 1e6),
    )
    said = row["alarm"]["acknowledged"]
    assert (said["by"], said["note"]) == ("shift-a", "oil")
    assert (fleet["counts"]["acknowledged"], fleet["counts"]["alarm"]) == (1, 0)
    site.clock.advance(60.0)  # a machine that froze meanwhile does need somebody
    row = await site.row()
    assert (row["state"], row["needs_person"]) == ("offline", True)


async def test_a_run_that_follows_soon_is_the_same_alarm(site: Site) -> None:
    begun_ns = await alarmed(site)
    site.book.alarms["a"] = Noted(begun_ns, Said(site.clock.time_ns(), "shift-a", ""))
    site.records.send("a")
    await site.look(5.0)
    site.records.send("a", prediction=True)
    row = await site.row()
    assert (row["state"], row["alarm"]["id"]) == ("acknowledged", str(begun_ns))


async def test_a_book_that_lags_acknowledges_no_later_alarm(site: Site) -> None:
    begun_ns = await alarmed(site)
    site.book.read_at_s = site.clock.monotonic()
    site.book.alarms["a"] = Noted(begun_ns, Said(site.clock.time_ns(), "shift-a", ""))
    site.records.send("a")
    await site.look()
    site.clock.advance(20.0)
    later_ns = site.records.send("a", prediction=True).sampled_at_ns
    row = await site.row()
    assert (row["state"], row["alarm"]["id"]) == ("alarm", str(later_ns))
    site.book.read_at_s = site.clock.monotonic()
    site.book.alarms["a"] = Noted(later_ns)
    site.records.send("a", prediction=True)
    assert (await site.row())["state"] == "alarm"
    site.book.alarms["a"] = Noted(later_ns, Said(site.clock.time_ns(), "shift-a", ""))
    assert (await site.row())["state"] == "acknowledged"


async def test_an_alarm_that_was_acknowledged_stays_so_while_the_book_is_built_again(
    site: Site,
) -> None:
    begun_ns = await alarmed(site)
    site.book.alarms["a"] = Noted(begun_ns, Said(site.clock.time_ns(), "shift-a", ""))
    await site.look()
    site.book.read_at_s = float("-inf")
    for number in range(30):
        site.book.alarms = {"a": Noted(begun_ns - 86_400 * S_NS)} if number % 2 else {}
        site.records.send("a", prediction=True)
        row = await site.row(1.0)
        assert (row["state"], row["alarm"]["id"]) == ("acknowledged", str(begun_ns))


async def test_an_alarm_is_found_again_by_a_console_that_starts_within_it(site: Site) -> None:
    now_ns = site.clock.time_ns()
    site.records.send("a", prediction=True)
    site.records.change("a", standing=Standing(alarm=Alarm(now_ns, "hot")))
    earlier_ns = now_ns - 30 * S_NS  # the book knows of runs before
    site.book.alarms["a"] = Noted(earlier_ns, Said(now_ns, "shift-a", ""))
    row = await site.row()
    assert (row["state"], row["alarm"]["id"]) == ("acknowledged", str(earlier_ns))


async def test_a_book_that_cannot_be_read_leaves_the_fleet_as_it_is(site: Site) -> None:
    site.records.send("a")
    site.book.trouble = "console.db: disk full"
    fleet = await site.look()
    assert fleet["store"]["history"] == "console.db: disk full"
    assert (fleet["store"]["stale"], fleet["agents"]["a"]["state"]) == ("", "normal")
