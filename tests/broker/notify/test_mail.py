"""What a mail server is handed, and what its answers mean."""

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from support.certificates import Ca
from support.notices import AT_NS, alarm, failed
from support.patience import PATIENCE_S
from support.ports import kept_port
from support.receivers import Sink, mail_server

from broker.judged import S_NS
from broker.notify.config import MailSettings
from broker.notify.mail import Mail
from broker.notify.message import Message

PASSWORD = "let me in"  # noqa: S105 - of a test


@pytest.fixture
def message() -> Message:
    reason = "alarm: T2 is 30 °C\r\nBcc: c@d.e\n.\nQUIT: sensor2 74%"
    return alarm("press-4", reason)


def mail(port: int, **options: object) -> Mail:
    given = {
        "host": "127.0.0.1",
        "sender": "quartet@plant.lan",
        "to": ("shift@plant.lan", "boss@plant.lan"),
        "security": "none",
        "port": port,
        **options,
    }
    return Mail(MailSettings(**given))  # type: ignore[arg-type]


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with mail_server(Sink()) as sink:
        yield sink


async def test_a_letter_says_what_the_message_says(message: Message, sink: Sink) -> None:
    assert await mail(sink.port).send(message) == "accepted"
    (letter,) = sink.letters
    assert sink.receivers == [["shift@plant.lan", "boss@plant.lan"]]
    assert letter["Subject"] == f"[Quartet] {message.subject}"
    assert letter["To"] == "shift@plant.lan, boss@plant.lan"
    assert letter["Message-ID"] == f"<{message.id}@plant.lan>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert parsedate_to_datetime(letter["Date"]).timestamp() == AT_NS / S_NS
    assert letter.get_content().replace("\r\n", "\n") == f"{message.text}\n"
    assert "T2 is 30 °C" in message.text
    assert letter["Bcc"] is None


async def test_the_same_message_has_the_same_id_at_each_try(message: Message, sink: Sink) -> None:
    for _ in range(2):
        await mail(sink.port).send(message)
    one, two = sink.letters
    assert one["Message-ID"] == two["Message-ID"]


async def test_who_signs_in_is_known_over_tls_only(message: Message, tmp_path: Path) -> None:
    ca = Ca(tmp_path)
    files = ca.issue("mail", ["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n", "utf-8")
    signed_in = {"user": "quartet", "password_file": str(password)}
    async with mail_server(Sink(PASSWORD), tls=context) as sink:
        there = {"host": "localhost", "security": "starttls", "ca": str(ca.path), **signed_in}
        assert await mail(sink.port, **there).send(message) == "accepted"
        error = await failed(mail(sink.port, **{**there, "host": "127.0.0.1"}), message)
        assert ": its certificate is not accepted: " in str(error)
        error = await failed(mail(sink.port, **{**there, "ca": None}), message)
        assert ": its certificate is not accepted: " in str(error)
        password.write_text("wrong", "utf-8")
        error = await failed(mail(sink.port, **there), message)
        assert str(error) == "refused the sign-in: check user and password_file"
        assert not error.is_final
        password.unlink()
        error = await failed(mail(sink.port, **there), message)
        assert str(error).startswith(f"mail.password_file: {password}: there is no such file: ")
        assert len(sink.letters) == 1


async def test_a_server_without_starttls_is_told(message: Message, sink: Sink) -> None:
    error = await failed(mail(sink.port, security="starttls"), message)
    assert str(error).endswith(": check security and port")
    assert sink.letters == []


@pytest.mark.parametrize(
    ("answer", "is_final"), [("451 later, please", False), ("554 no\x1b[2J", True)]
)
async def test_a_refused_message_is_told(message: Message, answer: str, is_final: bool) -> None:
    async with mail_server(Sink(data_answer=answer)) as sink:
        error = await failed(mail(sink.port), message)
    assert str(error) == f"answered {answer}".replace("\x1b", "\\x1b")
    assert error.is_final == is_final


async def test_refused_receivers_are_named(message: Message) -> None:
    async with mail_server(Sink(refused=["boss@plant.lan"])) as sink:
        error = await failed(mail(sink.port), message)
        assert (str(error), error.is_final) == ("refused boss@plant.lan", True)
        assert sink.receivers == [["shift@plant.lan"]]
        error = await failed(mail(sink.port, to=("boss@plant.lan",)), message)
        assert (str(error), error.is_final) == ("refused all receivers: check 'to'", True)


async def test_a_server_that_is_away_is_told(message: Message) -> None:
    with kept_port() as port:
        error = await failed(mail(port), message)
    assert str(error).startswith(f"port {port}: nothing listens there: check host and port, and ")
    assert not error.is_final


async def test_a_server_that_says_nothing_is_given_up_after_a_time(
    message: Message, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await failed(mail(silent.getsockname()[1], timeout_s=1.0), message)
    assert str(error) == "not accepted within 1 s"
    del error
    gc.collect()
    assert caplog.text == ""


async def test_a_server_that_drips_is_given_up_after_a_time(message: Message) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not reader.at_eof():
                writer.write(b"220-wait\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await failed(mail(port, timeout_s=1.0), message)
    assert str(error) == "not accepted within 1 s"


async def test_a_greeting_without_end_holds_up_no_later_try(message: Message) -> None:
    gone = asyncio.Event()
    callers = 0

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal callers
        callers += 1
        if callers == 1:
            while not gone.is_set():
                writer.write(b"220-wait\r\n")
                await asyncio.sleep(0.05)
        writer.write(b"421 busy\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        target = mail(server.sockets[0].getsockname()[1], timeout_s=1.0)
        late = str(await failed(target, message))
        assert late == "not accepted within 1 s"
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (error := str(await failed(target, message))) == late:
                    pass
        finally:
            gone.set()
    assert error == "answered 421 busy"


async def test_what_is_no_mail_server_is_told(message: Message) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        error = await failed(mail(server.sockets[0].getsockname()[1]), message)
    assert str(error).endswith(": check security and port")
    assert not error.is_final
