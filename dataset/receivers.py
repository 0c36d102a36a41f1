"""Receivers for demo-integrations: a web server, a mail server, a subscriber. Each has a thread."""

import base64
import hashlib
import hmac
import json
import secrets
import socket
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import paho.mqtt.client as mqtt
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope


class WebhookReceiver:
    """A web server that checks the signature of each message."""

    def __init__(self) -> None:
        self.secret = secrets.token_hex(16)
        self.begun_at = ""
        """When the first sample of the alarm was taken (ISO 8601)."""
        self._subject = ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_genuine = hmac.compare_digest(
                    receiver.signature(self.headers, body), self.headers["webhook-signature"]
                )
                if is_genuine:
                    receiver.take(json.loads(body))
                self.send_response(204 if is_genuine else 401)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """The demo prints what arrives."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, name="webhook", daemon=True).start()

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def signature(self, headers: Any, body: bytes) -> str:
        """As docs/notifications.md describes it."""
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(self.secret.encode(), signed, hashlib.sha256).digest()
        return f"v1,{base64.b64encode(digest).decode()}"

    def take(self, message: dict[str, Any]) -> None:
        """Note a message on an alarm."""
        for event in message["events"]:
            if event["kind"] == "alarm_begun":
                self.begun_at = event["at"]
                self._subject = message["subject"]

    def alarm(self) -> str:
        """The subject of the message; empty as long as none came."""
        return self._subject

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()


class MailReceiver:
    """A mail server that keeps the letters."""

    def __init__(self) -> None:
        self._subjects: list[str] = []
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port: int = taken.getsockname()[1]  # the library connects to it, so 0 is no choice
        self._server = Controller(self, "127.0.0.1", self.port)
        self._server.start()

    async def handle_DATA(self, _: object, __: object, envelope: Envelope) -> str:  # noqa: N802
        """Take a letter."""
        letter = message_from_bytes(envelope.content or b"", policy=default)  # type: ignore[arg-type]
        self._subjects.append(str(letter["Subject"]))
        return "250 taken"

    def alarm(self) -> str:
        """The subject of the letter on the alarm; empty as long as none came."""
        return next((subject for subject in self._subjects if "ALARM" in subject), "")

    def close(self) -> None:
        """Listen no longer."""
        self._server.stop()


class MqttReceiver:
    """A subscriber to the state of one agent."""

    def __init__(self, port: int, agent_id: str) -> None:
        self._said = ""
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(f"quartet/broker/{agent_id}/state")
        self._client.loop_start()

    def _take(self, _: object, __: object, message: mqtt.MQTTMessage) -> None:
        state = json.loads(message.payload)
        if state["alarm"]:
            self._said = f"{message.topic}  alarm: true, why: {state['why']}"

    def alarm(self) -> str:
        """The topic, and why; empty as long as there is no alarm."""
        return self._said

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
