"""An MQTT server that refuses a publisher, or is not there, is named with its reason."""

import asyncio
import logging
import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support import mosquitto
from support.certificates import Ca
from support.patience import PATIENCE_S
from support.publishing import NEEDS_SERVER, logged, publishing

from quartet.mqtt.cause import MqttServerError
from quartet.mqtt.connection import probe
from quartet.settings import MqttServer

pytestmark = NEEDS_SERVER

PASSWORD = "an open secret"  # noqa: S105

PROBED = "quartet/agent/a/check"


async def tasks_left() -> int:
    """Tasks of this loop, once those that are about to end have ended."""
    for _ in range(10):
        await asyncio.sleep(0)
    return len(asyncio.all_tasks())


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
