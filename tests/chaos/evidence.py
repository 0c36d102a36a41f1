"""What a run has left behind: the logged predictions, the broker's records, all ledgers."""

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from chaos.device import Device
from chaos.ledgers import AgentLedger, BrokerEntry, BrokerLedger, Entry, Loss
from chaos.plant import Plant
from chaos.records import VALUES, Key, Logging, Recorded, Taken
from chaos.words import brokers_words, first_since, homeless_starts

Ledger = TypeVar("Ledger", AgentLedger, BrokerLedger)


class Scene(Protocol):
    """Where it happened: programs of the product can be run there, and complaints be made."""

    home: Path

    def command(self, *arguments: str) -> tuple[int, str]: ...
    def complain(self, text: str) -> None: ...


class NoEvidenceError(Exception):
    """Something that a run must leave behind cannot be read."""


@dataclass(frozen=True, slots=True)
class Trail:
    """All that the verdict on one agent rests on."""

    agent_id: str
    rows: list[bytes]
    """Those of the CSV, which the agent replays from the first one on in each session."""
    logged: dict[Key, list[Logging]]
    recorded: list[Recorded]
    """In the order of the line."""
    agent: AgentLedger
    """Compared with the broker's."""
    broker: list[BrokerEntry]
    losses: list[Loss] = field(default_factory=list)
    """Records that the broker's ledger names as lost."""
    remembered: dict[str, Entry] = field(default_factory=dict)
    """Of sessions that a fault may have made the agent forget: what it knew before."""
    robbed: bool = False
    """Whether a fault hit the agent's files."""
    taken: list[Taken] = field(default_factory=list)
    """The faults that took records from the broker."""
    rebuilt_ns: list[int] = field(default_factory=list)
    """When the line's black box was rebuilt for the first time since damage was told. Unix ns."""
    restored_ns: list[int] = field(default_factory=list)
    """When it was rebuilt at all."""
    is_chained: bool = True
    """Whether the black box is one of chaos.predictors, whose answers can be followed."""
    homeless: frozenset[int] = frozenset()
    """The starts of the agent that had nothing on file from begin to end, by its own words."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the verdict rests on."""

    trails: list[Trail]
    complaints: list[str]
    """What was seen to go wrong on the way."""


def gather(plant: Plant) -> Evidence:
    """Read it all, once the plant has come to its end. NoEvidenceError where that fails."""
    ledger = brokers_ledger(plant, ["--config", str(plant.broker_config)])
    recorded = _read_store(plant.store)
    told = brokers_words(plant.logs)
    told_ns = [*told.damage_ns, *(taken.told_ns for taken in plant.taken)]
    trails = [
        Trail(
            agent_id=device.agent_id,
            rows=values_of(device),
            logged=read_logbook(device.logbook),
            recorded=recorded.get(device.agent_id, []),
            agent=agents_ledger(plant, device),
            broker=[each for each in ledger.sessions if each.agent_id == device.agent_id],
            losses=[each for each in ledger.losses if each.agent_id in (device.agent_id, None)],
            remembered=device.remembered,
            robbed=device.robbed,
            taken=plant.taken,
            rebuilt_ns=first_since(told_ns, told.restored_ns(device.agent_id)),
            restored_ns=told.restored_ns(device.agent_id),
            homeless=homeless_starts(device.logs),
        )
        for device in plant.devices
    ]
    return Evidence(trails, plant.complaints)


def read_logbook(path: Path) -> dict[Key, list[Logging]]:
    """All loggings of each prediction; none where no agent came so far."""
    logged: dict[Key, list[Logging]] = {}
    if not path.exists():
        return logged
    unix_ns = time.time_ns() - time.monotonic_ns()
    for line in path.read_text().splitlines():
        start, at_ns, session_id, id_, prediction, sampled_at, _ = line.split(",")
        logging = Logging(prediction == "1", _unix_ns(sampled_at), unix_ns + int(at_ns), int(start))
        logged.setdefault(Key(session_id, int(id_)), []).append(logging)
    return logged


def _unix_ns(stamp: str) -> int:
    since = datetime.fromisoformat(stamp) - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return since // timedelta(microseconds=1) * 1000


def _read_store(path: Path) -> dict[str, list[Recorded]]:
    """The records by agent."""
    found: dict[str, list[Recorded]] = {}
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as store:
            rows = store.execute(
                "SELECT agent_id, sessions.id, samples.id, sensors, sampled_at_ns, prediction,"
                " arrived_at_ns FROM samples JOIN sessions USING (session)"
                " JOIN lines ON lines.line = samples.line ORDER BY position"
            )
            for agent_id, session_id, id_, values, sampled_ns, prediction, arrived_ns in rows:
                found.setdefault(agent_id, []).append(
                    Recorded(Key(session_id, id_), values, sampled_ns, bool(prediction), arrived_ns)
                )
    except sqlite3.Error as error:
        raise NoEvidenceError(f"{path}: {error}") from error
    return found


def values_of(device: Device) -> list[bytes]:
    """The rows that an agent replays."""
    return [VALUES.pack(*map(float, row.split(","))) for row in device.rows]


def brokers_ledger(scene: Scene, of: Sequence[str]) -> BrokerLedger:
    """What `broker ledger` says; `of`: the options that name the store."""
    code, text = scene.command("broker", "ledger", *of, "--json")
    if code:
        scene.complain(f"the broker's ledger ends with {code}: {text[:200]}")
    (scene.home / "broker.json").write_text(text)
    return _decoded(text, BrokerLedger)


def agents_ledger(scene: Scene, device: Device) -> AgentLedger:
    """What `agent ledger` says beside the broker's, which was asked for before."""
    _, text = scene.command(
        *("agent", "ledger", "--config", str(device.config), "--json"),
        *("--compare", str(scene.home / "broker.json")),
    )
    (device.home / "agent.json").write_text(text)
    return _decoded(text, AgentLedger)


def _decoded(text: str, kind: type[Ledger]) -> Ledger:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise NoEvidenceError(f"instead of a ledger: {text.strip()} ({error})") from error
