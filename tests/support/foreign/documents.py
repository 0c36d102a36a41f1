"""Places for foreign text: files, stores and names in them."""

import asyncio
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from support.certificates import Ca
from support.foreign.place import EVIL, NAME, Place
from support.incidents import made, manifest

import agent.config
import agent.ledger
import broker.config
from agent.config import SpoolSettings
from agent.spool import compare
from agent.spool.directories import Directories
from agent.spool.spool import Spool
from broker.__main__ import main as broker_main
from broker.access import Access
from broker.access import Peer as Guest
from broker.config import LimitsSettings
from broker.errors import AccessError
from broker.ledger import Ledger
from broker.pki.authority import Authority
from broker.recorder.reader import Accounts, PlainAccount, SessionAccount
from quartet.address import Address
from quartet.certificates import Certificate, remind
from quartet.database import store_error
from quartet.lock import FileLock
from quartet.recording import Recording
from quartet.settings import load


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
