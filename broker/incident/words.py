"""What people read of an incident file and of its replay."""

from collections.abc import Iterator, Sequence

from broker.export.cells import iso
from broker.incident.archive import Row
from broker.incident.manifest import Around, Event, Manifest
from broker.incident.replay import Comparison
from broker.records import EventKind
from quartet.foreign import shown
from quartet.plural import counted

_SHORT = 8

_CHANGES = {str(EventKind.BEGUN): "started again", str(EventKind.RESTORED): "restored"}

_STATES = "states/        the predictor as it was before the first sample and after each change"

# Of an explanation.
_MOST = 500


def readme(manifest: Manifest) -> str:
    """The member README.txt."""
    since, until = iso(manifest.around.since_ns), iso(manifest.around.until_ns)
    lines = [
        "An incident file of Quartet.",
        "",
        f"Agent:     {manifest.agent}",
        f"About:     {_about(manifest.around)}",
        f"Range:     {since} to {until} (UTC)",
        f"Samples:   {manifest.rows}; those before the range lead from the predictor's state to it",
        f"Predictor: {manifest.predictor.use if manifest.predictor else 'name not known'}",
        f"Made by:   Quartet {manifest.quartet}, Python {manifest.python}, {manifest.machine}",
        "",
        "samples.csv    time, values, prediction and explanation of each sample",
        *([_STATES] if manifest.states else ()),
        "manifest.json  names, versions, sessions with their counts, events, checksums",
        "",
        "    broker replay FILE.zip",
        "",
        "answers all samples again and says whether the predictions are the same. The checksums",
        "find damage. They do not prove who made the file.",
        "",
    ]
    return "\n".join(shown(line, _MOST) for line in lines)


def written(manifest: Manifest) -> str:
    """What is in a file that was made, in one line."""
    lead = "" if manifest.states else "; no state of the predictor is left: not replayable"
    if manifest.states and (late := manifest.states[0].row):
        lead = f"; not replayable for the first {counted(late, 'sample')}"
    return f"{counted(manifest.rows, 'sample')} of {manifest.agent}{lead}"


def about(manifest: Manifest) -> str:
    """What a file is, in one line."""
    return (
        f"incident of {shown(manifest.agent)}, {_about(manifest.around)}:"
        f" {counted(manifest.rows, 'sample')}"
    )


def result(name: str, found: Comparison, events: Sequence[Event] = ()) -> Iterator[str]:
    """What came of a replay by this predictor, line by line."""
    if not found.is_same:
        yield f"{name} is not the recorded predictor, and starts fresh at the first sample"
    yield from _skipped(found)
    if found.raised:
        where = f" at {_place(found.last)}" if found.last else ""
        yield f"the replay ended: {name} raised {found.raised}{where}"
    if difference := found.first:
        row = difference.row
        yield f"first difference: {_place(row)}: recorded {row.prediction}, now {difference.now}"
        if row.said or difference.said:
            yield f"  explanation recorded: {_said(row.said)}"
            yield f"  explanation now:      {_said(difference.said)}"
        if event := _latest_change(events, row):
            yield f"  before it, at {iso(event.at_ns)}, the predictor was {_changed(event)}"
        yield (
            f"{found.differing} of {counted(found.compared, 'prediction')} differ:"
            f" {found.now_false} True on record and False now,"
            f" {found.now_true} False on record and True now"
        )
    elif found.is_exact:
        same = "bit-exact" if found.is_same else "the same"
        yield f"{same}: all {counted(found.compared, 'prediction')}, {found.true} of them True"


def _skipped(found: Comparison) -> Iterator[str]:
    if found.first_compared is None and found.lack:
        yield f"not replayable: {found.lack}"
    elif found.first_compared and found.skipped:
        left_out = counted(found.skipped, "sample", "is", "are")
        yield f"not replayable before {_place(found.first_compared)}: {left_out} left out"
    if found.skipped_later:
        left_out = counted(found.skipped_later, "later sample", "is", "are")
        yield f"{left_out} left out: {found.lack}"


def _latest_change(events: Sequence[Event], row: Row) -> Event | None:
    """The last time before a sample at which its predictor was another one, or was rebuilt."""
    return next(
        (
            each
            for each in reversed(events)
            if each.kind in _CHANGES and iso(each.at_ns) <= row.arrived
        ),
        None,
    )


def _changed(event: Event) -> str:
    return f"{_CHANGES[event.kind]}: {shown(event.text, _MOST)}"


def _place(row: Row) -> str:
    return f"sample {row.id} of session {shown(row.session[:_SHORT]) or '-'} at {shown(row.time)}"


def _said(text: str) -> str:
    return shown(text, _MOST) or "none"


def _about(around: Around) -> str:
    at = iso(around.at_ns)
    return at if around.id is None else f"sample {around.id} at {at}"
