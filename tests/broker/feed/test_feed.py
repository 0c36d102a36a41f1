"""What a feed tells of certificates, what a look costs, and marks."""

from dataclasses import replace

import pytest
from support.feed import T2, Site
from support.records import S_NS

from broker.feed import Kind

DAY_NS = 86_400 * S_NS


async def test_a_certificate_is_told_at_30_7_and_1_days_and_at_its_end(site: Site) -> None:
    until_ns = site.clock.time_ns() + 40 * DAY_NS
    site.records.connect("a", certificate_until_ns=until_ns)
    told = []
    for _ in range(45):
        site.records.send("a")
        seen = await site.look(86_400)
        told += [each for each in seen.events if each.kind is Kind.CERTIFICATE_EXPIRES]
        site.feed = site.follow(site.feed.mark())
    assert [each.days_left for each in told] == [30, 7, 1, 0]
    assert {each.at_ns for each in told} == {until_ns}
    assert len({each.key for each in told}) == 4
    site.records.change("a", certificate_until_ns=site.clock.time_ns() + 2 * DAY_NS)
    site.records.send("a")
    (event,) = [e for e in (await site.look(5)).events if e.kind is Kind.CERTIFICATE_EXPIRES]
    assert event.days_left == 7


async def test_a_look_asks_two_questions_and_lines_once_a_second_at_most(site: Site) -> None:
    for number in range(40):
        site.records.send(f"m{number}")
    await site.look()
    site.records.asked.clear()
    for _ in range(8):
        site.records.send("m7", prediction=True)
        await site.look()
    assert site.records.asked.count("bulk") == 8
    assert site.records.asked.count("lines") <= 4
    assert len(site.records.asked) <= 12


async def test_lines_that_take_long_are_asked_more_seldom(site: Site) -> None:
    site.records.lines_take_s = 0.5
    site.records.send("a")
    await site.look()
    site.records.asked.clear()
    for _ in range(20):
        await site.look()
    assert site.records.asked.count("lines") <= 3


async def test_a_mark_that_is_none_is_refused(site: Site) -> None:
    for mark in (b"nonsense", b"{}", b"[1]"):
        with pytest.raises(ValueError, match=r".+"):
            site.follow(mark)


async def test_an_event_has_the_same_key_wherever_it_is_seen(site: Site) -> None:
    await site.send_for(3)
    site.records.send("a", prediction=True, reason=T2)
    other = site.follow()
    (event,) = (await site.look(1.0)).events
    (same,) = (await other.look()).events
    assert event.key == same.key
    assert event.key != replace(event, alarm_ns=1).key
