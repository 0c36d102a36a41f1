"""Text that is not ours, at every place where it enters a message: nothing in it is obeyed.

A place that is new belongs into PLACES, with the way to feed it.
"""

import asyncio
import json
import logging
import os
import socket
import sqlite3
import sys
import types
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health, health_pb2_grpc
from support.certificates import Ca
from support.incidents import made, manifest
from support.patience import PATIENCE_S
from support.peers import Peer, scripted_broker
from support.processes import Agent, Broker
from support.spools import home_in_ram
from support.states import NOW_NS, state
from support.terminal import Terminal

import agent.config
import agent.ledger
import broker.config
from agent import labels, logs
from agent.check import doctor
from agent.check.findings import Finding, Outcome
from agent.clock import SystemClock
from agent.codec import decode_standing
from agent.config import LinkSettings, SpoolSettings
from agent.credentials import Plaintext
from agent.instance import Instance
from agent.link import Link
from agent.local import obeying, order_release
from agent.model import Identity, Reading
from agent.sinks.live import LiveView
from agent.sources import LABELS
from agent.spool import compare
from agent.spool.directories import Directories
from agent.spool.spool import Spool
from agent.state import line as told
from broker.__main__ import main as broker_main
from broker.access import Access
from broker.access import Peer as Guest
from broker.config import LimitsSettings
from broker.errors import AccessError
from broker.feed import Event, Kind
from broker.healthcheck import problem
from broker.host import Host
from broker.ledger import Ledger
from broker.lines import Lines
from broker.model import Answer, Sample
from broker.notify import words
from broker.notify.config import MailSettings
from broker.notify.mail import Mail
from broker.notify.target import DeliveryError
from broker.pki.authority import Authority
from broker.predictors import BlackBox
from broker.predictors.load import load as load_predictor
from broker.recorder.memory import MemoryRecorder
from broker.recorder.reader import Accounts, PlainAccount, SessionAccount
from broker.service import Service
from broker.transport.memory import MemoryTransport
from quartet.address import Address
from quartet.certificates import Certificate, remind
from quartet.database import store_error
from quartet.errors import QuartetError
from quartet.journal import LineFormatter
from quartet.lock import FileLock
from quartet.notify import Notifier
from quartet.recording import Recording
from quartet.settings import load
from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerRequest
from wire.sensors import Label
from wire.state_pb2 import Alarm, StateResponse

EVIL = "seen \x1b[31m[/red]\r\n<0>2026-01-01 ERROR forged \u202e\u2028\x9b2J\u200b" + "x" * 5000
"""What no log and no terminal must get as it is."""

NAME = "seen \x1b[31m[red]\n<0>forged \u202e\u2028\x9b\u200b\udcff"
"""As a file may be called."""


class Place:
    """Where a test puts foreign text, and what a person sees of it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.monkeypatch = monkeypatch
        self.log = StringIO()
        self.seen: list[str] = []

    def add(self, text: object) -> None:
        self.seen.append(str(text))

    def fails(self, call: Callable[[], object]) -> None:
        """Take the message of a call that fails."""
        with pytest.raises(QuartetError) as raised:
            call()
        self.add(raised.value)

    def file(self, text: str, name: str = "file") -> Path:
        path = self.directory / name
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return path


def lock_file(place: Place) -> None:
    path = place.directory / "a.lock"
    held = FileLock(path)
    path.write_text(EVIL)
    place.fails(lambda: FileLock(path))
    held.close()


def read_table(path: Path) -> None:
    with Recording(path) as table:
        list(table)


def cell_of_a_table(place: Place) -> None:
    path = place.file('1,2,3,"' + EVIL.replace("\r\n", "") + '"\n')
    place.fails(lambda: read_table(path))


def header_of_a_table(place: Place) -> None:
    path = place.file('a,b,"' + EVIL.replace("\r\n", "") + '"\n')
    place.fails(lambda: read_table(path))


def name_of_a_table(place: Place) -> None:
    path = place.file("1,2\n", NAME)
    place.fails(lambda: read_table(path))


def value_of_a_setting(place: Place) -> None:
    path = place.file(f"[log]\nlevel = {json.dumps(EVIL)}\n[recorder]\npath = 5\n")
    place.fails(lambda: load(path, broker.config.Settings))


def name_of_a_setting(place: Place) -> None:
    path = place.file(f"{json.dumps(EVIL)} = 1\n[recorder]\n{json.dumps(EVIL)} = 5\n")
    place.fails(lambda: load(path, broker.config.Settings))


def kind_of_a_source(place: Place) -> None:
    path = place.file(f"[source]\nuse = {json.dumps(EVIL)}\n")
    place.fails(lambda: load(path, agent.config.Settings))


def text_that_is_no_toml(place: Place) -> None:
    place.fails(lambda: load(place.file("a = 1\nseen\x1b[2J"), broker.config.Settings))
    place.add("seen")  # its parser names the place alone


def address(place: Place) -> None:
    place.fails(lambda: Address.parse(EVIL, "listen.address"))


def database(place: Place) -> None:
    place.add(store_error(place.directory / NAME, sqlite3.DatabaseError(EVIL)))


def name_in_a_certificate(place: Place) -> None:
    files = Ca(place.directory).issue("odd", [], subject="seen \x1b[31m\n<0>forged \u202e\x9b")
    certificate = Certificate.from_pem(files.certificate.read_bytes())
    place.add(certificate)
    remind(NAME, [certificate], datetime(2100, 1, 1, tzinfo=UTC))
    access = Access({"press-1"}, LimitsSettings(), None)
    for agent_id in (None, "press-1"):
        with (
            pytest.raises(AccessError) as raised,
            access.admit(Guest("1.2.3.4:5", certificate, agent_id), place.add),
        ):
            pass
        place.add(raised.value)


def name_in_a_request(place: Place) -> None:
    authority = Authority.init(place.directory / "pki", ["localhost"])
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    name = x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "seen \x1b[31m\n<0>forged \u202e")
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([name]))
    path = place.directory / NAME
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    path.write_bytes(signed.public_bytes(Encoding.PEM))
    place.fails(lambda: authority.sign(path))


def ledger_of_a_broker(place: Place) -> None:
    place.fails(lambda: compare.load(place.file('{"schema": "' + NAME[:5] + '\x1b"}', NAME)))
    session = {
        "agent_id": "press-1",
        "session_id": "see\x1b\nn\u202e",
        "first_id": 0,
        "last_id": 4,
        "missing": [],
    }
    theirs = place.file(json.dumps({"schema": 1, "sessions": [session]}), "ledger.json")
    spool = {"hot_directory": str(place.directory), "directory": str(place.directory / "cold")}
    settings = agent.config.Settings(
        agent=agent.config.AgentSettings(id="press-1"), spool=SpoolSettings(**spool)
    )
    directories = Directories(place.directory, place.directory / "cold")
    directories.cold.mkdir()
    Spool(directories, settings.spool, 0).close()
    agent.ledger.run(settings, as_json=False, broker_ledger=theirs)
    agent.ledger.run(settings, as_json=True, broker_ledger=theirs)


async def agents_in_a_store(place: Place) -> None:
    account = SessionAccount(EVIL, EVIL, 0, 9, 12, 6, 3, 3, 4, "d1", [])
    ledger = Ledger(Accounts([account], PlainAccount(0, 0, 0)))
    place.add(ledger.to_text())
    place.monkeypatch.setattr("broker.ledger.Ledger", lambda _: ledger)
    path = place.directory / "store.db"
    path.touch()
    place.monkeypatch.setattr("broker.recorder.opening.open_reader", lambda _: _NoAccounts())
    for more in ([], ["--json"]):
        await asyncio.to_thread(broker_main, ["ledger", "--store", str(path), *more])


class _NoAccounts:
    async def accounts(self) -> None:
        return None


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


class _MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Evil:
    """A black box that raises at all that it is asked."""

    error: Exception = ValueError(EVIL)

    def predict(self, _: Sample) -> bool:
        raise self.error

    def explain(self) -> str:
        raise self.error

    def snapshot(self) -> bytes:
        raise self.error

    def restore(self, _: bytes) -> None:
        raise self.error


class EvilMute(Evil):
    error = _MuteError("seen")


class Talkative(Evil):
    def explain(self) -> str:
        return EVIL


def explanation_of_a_black_box(place: Place) -> None:
    place.add(Host("press-1", Talkative(), keeps_state=False).explain(Answer(0, True), 0))


def black_box_that_cannot_tell(place: Place) -> None:
    for make in (Evil, EvilMute):
        host = Host("press-1", make(), keeps_state=True)
        assert host.explain(Answer(0, True), 0) is None
        assert host.snapshot() is None
    place.add("seen")


async def black_box_that_raises(place: Place) -> None:
    for make in (Evil, EvilMute):
        access = Access(None, LimitsSettings(), None)
        service = Service(Lines(BlackBox(make, ""), MemoryRecorder()), access)
        transport = MemoryTransport()
        await transport.start({METHOD_PATH: service.serve})
        call = transport.call(METHOD_PATH)
        await call.send(BrokerRequest(id=0).SerializeToString())
        place.add((await call.ending()).reason)
        await transport.stop(0)


async def metadata_of_a_call(place: Place) -> None:
    access = Access(None, LimitsSettings(), None)
    service = Service(Lines(BlackBox(Evil, ""), MemoryRecorder()), access)
    transport = MemoryTransport()
    await transport.start({METHOD_PATH: service.serve})
    keys = ("agent-id", "session-id", "first-id", "first-sampled-at-ns", "sample-period-ns")
    place.add((await transport.call(METHOD_PATH, [(key, EVIL) for key in keys]).ending()).reason)
    await transport.stop(0)


def module_of_a_black_box(place: Place) -> None:
    place.monkeypatch.chdir(place.directory)
    place.monkeypatch.syspath_prepend(str(place.directory))
    place.file(f"raise ValueError({EVIL!r})\n", "evil_module.py")
    place.fails(lambda: load_predictor("evil_module:Box", {}))
    place.fails(lambda: load_predictor(NAME, {}))


def offline_black_box(place: Place) -> None:
    place.monkeypatch.chdir(place.directory)
    place.monkeypatch.syspath_prepend(str(place.directory))
    body = f"    def predict(self, sample):\n        if sample.id: raise ValueError({EVIL!r})\n"
    place.file(f"class Box:\n{body}        return False\n", "evil_offline.py")
    table = place.file("1,2,3,4\n" * 5, NAME)
    assert broker_main(["evaluate", str(table), "--predictor", "evil_offline:Box"]) == 1
    assert broker_main(["check-predictor", "evil_offline:Box"]) == 1


def incident_of_a_stranger(place: Place) -> None:
    evil = EVIL[:900]
    quoted = evil.replace('"', "").replace("\r\n", " ")
    change = manifest(agent=evil, events=[{"at_ns": 1, "kind": "begun", "text": evil}])
    path = place.directory / "i.zip"
    cells = f'"{quoted}","{quoted}",1,1,2,3,nan,1,2026,"{quoted}"\n' * 2

    def filled(tree: dict[str, object], members: dict[str, bytes]) -> None:
        change(tree, members)
        members["samples.csv"] = b"head\n" + cells.encode()

    path.write_bytes(made(filled, resum=True))
    assert broker_main(["replay", str(path), "--predictor", "parity"]) == 1
    path.write_bytes(made(manifest(predictor={"use": evil, "options": {}})))
    assert broker_main(["replay", str(path)]) == 1
    path.write_bytes(made(manifest(format=evil)))
    assert broker_main(["replay", str(path)]) == 1


async def status_of_a_broker(place: Place) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.abort(grpc.StatusCode.PERMISSION_DENIED, EVIL, superseded_by="seen")

    await _stream_to(refuse, place)


async def unavailable_broker(place: Place) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.abort(grpc.StatusCode.UNAVAILABLE, EVIL)

    await _stream_to(refuse, place)


async def refusal_of_a_sample(place: Place) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.read()
        await peer.abort(grpc.StatusCode.OUT_OF_RANGE, EVIL, refused_id="0")

    await _stream_to(refuse, place)


async def _stream_to(script: Callable[[Peer], Awaitable[None]], place: Place) -> None:
    with home_in_ram() as home:
        directories = Directories(home / "hot", home / "cold")
        directories.hot.mkdir()
        directories.cold.mkdir()
        spool = Spool(directories, SpoolSettings(), 0)
        async with scripted_broker(script) as port:
            link = Link(
                Identity("press-1"),
                [Address("127.0.0.1", port)],
                LinkSettings(),
                spool,
                lambda _: None,
                credentials=Plaintext(),
            )
            spool.append(Reading((1.0, 2.0, 3.0, 4.0), 0))
            told = asyncio.Event()
            handler = logging.Handler()
            handler.emit = (  # type: ignore[method-assign]
                # A call that ends while it is opened may end in gRPC's own words. It comes again.
                lambda record: told.set() if "see" in record.getMessage() else None
            )
            logging.getLogger("agent.link").addHandler(handler)
            running = asyncio.create_task(link.run())
            async with asyncio.timeout(PATIENCE_S):
                await told.wait()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            logging.getLogger("agent.link").removeHandler(handler)
            place.add(link.trouble)
        spool.close()


class _EvilHealth(health.HealthServicer):
    def Check(self, _: object, context: grpc.ServicerContext) -> None:  # noqa: N802
        context.abort(grpc.StatusCode.INTERNAL, EVIL)


def health_of_another_server(place: Place) -> None:
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(_EvilHealth(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    place.add(problem(Address("127.0.0.1", port)))
    server.stop(None).wait()


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


PLACES = [
    lock_file,
    *(cell_of_a_table, header_of_a_table, name_of_a_table),
    *(value_of_a_setting, name_of_a_setting, kind_of_a_source, text_that_is_no_toml, address),
    database,
    *(name_in_a_certificate, name_in_a_request),
    *(ledger_of_a_broker, agents_in_a_store),
    *(finding_of_the_doctor, notice_for_systemd, field_of_the_journal, argument_of_an_entry),
    *(order_of_a_person, live_view, reason_of_an_alarm, label_of_a_sensor, title_of_an_evaluation),
    *(explanation_of_a_black_box, black_box_that_cannot_tell, black_box_that_raises),
    *(module_of_a_black_box, offline_black_box, incident_of_a_stranger),
    metadata_of_a_call,
    *(notification, answer_of_a_mail_server),
    *(status_of_a_broker, unavailable_broker, refusal_of_a_sample, health_of_another_server),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    place = Place(tmp_path, monkeypatch)
    handler = logging.StreamHandler(place.log)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield place
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize("feed", PLACES)
async def test_foreign_text_is_seen_and_not_obeyed(
    feed: Callable[[Place], Awaitable[None] | None],
    place: Place,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fed = feed(place)
    if fed is not None:
        await fed
    printed = capsys.readouterr()
    texts = [*place.seen, place.log.getvalue(), printed.out, printed.err]
    assert any("see" in text for text in texts)
    for text in texts:
        for line in text.split("\n"):
            assert line.isprintable(), ascii(line)
            is_json = line.lstrip().startswith(("{", '"'))  # for programs, and whole
            assert len(line) < 2200 or is_json
            assert not line.startswith(("<0>", "2026-01-01"))


def test_two_programs_obey_nothing_that_a_black_box_says(tmp_path: Path, dataset: Path) -> None:
    (tmp_path / "evil_box.py").write_text(
        "class Box:\n    def predict(self, sample):\n"
        f"        if sample.id == 3: raise ValueError({EVIL!r})\n        return False\n"
    )
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    with (
        Broker("--predictor", "evil_box:Box", env=path) as broker,
        Agent("--simulate", str(dataset), "--broker", broker.address, "--rate", "100") as running,
    ):
        broker.wait_for(r"sample 3: the predictor raised ValueError: seen \\x1b\[31m")
        running.wait_for(r"sample 3 was refused \(INTERNAL: .*ValueError: seen \\x1b\[31m")
        running.stop()
        broker.stop()
    assert "Traceback" in broker.stderr
    for line in (broker.stderr + running.stderr + running.stdout).split("\n"):
        assert line.isprintable(), ascii(line)
        assert not line.startswith(("<0>", "2026-01-01"))


def test_each_way_to_log_has_the_last_line_of_defence(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = types.ModuleType("systemd.journal")
    journal.send = journal.sendv = print  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "systemd", types.ModuleType("systemd"))
    monkeypatch.setitem(sys.modules, "systemd.journal", journal)
    for handler in (logs.StderrLines(), logs.JournalHandler()):
        assert isinstance(handler.formatter, LineFormatter)
