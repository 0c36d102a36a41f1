"""A publisher to a real MQTT server, and what its readers get."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support import mosquitto
from support.patience import until

from quartet.backoff import Backoff
from quartet.mqtt.publisher import Publisher
from quartet.settings import MqttServer

NEEDS_SERVER = [
    pytest.mark.skipif(not mosquitto.is_there(), reason="no mosquitto here"),
    # The library leaves the sockets of failed handshakes to the garbage collection.
    pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning"),
]

STATUS = "quartet/status"


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


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> str:
    def found() -> str | None:
        return next((each for each in caplog.messages if text in each), None)

    await asyncio.to_thread(until, lambda: found() is not None)
    return str(found())
