"""What a web server is posted, and what its answers mean."""

import asyncio
import base64
import hashlib
import hmac
import ssl
from pathlib import Path

import pytest
from support import notices
from support.certificates import Ca
from support.clock import ManualClock
from support.notices import alarm
from support.ports import kept_port
from support.receivers import answer, hook

from broker.notify.config import WebhookSettings
from broker.notify.message import Message
from broker.notify.target import DeliveryError
from broker.notify.webhook import Webhook

SECRET = "sixteen characters and more"  # noqa: S105 - of a test


@pytest.fixture
def message() -> Message:
    reason = "alarm: T2 is 30\x1b[2J\u202e: sensor2 74%"
    return alarm("press-4", reason)


def webhook(url: str, **options: object) -> Webhook:
    settings = WebhookSettings(url=url, **options)  # type: ignore[arg-type]
    return Webhook(settings, "webhook x", ManualClock())


async def failed(target: Webhook, message: Message) -> DeliveryError:
    error = await notices.failed(target, message)
    assert "not-for-the-log" not in str(error)
    return error


async def test_a_message_is_posted_as_json_with_its_id(message: Message) -> None:
    async with hook() as server:
        assert await webhook(server.url).send(message) == "answered 200"
        (posted,) = server.posted
    assert posted.line == "POST /hook?token=not-for-the-log HTTP/1.1"
    assert posted.headers["Content-Type"] == "application/json"
    assert posted.headers["Host"] == f"127.0.0.1:{server.port}"
    assert posted.headers["webhook-id"] == posted.json["id"] == message.id
    assert "webhook-signature" not in posted.headers
    assert posted.json["schema"] == 1
    assert posted.json["kind"] == "alarm_begun"
    assert posted.json["text"] == message.text
    (event,) = posted.json["events"]
    assert event["agent"] == "press-4"
    assert event["reason"] == "alarm: T2 is 30\x1b[2J\u202e: sensor2 74%"
    assert posted.body.decode().isprintable()


@pytest.mark.parametrize("is_encoded", [False, True])
async def test_a_message_is_signed_with_the_secret_that_the_file_has_now(
    message: Message, tmp_path: Path, is_encoded: bool
) -> None:
    file = tmp_path / "secret"
    async with hook() as server:
        target = webhook(server.url, secret_file=str(file))
        for key in (b"an old secret, as it was", SECRET.encode()):
            text = f"whsec_{base64.b64encode(key).decode()}" if is_encoded else key.decode()
            file.write_text(f"{text}\n", "utf-8")
            await target.send(message)
            posted = server.posted[-1]
            told = f"{message.id}.{posted.headers['webhook-timestamp']}.".encode() + posted.body
            digest = base64.b64encode(hmac.new(key, told, hashlib.sha256).digest()).decode()
            assert posted.headers["webhook-signature"] == f"v1,{digest}"
            assert posted.headers["webhook-timestamp"] == "1750000000"


@pytest.mark.parametrize("text", ["", "brief", "x" * 5000, "two\nlines of it\n", "whsec_?" * 4])
async def test_a_secret_that_is_none_is_told_and_nothing_is_sent(
    message: Message, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "secret"
    file.write_text(text, "utf-8")
    async with hook() as server:
        error = await failed(webhook(server.url, secret_file=str(file)), message)
        assert "webhook.secret_file" in str(error)
        assert not error.is_final
        assert not text or text not in str(error)
        assert server.posted == []


@pytest.mark.parametrize(
    ("status", "said", "is_final"),
    [
        (500, "answered 500: see its log", False),
        (503, "answered 503: see its log", False),
        (429, "answered 429: it gets too many messages", False),
        (401, "answered 401: check secret_file", False),
        (404, "answered 404: check the url", False),
        (400, "answered 400: it does not take this message", True),
        (422, "answered 422: it expects other keys", True),
        (413, "answered 413", True),
    ],
)
async def test_another_status_is_a_failure(
    message: Message, status: int, said: str, is_final: bool
) -> None:
    async with hook(answer(status)) as server:
        error = await failed(webhook(server.url), message)
    assert str(error).startswith(said)
    assert error.is_final == is_final


async def test_a_redirect_is_not_followed(message: Message) -> None:
    async with hook() as other, hook(answer(302, f"Location: {other.url}")) as server:
        error = await failed(webhook(server.url), message)
        assert other.posted == []
    assert "it leads to another address" in str(error)


async def test_a_preliminary_answer_is_not_the_answer(message: Message) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
    async with hook(early + answer(204)) as server:
        assert await webhook(server.url).send(message) == "answered 204"


@pytest.mark.parametrize(
    "said",
    [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 99\r\n", b"HTTP/2 200\r\n", b"x" * 100_000, b"\xff\xfe\n"],
)
async def test_what_is_no_answer_is_told(message: Message, said: bytes) -> None:
    async with hook(said) as server:
        error = await failed(webhook(server.url), message)
    what, remedy = str(error).split(": ")
    assert what in ("closed the connection", "no answer in HTTP/1.1")
    assert remedy == "check the url"


async def test_a_server_that_says_nothing_is_given_up_after_a_time(message: Message) -> None:
    async with hook(None) as server:
        error = await failed(webhook(server.url, timeout_s=1.0), message)
    assert str(error) == "no answer within 1 s"


async def test_a_server_that_drips_is_given_up_after_a_time(message: Message) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            while not reader.at_eof():
                writer.write(b"HTTP/1.1 100 Wait\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        error = await failed(webhook(f"http://127.0.0.1:{port}/", timeout_s=1.0), message)
    assert str(error) == "no answer within 1 s"


async def test_a_server_that_is_away_is_told(message: Message) -> None:
    with kept_port() as port:
        error = await failed(webhook(f"http://127.0.0.1:{port}/"), message)
    assert str(error) == (
        f"port {port}: nothing listens there: check the url, and that a web server runs there"
    )
    error = await failed(webhook("https://no-such-host.invalid/"), message)
    assert str(error) == "port 443: the name no-such-host.invalid is not known: check the url"
    for host in ("no-such-host.invalid", "a..b", "x" * 64):
        error = await failed(webhook(f"https://{host}/"), message)
        assert not error.is_final


@pytest.fixture
def ca(tmp_path: Path) -> Ca:
    return Ca(tmp_path)


def serving(ca: Ca, *names: str) -> ssl.SSLContext:
    files = ca.issue("hooks", names or None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


async def test_a_certificate_is_verified(message: Message, ca: Ca, tmp_path: Path) -> None:
    async with hook(tls=serving(ca, "localhost")) as server:
        url = f"https://localhost:{server.port}/"
        assert await webhook(url, ca=str(ca.path)).send(message) == "answered 200"
        error = await failed(webhook(url), message)
        assert ": its certificate is not accepted: " in str(error)
        error = await failed(webhook(f"https://127.0.0.1:{server.port}/", ca=str(ca.path)), message)
        assert ": its certificate is not accepted: " in str(error)
        other = Ca(tmp_path, "other")
        error = await failed(webhook(url, ca=str(other.path)), message)
        assert ": its certificate is not accepted: " in str(error)
        assert len(server.posted) == 1


async def test_a_server_without_tls_is_told(message: Message, ca: Ca) -> None:
    async def complain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer(400))
        writer.close()

    server = await asyncio.start_server(complain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        error = await failed(webhook(f"https://127.0.0.1:{port}/", ca=str(ca.path)), message)
    assert str(error) == f"port {port}: it does not answer by TLS: check the port"
