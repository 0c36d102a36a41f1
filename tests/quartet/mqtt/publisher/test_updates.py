"""A real MQTT server is kept up to date, whatever it does."""

import asyncio
import gc
import logging
import random
from pathlib import Path

import pytest
from support import mosquitto
from support.clock import ManualClock
from support.mosquitto import Mailbox
from support.patience import until
from support.publishing import NEEDS_SERVER, STATUS, Bench, logged, publishing
from support.relay import relayed

from quartet.backoff import Backoff
from quartet.mqtt.publisher import Leftovers, Publisher
from quartet.settings import MqttServer

pytestmark = NEEDS_SERVER

BIRTH = "homeassistant/status"


async def heard(box: Mailbox, topic: str, payload: bytes) -> None:
    await asyncio.to_thread(box.wait_for, topic, payload.__eq__)


async def test_all_is_kept_for_who_comes_later_and_what_is_gone_is_taken_away(port: int) -> None:
    with mosquitto.running(port) as server:
        async with publishing(MqttServer(server.address)) as bench:
            with Mailbox(port) as early:
                await heard(early, "quartet/a", b"1")
            with Mailbox(port) as late:
                await heard(late, STATUS, b"online")
                await heard(late, "quartet/a", b"1")
                bench.messages = {"quartet/b": b"2"}
                await heard(late, "quartet/b", b"2")
                await heard(late, "quartet/a", b"")
                assert late.kept == {STATUS: b"online", "quartet/b": b"2"}
        with Mailbox(port) as last:
            await heard(last, STATUS, b"offline")


async def test_what_did_not_change_is_not_told_again(port: int) -> None:
    with mosquitto.running(port) as server, Mailbox(port) as box:
        async with publishing(MqttServer(server.address)) as bench:
            for number in range(20):
                bench.messages = {"quartet/a": b"1", "quartet/n": b"%d" % number}
                await heard(box, "quartet/n", b"%d" % number)
            assert (box.count("quartet/a"), box.count("quartet/n")) == (1, 20)


async def test_home_assistant_gets_all_again_when_it_has_started(port: int) -> None:
    with mosquitto.running(port) as server, Mailbox(port) as box:
        async with publishing(MqttServer(server.address)):
            await heard(box, "quartet/a", b"1")
            for time in range(2, 4):
                await asyncio.to_thread(box.publish, BIRTH, "online")
                await asyncio.to_thread(until, lambda time=time: box.count("quartet/a") == time)
            await asyncio.to_thread(box.publish, BIRTH, "offline")
            assert box.count("quartet/a") == 3


async def test_a_server_that_forgot_all_is_told_all_and_its_outage_is_said_once(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "quartet.mqtt")
    with mosquitto.running(port) as server, Mailbox(port) as box:
        async with publishing(MqttServer(server.address)) as bench:
            await heard(box, "quartet/a", b"1")
            assert bench.publisher.standing == f"publishing to {server.address}"
            server.stop()
            await logged(caplog, "nothing listens there")
            assert f"{server.address}: nothing listens there: " in bench.publisher.standing
            server.start()
            await logged(caplog, "connected again, after")
            assert bench.publisher.standing == f"publishing to {server.address}"
        with Mailbox(port) as late:
            await heard(late, "quartet/a", b"1")
    warnings = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == len(set(warnings)) <= 3
    assert all(each.startswith(f"MQTT server 127.0.0.1:{port}: ") for each in warnings)
    assert sum("connected again" in each for each in caplog.messages) == 1


async def test_an_error_of_our_own_is_told_and_ends_nothing(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    asked = iter([ZeroDivisionError("ours")])

    def messages() -> dict[str, bytes]:
        for error in asked:
            raise error
        return {"quartet/a": b"1"}

    with mosquitto.running(port) as server, Mailbox(port) as box:
        backoff = Backoff(0.01, 0.05, random.Random(1))  # noqa: S311
        publisher = Publisher(
            MqttServer(server.address), "quartet-a", STATUS, messages, backoff=backoff
        )
        publisher.start()
        await logged(caplog, "internal error: please report it")
        await heard(box, "quartet/a", b"1")
        await publisher.close()


async def test_a_hundred_reconnects_leave_nothing_behind(port: int) -> None:
    """A week of them, in small: each ends another way than by our own goodbye."""
    with mosquitto.running(port) as server:
        async with publishing(MqttServer(server.address)) as bench:
            descriptors, tasks = 0, 0
            for number in range(100):
                bench.messages = {"quartet/n": b"%d" % number}
                with Mailbox(port) as box:
                    await heard(box, "quartet/n", b"%d" % number)
                    if number == 10:
                        descriptors, tasks = held()
                    await asyncio.to_thread(_end, port)
            with Mailbox(port) as box:
                await heard(box, "quartet/n", b"99")
                now_descriptors, now_tasks = held()
                assert now_descriptors <= descriptors + 2
                assert now_tasks <= tasks + 2


async def test_an_outage_is_as_long_as_it_was(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """And not as long as from another one on, which was too short after the last to be told."""
    caplog.set_level(logging.INFO, "quartet.mqtt")
    clock = ManualClock()
    with mosquitto.running(port) as server:
        async with publishing(MqttServer(server.address), clock=clock) as bench:
            for lasted_s in (0, 0, 3600):
                await told_twice(bench, port)
                clock.advance(lasted_s)
                await asyncio.to_thread(_end, port)
            await told_twice(bench, port)
    again = [each for each in caplog.messages if "connected again" in each]
    assert again
    assert all(each.endswith("after 0.0 s") for each in again)


async def told_twice(bench: Bench, port: int) -> None:
    """Wait until it is connected, and has noted that."""
    for said in (b"once", b"twice"):
        bench.messages = {"quartet/n": said}
        with Mailbox(port) as box:
            await heard(box, "quartet/n", said)


def held() -> tuple[int, int]:
    """Open files and tasks of this process, without the garbage."""
    gc.collect()
    return len([*Path("/proc/self/fd").iterdir()]), len(asyncio.all_tasks())


def _end(port: int) -> None:
    """Another client comes by the same id: the server ends the first one's connection."""
    twin = mosquitto.Client(mosquitto.CallbackAPIVersion.VERSION2, "quartet-a")
    twin.connect("127.0.0.1", port)
    while not twin.is_connected():
        twin.loop(1)
    twin.disconnect()
    twin.loop(1)


async def test_what_an_earlier_run_left_is_taken_away_and_nothing_of_others(port: int) -> None:
    with mosquitto.running(port) as server, Mailbox(port) as box:
        for topic in ("quartet/x/status", "quartet/x/state", "quartet/a", "other/x/status"):
            await asyncio.to_thread(lambda topic=topic: box.publish(topic, "old", retain=True))
        left = Leftovers("quartet/+/status", lambda topic: (topic, topic[:-2] + "e"))
        async with publishing(MqttServer(server.address), leftovers=left) as bench:
            bench.messages = None  # not known yet: all stays
            await heard(box, STATUS, b"online")
            assert box.kept["quartet/x/status"] == b"old"
            bench.messages = {"quartet/a": b"1"}
            await heard(box, "quartet/x/status", b"")
            await heard(box, "quartet/a", b"1")
            assert box.kept["other/x/status"] == b"old"


async def test_a_stop_is_told_also_where_the_server_confirms_nothing(port: int) -> None:
    with mosquitto.running(port), Mailbox(port) as box:
        async with relayed(port) as relay:
            async with publishing(MqttServer(f"127.0.0.1:{relay.port}")) as bench:
                await heard(box, "quartet/a", b"1")
                relay.is_mute = True
                bench.messages = {"quartet/a": b"2"}
                await heard(box, "quartet/a", b"2")
            await heard(box, STATUS, b"offline")
