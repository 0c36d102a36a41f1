"""Places for foreign text: what is told to people and to other programs."""

import asyncio
import logging
import os
import socket
import sys
import types

import pytest
from support.foreign.place import EVIL, NAME, Place
from support.states import NOW_NS, state
from support.terminal import Terminal

import agent.config
import agent.ledger
from agent import labels, logs
from agent.check import doctor
from agent.check.findings import Finding, Outcome
from agent.clock import SystemClock
from agent.codec import decode_standing
from agent.instance import Instance
from agent.local import obeying, order_release
from agent.sinks.live import LiveView
from agent.sources import LABELS
from agent.state import line as told
from broker.__main__ import main as broker_main
from broker.feed import Event, Kind
from broker.notify import words
from broker.notify.config import MailSettings
from broker.notify.mail import Mail
from broker.notify.target import DeliveryError
from quartet.notify import Notifier
from wire.sensors import Label
from wire.state_pb2 import Alarm, StateResponse


def finding_of_the_doctor(place: Place) -> None:
    place.monkeypatch.setattr(
        doctor,
        "_findings",
        lambda *_: iter([Finding("check", Outcome.FAILED, EVIL, NAME)]),
    )
    for as_json in (False, True):
        doctor.run(agent.config.Settings(), None, Instance(), SystemClock(), as_json=as_json)


def notice_for_systemd(place: Place) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(place.directory / "notify"))
        place.monkeypatch.setenv("NOTIFY_SOCKET", str(place.directory / "notify"))
        Notifier().status(NAME)
        Notifier().status(EVIL)
        for _ in range(2):
            place.add(systemd.recv(100_000).decode())


def field_of_the_journal(place: Place) -> None:
    def send(message: str, **fields: object) -> None:
        place.add(message)
        for value in fields.values():
            place.add(value)

    journal = types.ModuleType("systemd.journal")
    journal.send = journal.sendv = send  # type: ignore[attr-defined]
    place.monkeypatch.setitem(sys.modules, "systemd", types.ModuleType("systemd"))
    place.monkeypatch.setitem(sys.modules, "systemd.journal", journal)
    record = logging.LogRecord("agent", logging.INFO, "a.py", 1, "%s", (EVIL,), None)
    record.journal_fields = {"AGENT_ID": NAME}
    logs.JournalHandler().emit(record)


def argument_of_an_entry(place: Place) -> None:
    log = logging.getLogger("agent.place")
    log.error("%s: %s", place.directory / NAME, OSError(EVIL))
    log.error(f"forgotten {NAME}")
    try:
        raise ValueError(EVIL)  # noqa: TRY301
    except ValueError:
        log.exception("internal error")


def live_view(place: Place) -> None:
    terminal = Terminal()
    labels = (Label(NAME, NAME), *LABELS[1:])
    view = LiveView(NAME, labels, terminal)
    alarm = state(
        alarm_since_ns=NOW_NS, alarm_reason=f"sensor1 {EVIL}", sensors=labels, source_trouble=NAME
    )
    for each in view._lines(alarm, rows=8):  # noqa: SLF001 - what is drawn is for a terminal
        place.add(each.plain)
    terminal.close()


async def order_of_a_person(place: Place) -> None:
    async with obeying(place.directory, lambda who: who.encode()):
        who = await asyncio.to_thread(order_release, place.directory, NAME)
    place.add(who.decode() if os.geteuid() == 0 else "seen by root alone")


def reason_of_an_alarm(place: Place) -> None:
    response = StateResponse(alarm=Alarm(reason=EVIL)).SerializeToString()
    place.add(told(state(alarm_since_ns=NOW_NS, alarm_reason=decode_standing(response).reason)))


def label_of_a_sensor(_: Place) -> None:
    labels.told((Label(NAME, NAME), None, Label("x" * 65), None))


def title_of_an_evaluation(place: Place) -> None:
    """Only that it is no markup: what rich draws is for a terminal."""
    place.monkeypatch.setenv("FORCE_COLOR", "1")
    place.monkeypatch.setenv("TERM", "dumb")
    (place.directory / "seen [").mkdir()
    path = place.file("1,2,3,4\n" * 5, "seen [/red].csv")
    assert broker_main(["evaluate", str(path), "--predictor", "parity"]) == 0
    files = [path, place.file("1,2,3,4\n" * 5, NAME)]
    place.monkeypatch.delenv("FORCE_COLOR")
    assert broker_main(["evaluate", *map(str, files), "--predictor", "parity"]) == 0
    formula = place.file("1,2,3,4\n" * 5, "seen $^$\x1b.csv")  # which is no mathematics
    drawn = ["--predictor", "parity", "--plot", str(place.directory / "p.png")]
    assert broker_main(["evaluate", str(formula), *drawn]) == 0


def notification(place: Place) -> None:
    for kind in Kind:
        event = Event(kind, EVIL, NOW_NS, NOW_NS, EVIL, NOW_NS, (Label(EVIL, EVIL),) * 4)
        for message in (words.single(event), words.summary([event], [event.key])):
            place.add(message.subject)
            place.add(message.text)


async def answer_of_a_mail_server(place: Place) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"554 {EVIL}\r\n".encode())
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        mail = Mail(MailSettings("127.0.0.1", "a@b.c", ("d@e.f",), "none", port))
        with pytest.raises(DeliveryError) as caught:
            await mail.send(words.trial(NOW_NS))
    place.add(str(caught.value))
