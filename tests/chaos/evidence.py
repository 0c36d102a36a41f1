"""What a run has left behind: the logged predictions, the broker's records, both ledgers."""

import contextlib
import sqlite3
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from chaos.ledgers import AgentLedger, BrokerLedger, Entry
from chaos.plant import Plant

Ledger = TypeVar("Ledger", AgentLedger, BrokerLedger)

VALUES = struct.Struct("<4f")


class NoEvidenceError(Exception):
    """Something that a run must leave behind cannot be read."""


class Key(NamedTuple):
    """A sample of all sessions."""

    session_id: str
    id: int


class Logging(NamedTuple):
    """A prediction as the agent logged it once."""

    prediction: bool
    sampled_at_ns: int


class Recorded(NamedTuple):
    """A sample as the broker has it on record."""

    key: Key
    values: bytes
    sampled_at_ns: int
    prediction: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the verdict rests on."""

    rows: list[bytes]
    """Those of the CSV, which the agent replays from the first one on in each session."""
    logged: dict[Key, list[Logging]]
    recorded: list[Recorded]
    """In the order of the line."""
    agent: AgentLedger
    """Compared with the broker's."""
    broker: BrokerLedger
    remembered: dict[str, Entry]
    """Of sessions that a fault may have made the agent forget: what it knew before."""
    complaints: list[str]
    """What was seen to go wrong on the way."""


def gather(plant: Plant) -> Evidence:
    """Read it all, once the plant has come to its end. NoEvidenceError where that fails."""
    agent, broker = _ledgers(plant)
    return Evidence(
        rows=[VALUES.pack(*map(float, row.split(","))) for row in plant.rows],
        logged=read_logbook(plant.logbook),
        recorded=_read_store(plant.store),
        agent=agent,
        broker=broker,
        remembered=plant.remembered,
        complaints=plant.complaints,
    )


def read_logbook(path: Path) -> dict[Key, list[Logging]]:
    """All loggings of each prediction; none where no agent came so far."""
    logged: dict[Key, list[Logging]] = {}
    if not path.exists():
        return logged
    for line in path.read_text().splitlines():
        session_id, id_, prediction, sampled_at = line.split(",")
        stamp = Logging(prediction == "1", _unix_ns(sampled_at))
        logged.setdefault(Key(session_id, int(id_)), []).append(stamp)
    return logged


def _unix_ns(stamp: str) -> int:
    since = datetime.fromisoformat(stamp) - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return since // timedelta(microseconds=1) * 1000


def _read_store(path: Path) -> list[Recorded]:
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as store:
        return [
            Recorded(Key(session_id, id_), values, sampled_at_ns, bool(prediction))
            for session_id, id_, values, sampled_at_ns, prediction in store.execute(
                "SELECT sessions.id, samples.id, sensors, sampled_at_ns, prediction"
                " FROM samples JOIN sessions USING (session) ORDER BY position"
            )
        ]


def _ledgers(plant: Plant) -> tuple[AgentLedger, BrokerLedger]:
    code, text = plant.command("broker", "ledger", "--config", str(plant.broker_config), "--json")
    if code:
        plant.complain(f"the broker's ledger ends with {code}")
    broker = _decoded(text, BrokerLedger)
    (plant.home / "broker.json").write_text(text)
    _, text = plant.command(
        *("agent", "ledger", "--config", str(plant.agent_config), "--json"),
        *("--compare", str(plant.home / "broker.json")),
    )
    (plant.home / "agent.json").write_text(text)
    return _decoded(text, AgentLedger), broker


def _decoded(text: str, kind: type[Ledger]) -> Ledger:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise NoEvidenceError(f"instead of a ledger: {text.strip()} ({error})") from error
