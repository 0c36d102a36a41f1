"""A server that receives messages by POST, signed as Standard Webhooks has it."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import ssl
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from broker.notify.config import WebhookSettings
from broker.notify.message import Message
from broker.notify.secrets import read_secret
from broker.notify.target import DeliveryError
from quartet.address import Address
from quartet.clock import Clock
from quartet.errors import SettingsError
from quartet.foreign import in_json, shown
from quartet.unreached import unreached

_LEAST_SECRET = 16

_SCHEMA = 1

# What secrets begin with that are bytes in base64.
_ENCODED = "whsec_"

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?\r?\n")

# A status line is shorter.
_MOST_BYTES = 8192

# Refused as it is, whenever it is sent. All else may pass: a wrong secret, a limit, a fault.
_FINAL = {400, 405, 406, 410, 411, 413, 414, 415, 422, 501, 505}

_HINTS = {
    400: "it does not take this message: see its log",
    401: "check secret_file, or the secret in the url",
    403: "check secret_file, or the secret in the url",
    404: "check the url",
    405: "check the url: it takes no POST",
    422: "it expects other keys: docs/notifications.md lists those that it gets",
    429: "it gets too many messages: raise notify.pause_s",
}


class Webhook:
    """Tries are cut off after a time, whatever the server does."""

    def __init__(self, settings: WebhookSettings, name: str, clock: Clock = time) -> None:
        """SettingsError for authorities that cannot be read."""
        self.name = name
        self._settings = settings
        self._clock = clock
        parts = urlsplit(settings.url)
        self._is_secure = parts.scheme == "https"
        host = parts.hostname or ""
        self._where = Address(host, parts.port or (443 if self._is_secure else 80))
        is_usual = parts.port in (None, 443 if self._is_secure else 80)
        self._host = str(self._where).rpartition(":")[0] if is_usual else str(self._where)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = tls_context("webhook.ca", settings.ca) if self._is_secure else None

    async def send(self, message: Message) -> str:
        """Post it once. A redirect is not followed."""
        body = document(message)
        try:
            request = self._request(message, body)
        except SettingsError as error:
            raise DeliveryError(str(error)) from error
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                status = await self._ask(request)
        except TimeoutError as error:
            raise DeliveryError(f"no answer within {self._settings.timeout_s:g} s") from error
        except (OSError, UnicodeError) as error:
            raise DeliveryError(self._told(error)) from error
        if 200 <= status < 300:
            return f"answered {status}"
        if 300 <= status < 400:
            raise DeliveryError(
                f"answered {status}: it leads to another address: put that one into the url"
            )
        hint = _HINTS.get(status, "see its log")
        raise DeliveryError(f"answered {status}: {hint}", is_final=status in _FINAL)

    async def _ask(self, request: bytes) -> int:
        """The status of the answer, of which no more is read."""
        reader, writer = await asyncio.open_connection(
            *(self._where.host, self._where.port),
            limit=_MOST_BYTES,
            ssl=self._tls,
            server_hostname=self._where.host if self._tls else None,
        )
        try:
            writer.write(request)
            await writer.drain()
            while True:
                status = await _status(reader)
                if status >= 200:
                    return status
        finally:
            writer.transport.abort()

    def _told(self, error: OSError | UnicodeError) -> str:
        where, found = self._where, None
        if isinstance(error, OSError):
            found = unreached(error, where.host, "the url", "a web server")
        text, remedy = found or (shown(getattr(error, "strerror", None) or error), "check the url")
        return f"port {where.port}: {text}: {remedy}"

    def _request(self, message: Message, body: bytes) -> bytes:
        headers = {
            "Host": self._host,
            "User-Agent": "Quartet",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            "webhook-id": message.id,
            "webhook-timestamp": str(self._clock.time_ns() // 10**9),
        }
        if self._settings.secret_file:
            key = signing_key(self._settings.secret_file)
            headers["webhook-signature"] = signature(key, headers, body)
        lines = [f"POST {self._path} HTTP/1.1", *(f"{name}: {it}" for name, it in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def document(message: Message) -> bytes:
    """The JSON that is posted."""
    tree = {
        "schema": _SCHEMA,
        "id": message.id,
        "kind": message.kind,
        "subject": message.subject,
        "text": message.text,
        "events": message.events,
        "counts": message.counts,
    }
    return in_json(msgspec.json.encode(tree).decode()).encode()


def signature(key: bytes, headers: Mapping[str, str], body: bytes) -> str:
    """Of the header `webhook-signature`: of the id, the timestamp and the body."""
    told = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(key, told, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def tls_context(key: str, ca: str | None) -> ssl.SSLContext:
    """Trusts these authorities, or the system's. SettingsError."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        is_missing = isinstance(error, FileNotFoundError)
        why = f"{error.strerror}: check the path" if is_missing else "no certificates in PEM"
        raise SettingsError(f"{key}: {ca}: {why}") from error
    # Of Python 3.13 on: a plant's own authority may lack what only the newest standard wants.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def signing_key(file: str) -> bytes:
    """From the file of a secret: what is behind whsec_ is in base64. SettingsError."""
    secret = read_secret("webhook.secret_file", file, _LEAST_SECRET)
    if not secret.startswith(_ENCODED):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
    except binascii.Error as error:
        raise SettingsError(
            f"webhook.secret_file: {file}: behind {_ENCODED} expected bytes in base64"
        ) from error


async def _status(reader: asyncio.StreamReader) -> int:
    """Of one answer, which may be a preliminary one. Its headers are skipped."""
    try:
        line = await reader.readline()
        match = _STATUS.fullmatch(line)
        if not match:
            raise DeliveryError(
                f"{'no answer in HTTP/1.1' if line else 'closed the connection'}: check the url"
            )
        status = int(match[1])
        while status < 200 and (await reader.readline()).strip():
            pass
    except ValueError as error:  # a line that does not end
        raise DeliveryError("no answer in HTTP/1.1: check the url") from error
    return status
