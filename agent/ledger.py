"""The command `agent ledger`: the fates of all samples, for a person or a program."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from agent.config import Settings
from agent.spool import compare, ledger, runs
from agent.spool.directories import DEFAULT, configured_directories
from agent.spool.ledger import Entry, Ledger
from quartet.columns import aligned
from quartet.foreign import in_json, shown
from quartet.plural import counted

_COLUMNS = (
    *("session", "started (UTC)", "sampled", "answered", "waiting"),
    *("dropped", "unanswerable", "unknown"),
)


def run(settings: Settings, *, as_json: bool, broker_ledger: Path | None) -> int:
    """Print the ledger; 0 when it balances and does not contradict the broker's, else 1.

    StoreError or LedgerError where one of them cannot be read.
    """
    theirs = compare.load(broker_ledger) if broker_ledger else None
    ours = ledger.read(configured_directories(settings.spool) or DEFAULT)
    differences = compare.compare(settings.agent.device_id, ours, theirs) if theirs else []
    if as_json:
        document = {**msgspec.to_builtins(ours), "differences": differences}
        print(in_json(msgspec.json.format(msgspec.json.encode(document)).decode()))
    else:
        print("\n".join(_text(ours)))
        for difference in differences:
            print(f"{shown(difference.session_id[:8])}  {difference.text}")
        if theirs and not differences:
            print("the broker's ledger says the same")
    return 0 if ours.balanced and not any(each.contradiction for each in differences) else 1


def _text(ours: Ledger) -> list[str]:
    lines = aligned([_COLUMNS, *map(_row, ours.sessions), _total(ours)])
    for entry in ours.sessions:
        lines += [f"{shown(entry.session_id[:8])}  {detail}" for detail in _details(entry)]
    lines += [
        f"{each}: the agent saves its readable samples when it starts" for each in ours.damaged
    ]
    lines += [
        f"{each}; it is ignored: samples that were in memory alone may be missing here"
        for each in ours.ignored
    ]
    lines.append("balanced" if ours.balanced else "NOT BALANCED")
    return lines


def _row(entry: Entry) -> tuple[str, ...]:
    started = datetime.fromtimestamp(entry.started_at_ns // 10**9, UTC)
    return (
        entry.session_id[:8],
        f"{started:%Y-%m-%d %H:%M:%S}" if entry.started_at_ns else "",
        *map(str, _figures(entry)),
    )


def _total(ours: Ledger) -> tuple[str, ...]:
    figures = zip(*map(_figures, ours.sessions), strict=True)
    return ("all", "", *(map(str, map(sum, figures)) if ours.sessions else "000000"))


def _figures(entry: Entry) -> tuple[int, ...]:
    fates = {
        kind: sum(entry.fates[f].count for f in entry.fates if f.startswith(kind))
        for kind in ("dropped", "unanswerable", "unknown")
    }
    return (entry.sampled, entry.answered, entry.waiting, *fates.values())


def _details(entry: Entry) -> Iterator[str]:
    if entry.waiting:
        yield f"waiting: {runs.shown(entry.waiting_ids)}"
    for fate, ids in entry.fates.items():
        named = runs.shown(ids.runs) or "their ids are not known"
        yield f"{fate} {ids.count}: {named}"
    if entry.power_lost:
        yield f"unknown (power): all samples from id {entry.sampled} on, if there were any"
    if entry.damaged_ids:
        damaged = runs.shown(entry.damaged_ids)
        count = counted(runs.size(entry.damaged_ids), "sample", "is", "are")
        yield f"NOT BALANCED: {count} damaged: {damaged}"
    if entry.unbooked_ids:
        count = counted(runs.size(entry.unbooked_ids), "sample", "was", "were")
        yield (
            f"NOT BALANCED: {count} in memory alone when the agent died:"
            f" {runs.shown(entry.unbooked_ids)}; its next start counts them as unknown"
        )
    if entry.difference:
        among = runs.shown(entry.suspects)
        where = f", among ids {among}" if among else ""
        yield f"NOT BALANCED by {entry.difference:+d}: samples are unaccounted for{where}"
