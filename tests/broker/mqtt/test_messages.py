"""What an MQTT server is told of a fleet, over records and a clock that a test moves."""

from typing import Any

import msgspec
import pytest
from support.clock import ManualClock
from support.records import Records

from broker.feed import Feed
from broker.mqtt.messages import Messages
from quartet.settings import MqttServer
from wire.sensors import Label

STATE = "quartet/broker/press-4/state"
T2 = "alarm: T2 is 30, its limit 22: sensor2 74%, sensor1 26%"
NAMED = (Label("inlet", "bar"), Label("oil", "°C"), None, Label("</b>{{ 7*7 }}", ""))


class Site:
    """A fleet, and what is told of it."""

    def __init__(self, **settings: object) -> None:
        self.clock = ManualClock()
        self.records = Records(self.clock)
        self.feed = Feed(self.records, clock=self.clock)  # type: ignore[arg-type]
        server = MqttServer("127.0.0.1:1883", **settings)  # type: ignore[arg-type]
        self.messages = Messages(server, "1.2", self.clock)

    async def told(self, seconds: float = 1.5) -> dict[str, bytes]:
        self.clock.advance(seconds)
        self.messages.take(await self.feed.look())
        return dict(self.messages.present() or {})

    async def document(self, topic: str = STATE) -> Any:
        return msgspec.json.decode((await self.told())[topic])


async def test_nothing_is_known_before_the_first_look() -> None:
    assert Site().messages.present() is None
    assert await Site().told() == {}


async def test_of_a_store_that_was_never_read_nothing_is_known() -> None:
    site = Site()
    site.records.connect("press-4")
    site.records.trouble = "broker.db: has schema 1"
    await site.told()
    assert site.messages.present() is None
    site.records.trouble = ""
    assert STATE in await site.told()


async def test_each_agent_has_a_state_a_status_and_a_device() -> None:
    site = Site()
    for agent in ("press-4", "oil.pump"):
        site.records.connect(agent)
        site.records.send(agent, (1.0, float("nan"), 3.0, 4.0))
    told = await site.told()
    assert sorted(told) == [
        "homeassistant/device/quartet_broker_oil-dpump/config",
        "homeassistant/device/quartet_broker_press--4/config",
        "quartet/broker/oil.pump/state",
        "quartet/broker/oil.pump/status",
        STATE,
        "quartet/broker/press-4/status",
    ]
    state = msgspec.json.decode(told[STATE])
    assert (state["state"], state["alarm"]) == ("normal", False)
    assert [state[f"sensor{number}"] for number in range(1, 5)] == [1, None, 3, 4]
    device = msgspec.json.decode(told["homeassistant/device/quartet_broker_press--4/config"])
    assert device["availability"] == [
        {"topic": "quartet/status"},
        {"topic": "quartet/broker/press-4/status"},
    ]


async def test_an_alarm_is_told_with_its_reason_by_the_names_of_the_sensors() -> None:
    site = Site()
    site.records.connect("press-4", sensors=NAMED)
    site.records.send("press-4")
    await site.told()
    site.records.send("press-4", prediction=True, reason=T2)
    state = await site.document()
    assert (state["state"], state["alarm"]) == ("alarm", True)
    assert state["why"] == "T2 is 30, its limit 22: oil 74%, inlet 26%"
    assert state["alarm_since"]


async def test_who_is_silent_is_offline_and_its_alarm_is_not_known() -> None:
    site = Site()
    site.records.connect("press-4")
    site.records.send("press-4", prediction=True, reason=T2)
    await site.told()
    told = await site.told(60)
    assert told["quartet/broker/press-4/status"] == b"offline"
    assert msgspec.json.decode(told[STATE])["alarm"] is None


async def test_simulations_and_peers_without_an_id_are_left_out() -> None:
    site = Site()
    site.records.connect("sim-1", is_rehearsal=True)
    site.records.connect("127.0.0.1:4711")
    site.records.connect("a/+/#")
    for agent in ("sim-1", "127.0.0.1:4711", "a/+/#"):
        site.records.send(agent)
    assert await site.told() == {}


async def test_of_an_agent_that_is_forgotten_nothing_is_told() -> None:
    site = Site()
    site.records.connect("press-4")
    site.records.send("press-4")
    assert STATE in await site.told()
    del site.records.states["press-4"]
    assert await site.told() == {}


async def test_values_wait_for_the_interval() -> None:
    site = Site(interval_s=60)
    site.records.connect("press-4")
    site.records.send("press-4", (1.0, 2.0, 3.0, 4.0))
    assert (await site.document())["sensor1"] == 1
    site.records.send("press-4", (5.0, 2.0, 3.0, 4.0))
    assert (await site.document())["sensor1"] == 1
    site.records.send("press-4", (6.0, 2.0, 3.0, 4.0), prediction=True)
    assert (await site.document())["sensor1"] == 6


async def test_without_discovery_what_was_told_of_devices_is_taken_back() -> None:
    site = Site(discovery=False)
    site.records.connect("press-4")
    assert (await site.told())["homeassistant/device/quartet_broker_press--4/config"] == b""


@pytest.mark.parametrize("agent", ["press-4", "oil.pump", "a_b"])
async def test_the_status_of_an_agent_leads_to_all_its_topics(agent: str) -> None:
    site = Site(topic_prefix="plant/1")
    site.records.connect(agent)
    site.records.send(agent)
    status = f"plant/1/broker/{agent}/status"
    assert set(site.messages.beside(status)) == set(await site.told())
    assert site.messages.filter == "plant/1/broker/+/status"
