"""The commands `broker store`: check, repair, back up and restore the records."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from broker.recorder.upkeep import Backup, Findings, Repair, Restored, Upkeep
from quartet.plural import counted

# Of the JSON; raised when a reader of this one would misread it.
_SCHEMA = 1


def run(verb: str, upkeep: Upkeep, copy: Path | None, *, as_json: bool) -> int:
    """Run one of the commands, and print its result; 0 all is well, 1 something is wrong.

    Raises StoreError.
    """
    if verb == "check":
        return _print(upkeep.check(), _check_text, as_json=as_json)
    if verb == "repair":
        return _print(upkeep.repair(), _repair_text, as_json=as_json)
    if copy is None:
        raise ValueError(f"{verb} needs the name of the copy")
    if verb == "backup":
        return _print(upkeep.backup(copy), _backup_text, as_json=as_json)
    return _print(upkeep.restore(copy), _restore_text, as_json=as_json)


def _print(result: Any, text: Callable[[Any], Iterator[str]], *, as_json: bool) -> int:
    if as_json:
        document = {"schema": _SCHEMA, **msgspec.to_builtins(result, enc_hook=str)}
        print(msgspec.json.encode(document).decode())
    else:
        print("\n".join(text(result)))
    return 1 if _is_bad(result) else 0


def _is_bad(result: object) -> bool:
    if isinstance(result, Repair):
        return not result.is_complete
    return isinstance(result, Findings) and bool(result.problems)


def _check_text(found: Findings) -> Iterator[str]:
    yield from map(str, found.problems)
    yield from _lost("lost earlier", found.losses)
    if found.is_counted:
        seen = f"{counted(found.samples, 'sample')}, {counted(found.snapshots, 'snapshot')}"
    else:
        seen = "the samples cannot be counted"
    if found.unverified:
        unverified = counted(found.unverified, "sample")
        seen += f"; {unverified} not verified (written by an older version)"
    problems = counted(len(found.problems), "problem") if found.problems else "no problems"
    yield f"{seen}: {problems}"


def _repair_text(done: Repair) -> Iterator[str]:
    if done.aside is None:
        yield "no problems: nothing was changed"
        return
    yield from done.notes
    yield from _lost("lost", done.losses)
    totals = "" if done.is_sure else "at least "
    totals += (
        f"{counted(done.answered, 'sample')} of agents counted as answered,"
        f" {done.on_record} recorded, {done.missing} deleted or lost"
    )
    yield f"{totals} ({done.booked} lost earlier)" if done.booked else totals
    if done.is_complete:
        yield "no sample was lost"
    samples = counted(done.samples, "sample")
    yield f"repaired, with {samples}; the damaged file is now {done.aside}"


def _backup_text(done: Backup) -> Iterator[str]:
    for each in done.newest:
        yield f"{each.agent_id}: up to sample {each.last_id} of session {each.session_id}"
    yield f"{done.path}: {done.bytes / 1e6:.1f} MB, verified"


def _restore_text(done: Restored) -> Iterator[str]:
    yield from map(str, done.lacks)
    if done.unknown:
        yield f"the samples that this backup lacks are not known: {done.unknown}"
    if done.aside:
        yield f"restored; the old store is now {done.aside}"
    else:
        yield "restored"


def _lost(how: str, losses: Sequence[object]) -> Iterator[str]:
    return (f"{how}: {loss}" for loss in losses)
