"""Files that a console sends, over a real store and its own file."""

import asyncio
import contextlib
import csv
import http.client
import io
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.console import Served, make_store, served
from support.patience import PATIENCE_S
from support.store import change

from broker.console.answers import RefusedError
from broker.console.api.history import named
from broker.console.book.model import AlarmState, RecordedAlarm
from broker.export.cells import cell, iso
from broker.recorder.reader import RecordedEvent
from broker.records import BEGUN_BY_PERSON, EventKind

ALL = "from=0&to=4000000000000"


def rows_of(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline="")))


async def test_a_range_is_downloaded_whole_by_two_at_once(site: Served) -> None:
    one, two = await asyncio.gather(
        *(site.get(f"/api/agent/{name}/download?{ALL}") for name in ("a", "b.2"))
    )
    for reply in (one, two):
        head, *rows = rows_of(reply.body)
        assert head == [
            "time",
            "session",
            "id",
            *[f"sensor{n}" for n in (1, 2, 3, 4)],
            "prediction",
            "arrived",
            "explanation",
        ]
        assert [int(row[2]) for row in rows] == list(range(1200))
        assert [float(row[3]) for row in rows] == [id_ / 2 for id_ in range(1200)]
        assert {row[6] for row in rows} == {"1.2676506e+30"}  # 2 ** 100
        assert {row[7] for row in rows} == {"0", "1"}
    assert one.headers["Content-Disposition"].startswith('attachment; filename="a-1970-01-01T')
    odd = rows_of((await site.get(f"/api/agent/odd/download?{ALL}")).body)
    assert odd[1][0] == "2001-09-09T01:46:40.000000Z"
    assert odd[1][3:7] == ["nan"] * 4
    assert odd[2][3:6] == ["inf", "-inf", "0.33333334"]
    none = await site.get("/api/agent/a/download?from=1&to=2")
    assert len(rows_of(none.body)) == 1


async def test_an_agent_whose_name_is_dots_is_asked_for_behind_a_tilde(tmp_path: Path) -> None:
    await make_store(tmp_path / "broker.db", [".", ".."])
    async with served(tmp_path) as site:
        for name in (".", ".."):
            for path in ("", f"/history?{ALL}", f"/numbers?{ALL}"):
                assert (await site.get(f"/api/agent/~{name}{path}")).status == 200
            assert (await site.get(f"/api/agent/~{name}")).json["agent"] == name
        assert (await site.get("/api/agent/~a")).status == 404


def test_a_reset_says_who_asked_for_it_at_the_console() -> None:
    texts = [BEGUN_BY_PERSON, "5 samples replayed", BEGUN_BY_PERSON, BEGUN_BY_PERSON]
    events = [RecordedEvent(at, EventKind.BEGUN, text) for at, text in enumerate(texts, start=10)]
    told = [each.text for each in named(events, [(3, "shift-a"), (9, "shift-b"), (12, "shift-c")])]
    assert told == ["shift-b asked for it", texts[1], "shift-c asked for it", BEGUN_BY_PERSON]


async def test_downloads_are_few_and_noted(site: Served) -> None:
    assert (await site.get(f"/api/agent/a/download?{ALL}")).status == 200
    taken = 0
    async with asyncio.timeout(PATIENCE_S):
        while taken < 4:  # one that a test before has read may be about to end
            with contextlib.suppress(RefusedError):
                await site.console.limits.downloads.take()
                taken += 1
            await asyncio.sleep(0)
    try:
        reply = await site.get(f"/api/agent/a/download?{ALL}")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "3")
    finally:
        for _ in range(4):
            site.console.limits.downloads.give_back()
    acts = await site.console.book.database.read(
        lambda rows: rows.execute("SELECT subject FROM audit WHERE verb = 'downloaded'").fetchall()
    )
    assert ("a",) in acts


async def test_a_download_that_fails_half_way_is_never_taken_for_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "broker.db"
    await make_store(store, samples=3000)
    async with served(tmp_path) as site:
        samples = type(site.console.reader).samples

        async def damaged(*arguments: Any) -> AsyncIterator[Any]:
            number = 0
            async for chunk in samples(*arguments):
                yield chunk
                number += 1
                if number == 2:
                    await asyncio.to_thread(change, store, "DROP TABLE samples")

        monkeypatch.setattr(type(site.console.reader), "samples", damaged)
        with pytest.raises(http.client.IncompleteRead) as broken:
            await site.get(f"/api/agent/a/download?{ALL}")
        assert broken.value.partial.startswith(b"time,session,id,")


async def test_text_of_a_stranger_is_no_formula_in_a_spreadsheet(site: Served) -> None:
    for text in ('=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1"):
        assert cell(text) == f"'{text}"
    assert cell("sensor2 74%") == "sensor2 74%"
    alarm = (await site.get("/api/alarms?agent=a")).json["alarms"][0]
    path = f"/api/agent/a/alarms/{alarm['id']}/acknowledge"
    await site.post(path, {"by": "shift-a", "note": '=1+1,"x"\nsecond'})
    head, *rows = rows_of((await site.get("/api/alarms.csv?agent=a")).body)
    assert head[-1] == "note"
    assert rows[0][-1] == '\'=1+1,"x"\nsecond'
    assert rows[0][0] == "a"


class Watched(RecordedAlarm):
    """An alarm that knows which threads wrote it down."""

    threads: ClassVar[set[int]] = set()

    @property
    def state(self) -> AlarmState:
        self.threads.add(threading.get_ident())
        return super().state


async def test_a_long_list_of_alarms_keeps_nobody_waiting(
    site: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms = [Watched("a", number, number + 1, "", 1, None) for number in range(1201)]

    async def listed(*_: object) -> list[RecordedAlarm]:
        return list(alarms)

    monkeypatch.setattr(site.console.book, "alarms", listed)
    reply = await site.get("/api/alarms.csv")
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert [row[2] for row in rows_of(reply.body)[1:]] == [
        iso(each.ended_at_ns or 0) for each in alarms
    ]
    assert Watched.threads
    assert threading.get_ident() not in Watched.threads  # the server's loop runs in this one


def test_times_far_away_are_written_somehow() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000000Z"
    assert iso(2**63 - 1) == "2262-04-11T23:47:16.854775Z"
