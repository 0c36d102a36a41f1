"""What a console answers to its pages, over a real store and its own file."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from support.console import Served, make_store, served
from support.patience import PATIENCE_S

from broker.console.answers import RefusedError, encoded
from broker.console.book.writings import MOST_SHOWN
from broker.console.limits import Turns

INFINITY = float("inf")
ALL = "from=0&to=4000000000000"


async def test_numbers_come_as_a_browser_can_read_them(site: Served) -> None:
    reply = await site.get("/api/agent/odd/history?from=1000000000000&to=1000000000400&px=100")
    told = json.loads(reply.body.replace(b"1e999", b"Infinity"))
    assert (told["level"], told["width"]) == ("raw", 0)
    assert told["t"] == [1_000_000_000_000 + 100 * number for number in range(4)]
    assert told["v"][0] == [None, INFINITY] * 2
    assert told["v"][1] == [None, -INFINITY] * 2
    assert told["v"][2] == [None, 0.33333] * 2
    assert b"-1e999" in reply.body
    assert b"NaN" not in reply.body
    assert len(told["p"]) == 4


def test_infinities_are_written_wherever_they_are() -> None:
    tree = {"a": [1.0, INFINITY, None], "b": ({"c": -INFINITY},), "d": float("nan"), "e": "1e999"}
    assert encoded(tree) == b'{"a":[1.0,1e999,null],"b":[{"c":-1e999}],"d":null,"e":"1e999"}'


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=5&to=5", "from: must be before to"),
        ("from=6&to=5", "from: must be before to"),
        ("to=5", "from: missing"),
        ("from=1", "to: missing"),
        ("from=nan&to=5", "from: expected a time"),
        ("from=1&to=inf", "to: expected a time"),
        ("from=-1&to=5", "from: expected a time"),
        ("from=1&to=1e300", "to: expected a time"),
        ("from=x&to=5", "from: expected a time"),
        ("from=1&to=5&px=0", "px: expected a whole number from 1 to 4000"),
        ("from=1&to=5&px=4001", "px: expected"),
        ("from=1&to=5&px=1000000000", "px: expected"),
        ("from=1&to=5&px=-1", "px: expected"),
        ("from=1&to=5&px=1.5", "px: expected"),
        ("from=1&to=5&px=", "px: expected"),
        ("from=1&to=5&px=%C2%B2", "px: expected"),
    ],
)
async def test_a_range_that_is_none_is_refused_in_words(
    site: Served, query: str, said: str
) -> None:
    for what in ("history", "numbers"):
        reply = await site.get(f"/api/agent/a/{what}?{query}")
        assert (reply.status, reply.error[: len(said)]) == (400, said)
    if "px" not in query:
        assert (await site.get(f"/api/agent/a/download?{query}")).status == 400


@pytest.mark.parametrize(
    "path",
    [
        *("agent/nobody", f"agent/nobody/history?{ALL}", f"agent/nobody/numbers?{ALL}"),
        *(f"agent/nobody/download?{ALL}", "agent/%3Cb%3E", "agent/a/nothing", "agent/", "nothing"),
        *("agent/" + "x" * 2000,),
    ],
)
async def test_what_is_not_there_is_told(site: Served, path: str) -> None:
    reply = await site.get(f"/api/{path}")
    assert reply.status == 404
    assert reply.error


@pytest.mark.parametrize(
    "query",
    [
        *(
            "state=x",
            "acknowledged=x",
            "most=0",
            "most=1001",
            "most=x",
            "before=x:a",
            "before=-1:a",
            "before=1",
            "from=5&to=5",
        ),
        *("before=99999999999999999999:a", "from=nan"),
    ],
)
async def test_alarms_are_asked_for_in_order(site: Served, query: str) -> None:
    assert (await site.get(f"/api/alarms?{query}")).status == 400
    assert (await site.get("/api/alarms?state=&agent=&from=&to=&before=")).status == 200


async def test_pages_of_alarms_leave_none_out(site: Served) -> None:
    everything = (await site.get("/api/alarms?most=1000")).json
    assert not everything["more"]
    ids = [(each["agent"], each["id"]) for each in everything["alarms"]]
    assert {agent for agent, _ in ids} == {"a", "b.2", "odd"}
    assert all(isinstance(id_, str) for _, id_ in ids)
    found: list[tuple[str, str]] = []
    query = "most=1"
    while True:
        page = (await site.get(f"/api/alarms?{query}")).json
        found += [(each["agent"], each["id"]) for each in page["alarms"]]
        if not page["more"]:
            break
        last = page["alarms"][-1]
        query = f"most=1&before={last['id']}:{last['agent']}"
    assert found == ids
    of_a = (await site.get("/api/alarms?agent=a")).json["alarms"]
    assert {each["agent"] for each in of_a} == {"a"}


async def test_an_alarm_is_acknowledged_with_a_note(site: Served) -> None:
    alarm = (await site.get("/api/alarms?agent=a")).json["alarms"][0]
    path = f"/api/agent/a/alarms/{alarm['id']}/acknowledge"
    for bad in ({}, {"by": "shift-a", "note": "x" * 2001}, {"by": "shift-a", "note": 1}):
        assert (await site.post(path, bad)).status == 400
    assert (await site.post(path, {"by": "shift-a", "note": "seen"})).status == 200
    after = (await site.get("/api/alarms?agent=a")).json["alarms"][0]
    seen = after["acknowledged"]
    assert (seen["by"], seen["note"]) == ("shift-a", "seen")
    body = {"by": "shift-a", "note": ""}
    assert (await site.post("/api/agent/a/alarms/1/acknowledge", body)).status == 404
    assert (await site.post("/api/agent/a/alarms/x/acknowledge", body)).status == 400
    assert (await site.post("/api/agent/x/alarms/1/acknowledge", body)).status == 404


async def test_an_alarm_that_is_not_in_the_history_yet_is_acknowledged_later(
    tmp_path: Path,
) -> None:
    await make_store(tmp_path / "broker.db", samples=7)  # the last answer is True
    async with served(tmp_path) as site:
        row = (await (await site.stream()).tick())["agents"]["a"]
        path = f"/api/agent/a/alarms/{row['alarm']['id']}/acknowledge"
        reply = await site.post(path, {"by": "shift-a"})
        assert (reply.status, "history is being read" in reply.error) == (409, True)
        while await site.console.book.feed(site.console.reader):
            pass
        assert (await site.post(path, {"by": "shift-a"})).status == 200


async def test_a_note_is_shown_in_its_range(site: Served) -> None:
    note = {"by": "shift-a", "at": 1_500.5, "text": "<b>oil</b> \u202e 50 °C"}
    assert (await site.post("/api/agent/a/notes", note)).status == 200
    for bad in ({"text": ""}, {"text": " "}, {"text": "x" * 2001}, {"at": -1.0}, {"at": 1e300}):
        assert (await site.post("/api/agent/a/notes", {**note, **bad})).status == 400
    assert (await site.post("/api/agent/nobody/notes", note)).status == 404
    told = (await site.get("/api/agent/a/history?from=1000&to=2000")).json["notes"]
    assert [(each["at"], each["by"], each["text"]) for each in told] == [
        (1500.5, "shift-a", note["text"])
    ]
    assert (await site.get("/api/agent/a/history?from=2000&to=3000")).json["notes"] == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"\xff", b'{"by": null}', b"1e999"),
        b'{"x":' + b"[" * 8000 + b"]" * 8000 + b"}",
        b'{"x":' * 2500 + b"1" + b"}" * 2500,
    ],
)
async def test_a_body_that_is_none_is_refused(site: Served, body: bytes) -> None:
    assert (await site.post("/api/agent/a/rebase", body)).status == 400


async def test_an_agent_has_its_sessions_and_commands(site: Served) -> None:
    assert (await site.post("/api/agent/b.2/rebase", {"by": "shift-a"})).json == {"running": False}
    assert (await site.post("/api/agent/nobody/rebase", {"by": "shift-a"})).status == 404
    told = (await site.get("/api/agent/b.2")).json
    assert (told["agent"], told["session_count"]) == ("b.2", 1)
    (session,) = told["sessions"]
    assert (session["received"], session["answered"], session["balanced"]) == (1200, 1200, True)
    assert [each["name"] for each in told["commands"]] == ["rebase"]
    now_ms = time.time() * 1000
    range_ = f"from={now_ms - 600_000}&to={now_ms + 600_000}&px=10"
    (note,) = (await site.get(f"/api/agent/b.2/history?{range_}")).json["notes"]
    assert (note["by"], note["text"]) == ("shift-a", "asked for a reset of the model")
    assert not told["commands"][0]["applied"]
    fleet = (await site.get("/api/fleet")).json
    assert set(fleet["agents"]) == {"a", "b.2", "odd"}
    assert fleet["full"]


async def test_a_stream_begins_with_everything(site: Served) -> None:
    stream = await site.stream("/api/live?watch=a,nobody")
    first = await stream.tick()
    assert first["full"]
    assert set(first["agents"]) == {"a", "b.2", "odd"}
    many = ",".join(map(str, range(201)))
    assert (await site.get(f"/api/live?watch={many}")).status == 400


async def test_beyond_64_streams_a_page_is_asked_to_come_again(site: Served) -> None:
    while site.streams:
        await site.streams.pop().close()
    streams = []
    async with asyncio.timeout(PATIENCE_S):
        while True:
            stream = await site.stream()
            if stream.status != 200:
                break
            streams.append(stream)
    assert (len(streams) <= 64, stream.status) == (True, 503)
    await streams[0].close()
    async with asyncio.timeout(PATIENCE_S):
        while (await site.stream()).status != 200:
            await site.streams.pop().close()  # the server has not seen the end yet
    for each in [*streams, *site.streams]:
        await each.close()


async def test_questions_wait_for_their_turn_and_are_not_many() -> None:
    turns = Turns(2, "questions", patience_s=0.01)
    await turns.take()
    await turns.take()
    with pytest.raises(RefusedError) as refused:
        async with turns.turn():
            pass
    assert (refused.value.status, "Retry-After" in refused.value.headers) == (503, True)
    patient = Turns(1, "questions", patience_s=PATIENCE_S)
    async with patient.turn():
        waiting = asyncio.create_task(patient.take())
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


# Files


async def test_of_very_many_notes_the_latest_are_shown_and_that_is_said(site: Served) -> None:
    for number in range(MOST_SHOWN + 1):
        await site.console.book.add_note("a", number * 10**6, "shift-a", "oil")
    found = (await site.get("/api/agent/a/history?from=0&to=5000")).json
    assert len(found["notes"]) == MOST_SHOWN
    assert found["notes"][-1]["at"] >= MOST_SHOWN
    assert found["remarks"] == [f"only the latest {MOST_SHOWN} notes of this range are shown"]
