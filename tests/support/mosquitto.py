"""An MQTT server of Debian's package, and a client that keeps all that it hears."""

import os
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from support.certificates import Files
from support.patience import PATIENCE_S, until
from support.ports import listens

_PROGRAM = Path("/usr/sbin/mosquitto")

USER = "quartet"


def is_there() -> bool:
    """Whether the package is installed."""
    return _PROGRAM.exists()


class Mosquitto:
    """A server on a port of loopback. What it keeps is gone when it is stopped."""

    def __init__(
        self,
        port: int,
        folder: Path,
        *,
        password: str | None = None,
        tls: Files | None = None,
        rights: str = "",
    ) -> None:
        self.port = port
        self._folder = folder
        lines = [f"listener {port} 127.0.0.1", "persistence false", f"log_dest file {self.log}"]
        lines.append(f"allow_anonymous {str(password is None).lower()}")
        if os.geteuid() == 0:
            lines.append("user root")
        if password is not None:
            file = folder / "passwords"
            make = ["mosquitto_passwd", "-b", "-c", str(file), USER, password]
            subprocess.run(make, check=True, capture_output=True)
            lines.append(f"password_file {file}")
        if rights:
            (folder / "rights").write_text(f"{rights}\n")
            lines.append(f"acl_file {folder / 'rights'}")
        if tls:
            lines += [f"certfile {tls.certificate}", f"keyfile {tls.key}"]
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self._folder / "log"

    def start(self) -> None:
        process = subprocess.Popen([_PROGRAM, "-c", self._settings], stderr=subprocess.DEVNULL)
        self._process = process

        def is_ready() -> bool:
            assert process.poll() is None, self.log.read_text() if self.log.exists() else "ended"
            return listens(process.pid, self.port)

        until(is_ready)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running(port: int, **more: Any) -> Iterator[Mosquitto]:
    """A server while entered."""
    folder = Path(tempfile.mkdtemp(prefix="quartet-mosquitto-"))
    server = Mosquitto(port, folder, **more)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


class Mailbox:
    """A client of a server without TLS, with all messages of it. Any thread."""

    def __init__(self, port: int, password: str | None = None) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._kept: dict[str, bytes] = {}
        self._changed = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2, f"mailbox-{uuid.uuid4().hex}")
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        if password is not None:
            self._client.username_pw_set(USER, password)
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, 1, retain).wait_for_publish(PATIENCE_S)

    @property
    def kept(self) -> Mapping[str, bytes]:
        """The latest at each topic, without those that were taken away."""
        with self._changed:
            return {topic: payload for topic, payload in self._kept.items() if payload}

    def wait_for(self, topic: str, holds: Callable[[bytes], object] = bool) -> bytes:
        """The first payload at a topic, of those from now on and the present one, that holds."""

        def found() -> bytes | None:
            payload = self._kept.get(topic)
            return payload if payload is not None and holds(payload) else None

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, PATIENCE_S)
            payload = found()
            assert payload is not None, f"{topic}: {self._kept.get(topic)!r}, {self.heard[-5:]}"
            return payload

    def wait_for_document(
        self, topic: str, holds: Callable[[Any], object] = bool
    ) -> dict[str, Any]:
        """The same of a JSON document."""
        payload = self.wait_for(topic, lambda said: said and holds(msgspec.json.decode(said)))
        document: dict[str, Any] = msgspec.json.decode(payload)
        return document

    def count(self, topic: str) -> int:
        with self._changed:
            return sum(heard == topic for heard, _ in self.heard)

    def _take(self, _client: Client, _: object, message: MQTTMessage) -> None:
        with self._changed:
            self.heard.append((message.topic, message.payload))
            self._kept[message.topic] = message.payload
            self._changed.notify_all()
