"""`broker status`: what it says of each agent, by a clock that a test moves."""

import io
import json
import time
from pathlib import Path

import pytest
from support.chain import Chain
from support.clock import ManualClock
from support.status import S_NS, Records, line
from support.store import header, lines_in, sample, send_on

from broker.__main__ import main
from broker.judged import State
from broker.model import Alarm, Learning, Standing
from broker.recorder.opening import open_reader
from broker.recorder.reader import (
    LineState,
    PlainAccount,
    RecordedEvent,
    RecordedExplanation,
)
from broker.records import ENDED_BY_AGENT, EventKind
from broker.status import Status, read
from broker.watching import show

DAY_NS = 86_400 * S_NS
ENDED = "the connection broke"


def event(clock: ManualClock, kind: EventKind, text: str, ago_s: float) -> RecordedEvent:
    return RecordedEvent(clock.time_ns() - round(ago_s * S_NS), kind, text)


async def status(clock: ManualClock, *lines: LineState, **more: object) -> Status:
    return await read(Records(clock, *lines, **more), clock)  # type: ignore[arg-type]


async def test_a_rehearsal_needs_nobody_and_one_that_has_ended_is_only_counted(
    clock: ManualClock,
) -> None:
    alarm = Standing(alarm=Alarm(clock.time_ns(), "hot"))
    told = await status(
        clock,
        line(clock, "rehearsal-live", is_rehearsal=True, prediction=True, standing=alarm),
        line(clock, "rehearsal-old", heard_s=4000.0, is_rehearsal=True),
        line(clock, "rehearsal-older", heard_s=8000.0, is_rehearsal=True),
    )
    assert [(each.agent_id, each.state) for each in told.agents] == [
        ("rehearsal-live", State.ALARM)
    ]
    assert not told.needs_person
    text = told.to_text().splitlines()
    assert text[0] == "the broker has run for 60 min; 1 rehearsal needs nobody"
    assert text[-1] == "ended: 2 rehearsals ('broker ledger' counts the samples)"
    assert json.loads(told.to_json())["silent_rehearsals"] == 2


async def test_rehearsals_are_not_among_the_agents_that_need_a_person(clock: ManualClock) -> None:
    alarm = Standing(alarm=Alarm(clock.time_ns(), "hot"))
    told = await status(
        clock,
        line(clock, "press-4", prediction=True, standing=alarm),
        *(line(clock, f"rehearsal-{number}", is_rehearsal=True) for number in range(2)),
    )
    assert told.to_text().startswith(
        "the broker has run for 60 min; 1 of 1 agent needs a person; 2 rehearsals need nobody\n"
    )
    told = await status(clock, line(clock, "rehearsal-old", heard_s=4000.0, is_rehearsal=True))
    assert told.to_text().splitlines() == [
        "the broker has run for 60 min; no agent except rehearsals that have ended",
        "ended: 1 rehearsal ('broker ledger' counts the samples)",
    ]


async def test_an_alarm_says_its_zone_and_says_alarm_once(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        alarm = Standing(alarm=Alarm(0, "alarm: MEWMA is 35.6"))
        told = await status(clock, line(clock, prediction=True, standing=alarm))
        assert told.to_text().endswith("  since 1970-01-01 01:00:00 CET: MEWMA is 35.6")
    finally:
        monkeypatch.undo()
        time.tzset()


# States


@pytest.mark.parametrize(
    ("heard_s", "period_s", "state"),
    [
        (-3600.0, 0.1, State.NORMAL),  # a clock that was set back
        (3.0, 0.1, State.NORMAL),
        (3.1, 0.1, State.LATE),
        (30.0, 0.1, State.LATE),
        (30.1, 0.1, State.OFFLINE),
        (179.0, 60.0, State.NORMAL),
        (181.0, 60.0, State.LATE),
        (599.0, 60.0, State.LATE),
        (601.0, 60.0, State.OFFLINE),
        (3.1, None, State.LATE),
        (30.1, None, State.OFFLINE),
        (None, None, State.OFFLINE),
    ],
)
async def test_an_agent_is_late_and_then_offline_by_its_own_pace(
    heard_s: float | None, period_s: float | None, state: State, clock: ManualClock
) -> None:
    period_ns = None if period_s is None else round(period_s * S_NS)
    found = await status(clock, line(clock, heard_s=heard_s, period_ns=period_ns))
    assert found.agents[0].state is state
    assert found.needs_person is (state is State.OFFLINE)


async def test_the_worst_stands_first_and_the_first_state_that_holds_counts(
    clock: ManualClock,
) -> None:
    learning, alarm = Learning(120, 300), Alarm(clock.time_ns() - 60 * S_NS, "sensor2")
    found = await status(
        clock,
        line(clock, "a-normal"),
        line(clock, "b-learning", standing=Standing(learning)),
        line(clock, "b-steady", standing=Standing(shift="8.2 spreads off (sensor2 +7.9)")),
        line(clock, "c-late", 10.0),
        line(clock, "d-alarm", standing=Standing(None, alarm), prediction=True),
        line(clock, "e-offline", 100.0),
        line(clock, "f-late-in-alarm", 10.0, standing=Standing(None, alarm), prediction=True),
        line(clock, "g-expires", certificate_until_ns=clock.time_ns() + 5 * DAY_NS),
    )
    assert [(each.agent_id, each.state.value, each.needs_person) for each in found.agents] == [
        ("e-offline", "offline", True),
        ("f-late-in-alarm", "late", True),
        ("d-alarm", "alarm", True),
        ("g-expires", "normal", True),
        ("c-late", "late", False),
        ("b-learning", "learning", False),
        ("b-steady", "steady", False),
        ("a-normal", "normal", False),
    ]
    text = found.to_text().splitlines()
    assert text[0] == "the broker has run for 60 min; 4 of 8 agents need a person"
    assert text[1].split() == ["agent", "state", "last", "sample", "missing", "certificate", "why"]
    assert "ALARM since 20" in text[3]
    assert text[3].endswith(": sensor2")
    assert " ALARM " in text[4]
    assert text[5].endswith("5 days  renew its certificate")
    assert text[7].endswith("120/300 learned")
    assert text[8].endswith("  8.2 spreads off (sensor2 +7.9)")


async def test_a_steady_level_is_told_in_every_state_and_learning_comes_first(
    clock: ManualClock,
) -> None:
    shift = "14 spreads off (sensor1 +14.0)"
    alarm = Alarm(clock.time_ns(), "far off")
    for state, standing, heard_s in (
        ("learning", Standing(Learning(1, 300), shift=shift), 0.0),
        ("alarm", Standing(None, alarm, shift), 0.0),
        ("late", Standing(shift=shift), 10.0),
    ):
        found = await status(
            clock, line(clock, heard_s=heard_s, standing=standing, prediction=bool(standing.alarm))
        )
        assert found.agents[0].state.value == state
        assert f"steady level {shift}" in found.to_text()


@pytest.mark.parametrize(
    ("days", "needs", "cell"),
    [(31, False, "31 days"), (29, True, "29 days"), (0.5, True, "0 days"), (-1, True, "expired")],
)
async def test_a_certificate_that_ends_soon_needs_a_person(
    days: float, needs: bool, cell: str, clock: ManualClock
) -> None:
    until_ns = clock.time_ns() + round(days * DAY_NS)
    found = await status(clock, line(clock, certificate_until_ns=until_ns))
    assert found.needs_person is needs
    assert cell in found.to_text()
    assert ("renew its certificate" in found.to_text()) is needs


@pytest.mark.parametrize(
    ("kind", "ago_s", "served_for_s", "why"),
    [
        (EventKind.ENDED, 100.0, 3600.0, ENDED),
        (EventKind.ENDED, 100.0, None, ENDED),
        (EventKind.OPENED, 200.0, 3600.0, "connected, but sends no samples"),
        (EventKind.OPENED, 200.0, 100.0, "not connected since the broker started"),
        (EventKind.OPENED, 200.0, None, "the broker stopped"),
        (None, 0.0, 3600.0, "not connected since the broker started"),
        (None, 0.0, None, "the broker stopped"),
    ],
)
async def test_an_agent_that_is_offline_says_why(
    kind: EventKind | None, ago_s: float, served_for_s: float | None, why: str, clock: ManualClock
) -> None:
    stream = event(clock, kind, ENDED, ago_s) if kind else None
    found = await status(
        clock, line(clock, heard_s=100.0, stream=stream), served_for_s=served_for_s
    )
    assert found.agents[0].connection == why
    assert found.to_text().endswith(why)


async def test_a_stream_that_the_agent_ended_is_told_in_a_whole_sentence(
    clock: ManualClock,
) -> None:
    stream = event(clock, EventKind.ENDED, ENDED_BY_AGENT, 100.0)
    found = await status(clock, line(clock, heard_s=100.0, stream=stream), served_for_s=3600.0)
    assert found.agents[0].connection == "the agent ended its stream"


async def test_without_a_broker_somebody_must_start_it(clock: ManualClock) -> None:
    found = await status(clock, line(clock), served_for_s=None)
    assert found.needs_person
    assert found.to_text().startswith("no broker runs: start it. These are its last records; none")


async def test_a_running_broker_without_agents_is_well(clock: ManualClock) -> None:
    found = await status(clock)
    assert not found.needs_person
    assert found.to_text() == "the broker has run for 60 min; no agent has sent a sample"


async def test_a_predictor_that_was_reset_is_news_for_a_day_and_needs_nobody(
    clock: ManualClock,
) -> None:
    for ago_s, is_told in ((7200.0, True), (86_300.0, True), (86_500.0, False)):
        begun = event(clock, EventKind.BEGUN, "a person asked for it", ago_s)
        found = await status(clock, line(clock, begun=begun))
        assert not found.needs_person
        assert ("ago: a person asked for it" in found.to_text()) is is_told


@pytest.mark.parametrize(
    ("kept_s", "why"),
    [(86_400.0, "its latest sample was taken 24 h ago"), (60.0, ""), (-86_400.0, "")],
)
async def test_an_agent_that_sends_what_it_kept_is_told_from_one_of_the_present(
    kept_s: float, why: str, clock: ManualClock
) -> None:
    found = await status(clock, line(clock, heard_s=1.0, kept_s=kept_s))
    last = found.to_text().splitlines()[-1]
    assert last.endswith(f"1 s ago        0            -  {why}".rstrip())
    taken_at_ns = json.loads(found.to_json())["agents"][0]["taken_at_ns"]
    assert taken_at_ns == clock.time_ns() - round((1.0 + kept_s) * S_NS)


async def test_an_alarm_that_an_older_version_recorded_is_one(clock: ManualClock) -> None:
    said = RecordedExplanation("0" * 32, 5, 0, "sensor3")
    found = await status(clock, line(clock, prediction=True, explanation=said))
    assert found.agents[0].state is State.ALARM
    assert found.agents[0].alarm == Alarm(clock.time_ns(), "sensor3")
    silent = await status(clock, line(clock, prediction=True))
    assert silent.to_text().endswith(": the predictor gives no reason")


async def test_plain_peers_are_one_line(clock: ManualClock) -> None:
    records = Records(clock, line(clock))
    records.streams = PlainAccount(3, 120, 120)
    found = await read(records, clock)  # type: ignore[arg-type]
    assert found.to_text().splitlines()[-1] == (
        "without agent metadata: 3 streams, 120 samples answered"
    )


async def test_what_others_have_said_cannot_harm_a_terminal(clock: ManualClock) -> None:
    harm = "\x1b[2J\n\u202e"
    found = await status(
        clock,
        line(clock, "press-4" + harm, standing=Standing(None, Alarm(0, harm)), prediction=True),
        line(clock, "press-5", 100.0, stream=event(clock, EventKind.ENDED, harm, 5.0)),
    )
    assert all(each.isprintable() for each in found.to_text().split("\n"))
    assert len(found.to_text().split("\n")) == 4


# JSON


async def test_the_document_says_all_of_it(clock: ManualClock) -> None:
    alarm = Alarm(clock.time_ns() - 60 * S_NS, "sensor2")
    records = Records(
        clock,
        line(
            clock,
            standing=Standing(Learning(1, 2), alarm, "8.2 spreads off"),
            missing=3,
            certificate_until_ns=5,
            begun=event(clock, EventKind.BEGUN, "1", 1.0),
        ),
    )
    out = io.StringIO()
    assert await show(records, as_json=True, out=out, clock=clock) == 1  # type: ignore[arg-type]
    assert json.loads(out.getvalue()) == {
        "schema": 1,
        "at_ns": clock.time_ns(),
        "broker": {"is_running": True, "since_ns": records.served_since_ns},
        "needs_person": True,
        "agents": [
            {
                "agent_id": "press-4",
                "state": "alarm",
                "needs_person": True,
                "heard_at_ns": clock.time_ns(),
                "taken_at_ns": clock.time_ns(),
                "learning": {"seen": 1, "needed": 2},
                "alarm": {"since_ns": alarm.since_ns, "reason": "sensor2"},
                "missing": 3,
                "certificate_until_ns": 5,
                "connection": "",
                "begun": {"at_ns": clock.time_ns() - S_NS, "kind": "begun", "text": "1"},
                "is_rehearsal": False,
                "sensors": None,
                "shift": "8.2 spreads off",
            }
        ],
        "plain": {"streams": 0, "received": 0, "answered": 0},
        "silent_rehearsals": 0,
    }


# Over a store


async def test_a_store_tells_how_its_agents_are_with_a_broker_and_without(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    clock = ManualClock()
    with lines_in(path, Chain, clock=clock) as lines:
        opened = header(4, agent="press-4", at_ns=0, period_ns=10 * S_NS)
        with await lines.open(opened) as stream:
            await send_on(stream, [sample(id_) for id_ in (4, 5, 9)])
        with await lines.open(None) as plain:
            await send_on(plain, [sample(0)])
        running = await read(open_reader(path), clock)
        (agent,) = running.agents
        assert running.served_since_ns is not None
        assert (agent.agent_id, agent.missing, running.plain.streams) == ("press-4", 3, 1)
        clock.advance(99.0)
        late = await read(open_reader(path), clock)
        assert late.agents[0].state is State.LATE
    stopped = await read(open_reader(path), clock)
    assert stopped.served_since_ns is None
    assert stopped.needs_person


def test_a_store_in_memory_is_refused_with_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["status"], config=tmp_path / "none.toml")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "keeps its records in memory" in said
    assert "broker run --store PATH" in said


def test_a_store_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["status", "--store", str(tmp_path / "none.db")]) == 1
    said = capsys.readouterr().err
    assert "none.db: there is no such file: name the store of a broker;" in said
    assert [*tmp_path.iterdir()] == []
