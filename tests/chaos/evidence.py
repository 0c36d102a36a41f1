"""What a run has left behind: the logged predictions, the broker's records, all ledgers."""

import bisect
import contextlib
import re
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from chaos.device import Device
from chaos.ledgers import AgentLedger, BrokerEntry, BrokerLedger, Entry, Loss
from chaos.plant import Plant
from chaos.records import VALUES, Key, Logging, Recorded, Taken

Ledger = TypeVar("Ledger", AgentLedger, BrokerLedger)

# What a broker says of a record that does not verify, or of a store that is not whole.
_STAMP = r"^(?P<s>\S+ \S+),(?P<ms>\d+) "
_DAMAGE = re.compile(_STAMP + "(?:WARNING|ERROR) .*(?:damaged|checksum|does not verify)")
_REBUILT = re.compile(_STAMP + r"INFO +(?P<agent>\S+): predictor restored")


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


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the verdict rests on."""

    trails: list[Trail]
    complaints: list[str]
    """What was seen to go wrong on the way."""


def gather(plant: Plant) -> Evidence:
    """Read it all, once the plant has come to its end. NoEvidenceError where that fails."""
    ledger = _brokers_ledger(plant)
    recorded = _read_store(plant.store)
    damage_ns, rebuilt_ns = _told(plant.logs)
    told_ns = [*damage_ns, *(taken.told_ns for taken in plant.taken)]
    trails = [
        Trail(
            agent_id=device.agent_id,
            rows=[VALUES.pack(*map(float, row.split(","))) for row in device.rows],
            logged=read_logbook(device.logbook),
            recorded=recorded.get(device.agent_id, []),
            agent=_agents_ledger(plant, device),
            broker=[each for each in ledger.sessions if each.agent_id == device.agent_id],
            losses=[each for each in ledger.losses if each.agent_id in (device.agent_id, None)],
            remembered=device.remembered,
            robbed=device.robbed,
            taken=plant.taken,
            rebuilt_ns=_first_since(told_ns, rebuilt_ns.get(device.agent_id, [])),
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
        at_ns, session_id, id_, prediction, sampled_at, _ = line.split(",")
        logging = Logging(prediction == "1", _unix_ns(sampled_at), unix_ns + int(at_ns))
        logged.setdefault(Key(session_id, int(id_)), []).append(logging)
    return logged


def _unix_ns(stamp: str) -> int:
    since = datetime.fromisoformat(stamp) - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return since // timedelta(microseconds=1) * 1000


def _told(logs: Path) -> tuple[list[int], dict[str, list[int]]]:
    """When brokers told of damage, and rebuilt the black box of each agent; by their own stamps."""
    told: list[int] = []
    rebuilt: dict[str, list[int]] = {}
    for log in logs.glob("broker-*.log"):
        for line in log.read_text().splitlines():
            if match := _DAMAGE.match(line):
                told.append(_stamped_ns(match))
            elif match := _REBUILT.match(line):
                rebuilt.setdefault(match["agent"], []).append(_stamped_ns(match))
    return told, rebuilt


def _stamped_ns(match: re.Match[str]) -> int:
    at_s = round(datetime.fromisoformat(match["s"]).timestamp())
    return at_s * 10**9 + int(match["ms"]) * 10**6


def _first_since(told_ns: Iterable[int], rebuilt_ns: Iterable[int]) -> list[int]:
    """Each word, and the first rebuilding behind it; of nothing, which is not logged, as well."""
    rising = sorted(rebuilt_ns)
    found = {bisect.bisect_left(rising, at_ns) for at_ns in told_ns}
    return sorted({*told_ns, *(rising[at] for at in found if at < len(rising))})


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


def _brokers_ledger(plant: Plant) -> BrokerLedger:
    code, text = plant.command("broker", "ledger", "--config", str(plant.broker_config), "--json")
    if code:
        plant.complain(f"the broker's ledger ends with {code}: {text[:200]}")
    (plant.home / "broker.json").write_text(text)
    return _decoded(text, BrokerLedger)


def _agents_ledger(plant: Plant, device: Device) -> AgentLedger:
    _, text = plant.command(
        *("agent", "ledger", "--config", str(device.config), "--json"),
        *("--compare", str(plant.home / "broker.json")),
    )
    (device.home / "agent.json").write_text(text)
    return _decoded(text, AgentLedger)


def _decoded(text: str, kind: type[Ledger]) -> Ledger:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise NoEvidenceError(f"instead of a ledger: {text.strip()} ({error})") from error
