"""An MQTT server is kept up to date, whatever it does: a real one."""

import asyncio
import gc
import logging
import random
import socket
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from support import mosquitto
from support.certificates import Ca
from support.clock import ManualClock
from support.mosquitto import Mailbox
from support.patience import PATIENCE_S, until
from support.ports import kept_port
from support.relay import relayed

from quartet.backoff import Backoff
from quartet.mqtt.cause import MqttServerError
from quartet.mqtt.connection import probe
from quartet.mqtt.publisher import Leftovers, Publisher
from quartet.settings import MqttServer

pytestmark = [
    pytest.mark.skipif(not mosquitto.is_there(), reason="no mosquitto here"),
    # The library leaves the sockets of failed handshakes to the garbage collection.
    pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning"),
]

PASSWORD = "an open secret"  # noqa: S105
STATUS = "quartet/status"
BIRTH = "homeassistant/status"
PROBED = "quartet/agent/a/check"


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def port() -> Iterator[int]:
    with kept_port() as number:
        yield number


class Bench:
    """A publisher, and what it is to tell."""

    def __init__(self, server: MqttServer, **more: Any) -> None:
        self.messages: dict[str, bytes] | None = {"quartet/a": b"1"}
        backoff = Backoff(0.01, 0.05, random.Random(1))  # noqa: S311
        self.publisher = Publisher(
            server, "quartet-a", STATUS, lambda: self.messages, look_s=0.01, backoff=backoff, **more
        )


@asynccontextmanager
async def publishing(server: MqttServer, **more: Any) -> AsyncIterator[Bench]:
    bench = Bench(server, **more)
    bench.publisher.start()
    try:
        yield bench
    finally:
        await bench.publisher.close()


async def heard(box: Mailbox, topic: str, payload: bytes) -> None:
    await asyncio.to_thread(box.wait_for, topic, payload.__eq__)


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> str:
    def found() -> str | None:
        return next((each for each in caplog.messages if text in each), None)

    await asyncio.to_thread(until, lambda: found() is not None)
    return str(found())


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


async def tasks_left() -> int:
    """Tasks of this loop, once those that are about to end have ended."""
    for _ in range(10):
        await asyncio.sleep(0)
    return len(asyncio.all_tasks())


async def test_a_stop_is_told_also_where_the_server_confirms_nothing(port: int) -> None:
    with mosquitto.running(port), Mailbox(port) as box:
        async with relayed(port) as relay:
            async with publishing(MqttServer(f"127.0.0.1:{relay.port}")) as bench:
                await heard(box, "quartet/a", b"1")
                relay.is_mute = True
                bench.messages = {"quartet/a": b"2"}
                await heard(box, "quartet/a", b"2")
            await heard(box, STATUS, b"offline")


# Who is not let in


async def refusal(server: MqttServer) -> str:
    with pytest.raises(MqttServerError) as refused:
        await probe(server, PATIENCE_S, PROBED)
    return str(refused.value)


async def test_a_password_is_read_from_its_file_and_a_wrong_one_is_named(
    port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "password"
    file.write_text("wrong\n")
    login = MqttServer(f"127.0.0.1:{port}", username=mosquitto.USER, password_file=str(file))
    with mosquitto.running(port, password=PASSWORD):
        assert "it refuses the login" in await refusal(login)
        assert "it wants a user name" in await refusal(MqttServer(login.address))
        async with publishing(login):
            text = await logged(caplog, "it refuses the login")
            assert "password_file" in text
            file.write_text(f"{PASSWORD}\n")  # no restart is needed
            caplog.set_level(logging.INFO, "quartet.mqtt")
            await logged(caplog, "connected again")
    assert PASSWORD not in caplog.text
    assert "wrong" not in caplog.text.replace("is wrong", "")


async def test_a_client_without_the_right_to_write_is_told_once(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with mosquitto.running(port, rights="topic read #") as server:
        it = MqttServer(server.address, topic_prefix="plant/1")
        said = await refusal(it)
        assert said.startswith("it does not let this client publish: give its user the right to")
        assert "plant/1/# and homeassistant/device/+/config" in said
        async with publishing(it) as bench:
            await logged(caplog, "it does not let this client publish")
            assert "it does not let this client publish" in bench.publisher.standing
            bench.messages = {"quartet/a": b"2"}
            caplog.set_level(logging.INFO, "quartet.mqtt")
            server.stop()
            await logged(caplog, "nothing listens there")
    assert sum("does not let" in each for each in caplog.messages) == 1


async def test_a_server_that_speaks_only_the_older_version_is_served() -> None:
    levels = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            connect = await mqtt_packet(reader)
            levels.append(connect[6])
            writer.write(b"\x20\x02\x00" + (b"\x01" if connect[6] == 5 else b"\x00"))
            if connect[6] == 4:
                message = await mqtt_packet(reader)
                writer.write(b"\x40\x02" + message[2 + len(PROBED) :][:2])
                await reader.read()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        await probe(MqttServer(f"127.0.0.1:{port}"), PATIENCE_S, PROBED)
    assert levels == [5, 4]


async def mqtt_packet(reader: asyncio.StreamReader) -> bytes:
    """The next one of less than 128 bytes, without its header."""
    header = await reader.readexactly(2)
    return await reader.readexactly(header[1])


async def test_tls_is_verified(port: int, tmp_path: Path) -> None:
    ca, other = Ca(tmp_path), Ca(tmp_path, "other")
    files, foreign = ca.issue("localhost"), ca.issue("elsewhere")
    address = f"localhost:{port}"
    with mosquitto.running(port, tls=files):
        await probe(MqttServer(address, ca=str(ca.path)), PATIENCE_S, PROBED)
        assert "certificate is not accepted" in await refusal(
            MqttServer(address, ca=str(other.path))
        )
        assert "if it expects TLS, set ca" in await refusal(MqttServer(address))
    with mosquitto.running(port, tls=foreign):
        assert "certificate is not accepted" in await refusal(MqttServer(address, ca=str(ca.path)))
    with mosquitto.running(port):
        assert "may expect no TLS" in await refusal(MqttServer(address, ca=str(ca.path)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password_file": "none"}, "password_file: none: No such file or directory"),
        ({"ca": "none"}, "ca: none: No such file or directory"),
        ({"ca": "/dev/null"}, "ca: /dev/null: "),
    ],
)
async def test_a_file_that_cannot_be_used_is_named(changes: dict[str, str], said: str) -> None:
    settings = MqttServer("127.0.0.1:1", username="a", **changes)
    assert (await refusal(settings)).startswith(said)


async def test_who_is_not_reached_is_told_in_words(port: int) -> None:
    assert "nothing listens there" in await refusal(MqttServer(f"127.0.0.1:{port}"))
    for name in ("no-such-host.invalid", "home..local", f"{'a' * 64}.local"):
        unknown = MqttServer(f"{name}:1883", insecure=True)
        assert f"the name {name} is not known" in await refusal(unknown)


async def test_a_server_that_never_answers_holds_up_nobody() -> None:
    """It takes connections, and says nothing: a close is within its second."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with publishing(MqttServer(address)):
            taken, _ = await asyncio.to_thread(silent.accept)
        taken.close()
        before = await tasks_left()
        with pytest.raises(MqttServerError, match="does not answer within 1 s"):
            await probe(MqttServer(address), 1, PROBED)
        assert await tasks_left() == before
        tried, _ = silent.accept()
        with closing(tried):
            tried.settimeout(PATIENCE_S)
            while await asyncio.to_thread(tried.recv, 1024):
                pass  # what it says, to the end: nothing stays open


def test_a_name_server_that_does_not_answer_holds_up_no_end_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, released, answered = (threading.Event() for _ in range(3))

    def answer(*_: object, **__: object) -> object:
        asked.set()
        released.wait(PATIENCE_S)
        answered.set()
        raise socket.gaierror

    async def run() -> None:
        async with publishing(MqttServer("plant.invalid:1883", insecure=True)):
            await asyncio.to_thread(asked.wait, PATIENCE_S)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    asyncio.run(run())
    assert asked.is_set()
    assert not answered.is_set()
    released.set()
