"""Who hears of a plant: a receiver of webhooks and an MQTT server, on the host of its machines."""

import asyncio
import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from support.mosquitto import USER, Mailbox, Mosquitto, running
from support.patience import PATIENCE_S
from support.receivers import Hook, Posted, hook

from machines.login import free_port

SECRET = "a word between a plant and its webhook"  # noqa: S105 - of no other plant
PASSWORD = "a word between a plant and its MQTT server"  # noqa: S105


@dataclass(frozen=True)
class Hearers:
    """The two, and a client that keeps all that the MQTT server hears."""

    webhook: Hook
    mqtt: Mosquitto
    mailbox: Mailbox

    @property
    def of_notify(self) -> dict[str, object]:
        """What an inventory says so that `broker notify` tells the webhook."""
        return {
            "broker_notify": True,
            "broker_notify_webhooks": [{"url": self.webhook.url}],
            "broker_notify_secret": SECRET,
        }

    @property
    def of_mqtt(self) -> dict[str, object]:
        """What it says so that `broker mqtt` tells the MQTT server."""
        return {
            "broker_mqtt": True,
            "broker_mqtt_settings": self.server,
            "broker_mqtt_password": PASSWORD,
        }

    @property
    def server(self) -> dict[str, object]:
        """The MQTT server, but for the password."""
        return {"address": self.mqtt.address, "username": USER}

    @property
    def messages(self) -> list[Any]:
        """The documents that the webhook received; each is signed."""
        posted = list(self.webhook.posted)
        assert all(map(_is_signed, posted))
        return [each.json for each in posted]

    @property
    def kinds(self) -> set[str]:
        """What the webhook was told of."""
        return {event["kind"] for message in self.messages for event in message["events"]}


def _is_signed(posted: Posted) -> bool:
    said = {name.lower(): value for name, value in posted.headers.items()}
    signed = f"{said['webhook-id']}.{said['webhook-timestamp']}.".encode() + posted.body
    digest = hmac.digest(SECRET.encode(), signed, hashlib.sha256)
    return said["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


@contextmanager
def listening() -> Iterator[Hearers]:
    """Have both until the end."""
    with (
        _webhook() as webhook,
        running(free_port(), password=PASSWORD) as mqtt,
        Mailbox(mqtt.port, PASSWORD) as mailbox,
    ):
        yield Hearers(webhook, mqtt, mailbox)


@contextmanager
def _webhook() -> Iterator[Hook]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="webhook")
    thread.start()
    try:
        served = hook()
        yield asyncio.run_coroutine_threadsafe(served.__aenter__(), loop).result(PATIENCE_S)
        end = served.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(end, loop).result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()
