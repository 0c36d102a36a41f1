"""The ledgers of both sides next to each other: what one has and the other has not."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.errors import LedgerError
from agent.spool import runs
from agent.spool.account import EARLIER
from agent.spool.ledger import Entry, Ledger
from agent.spool.runs import Runs
from quartet.foreign import shown


class BrokerEntry(msgspec.Struct):
    """What the broker says of one session: it has `first_id` to `last_id` without `missing`."""

    agent_id: str
    session_id: str
    first_id: int
    last_id: int
    missing: Runs


class BrokerLedger(msgspec.Struct):
    """What `broker ledger --json` prints, as far as it is compared."""

    schema: int
    sessions: list[BrokerEntry]


class Difference(msgspec.Struct):
    """Something to tell of a session, and whether the two sides contradict each other in it."""

    session_id: str
    text: str
    contradiction: bool


def load(path: Path) -> BrokerLedger:
    """Read what `broker ledger --json` has written; LedgerError where the file is none of it."""
    try:
        ledger = msgspec.json.decode(path.read_bytes(), type=BrokerLedger)
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise LedgerError(
            f"{path}: is not what 'broker ledger --json' prints: {shown(error)}"
        ) from error
    if ledger.schema != 1:
        raise LedgerError(f"{path}: has schema {ledger.schema}, known is 1: use the same version")
    return ledger


def compare(agent_id: str, ours: Ledger, theirs: BrokerLedger) -> list[Difference]:
    """Tell the differences, session by session, of one agent."""
    at_broker = {e.session_id: e for e in theirs.sessions if e.agent_id == agent_id}
    here = {entry.session_id for entry in ours.sessions}
    differences = [
        difference
        for entry in ours.sessions
        if entry.session_id != EARLIER
        for difference in _session(entry, at_broker.get(entry.session_id))
    ]
    told = "recorded by the broker, but not in this ledger"
    differences += [
        Difference(session_id, told, contradiction=EARLIER not in here)
        for session_id in at_broker
        if session_id not in here
    ]
    return differences


def _session(ours: Entry, theirs: BrokerEntry | None) -> Iterator[Difference]:
    recorded = runs.minus([(theirs.first_id, theirs.last_id)], theirs.missing) if theirs else []
    sampled: Runs = [(0, ours.sampled - 1)] if ours.sampled else []
    sampled = runs.union(sampled, ours.unbooked_ids)
    without = runs.union(ours.unbooked_ids, *(ids.runs for ids in ours.fates.values()))
    answered = runs.minus(sampled, runs.union(ours.waiting_ids, without))
    beyond = runs.minus(recorded, sampled)

    unnamed = sum(ids.count - runs.size(ids.runs) for ids in ours.fates.values())
    missing = runs.minus(answered, recorded)
    # What a session that still runs has sampled since the broker was asked is no contradiction.
    since = bool(missing) and not ours.ended and (not theirs or missing[0][0] > theirs.last_id)
    nobody_knows = "unknown here (power)" if ours.power_lost else "never sampled here"
    on_both = runs.common(recorded, ours.waiting_ids)
    only_there = runs.common(recorded, without)
    for text, ids, contradiction in (
        ("answered here, but not recorded by the broker", missing, not since),
        (f"{nobody_knows}, but answered by the broker", beyond, not ours.power_lost),
        ("waiting here, but answered by the broker", on_both, False),
        ("without prediction here, but answered by the broker", only_there, False),
    ):
        if runs.size(ids) > (unnamed if ids is missing else 0):
            told = f"{runs.size(ids)} {text}: {runs.shown(ids)}"
            yield Difference(ours.session_id, told, contradiction)
