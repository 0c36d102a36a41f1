"""`broker incident` and `broker replay`."""

import argparse
import asyncio
import re
import sys
from pathlib import Path

from broker import whole
from broker.config import PredictorSettings, Store
from broker.errors import CommandError, IncidentError
from broker.export.commands import interruptible
from broker.export.moments import in_store, moment
from broker.incident.archive import opened
from broker.incident.capture import Capture, capture
from broker.incident.manifest import Around, Manifest
from broker.incident.replay import replay
from broker.incident.sought import sample_of
from broker.incident.words import about, result, written
from broker.predictors.load import load
from broker.progress import ProgressLine
from broker.recorder.opening import open_reader
from broker.recorder.reader import Reader
from quartet.errors import SettingsError
from quartet.foreign import shown
from quartet.plural import counted

_ID = re.compile(r"\d{1,10}")

_MINUTE_NS = 60 * 10**9

# Their options name no file and no code: a file of a stranger's may choose them.
_HARMLESS = ("chart", "limits", "parity")


def incident(options: argparse.Namespace, store: Store, predictor: PredictorSettings) -> int:
    """Make an incident file; 0. SettingsError before anything is read."""
    out: Path = options.out
    if out == whole.STDOUT:
        raise SettingsError("OUT: an incident file cannot be written to standard output")
    whole.check(out, overwrite=options.overwrite)
    if options.session and not _ID.fullmatch(options.around):
        raise SettingsError("--session needs --around with the id of a sample")
    if not _ID.fullmatch(options.around):
        _given_time(options.around)
    manifest = asyncio.run(interruptible(_captured(open_reader(store), options, predictor)))
    print(shown(f"{out}: {written(manifest)}", 1000), file=sys.stderr)
    return 0


async def _captured(
    reader: Reader, options: argparse.Namespace, predictor: PredictorSettings
) -> Manifest:
    around = await _around(reader, options)
    line = ProgressLine(sys.stderr)

    def progress(count: int) -> None:
        if line.is_due:
            line.show(f"incident: {counted(count, 'sample')}")

    try:
        with whole.written(options.out) as file:
            return await capture(reader, Capture(options.agent, around, predictor), file, progress)
    finally:
        line.end()


async def _around(reader: Reader, options: argparse.Namespace) -> Around:
    reach_ns = round(options.minutes * _MINUTE_NS)
    if not _ID.fullmatch(options.around):
        at_ns = _given_time(options.around)
        return Around(at_ns, in_store(at_ns - reach_ns), in_store(at_ns + reach_ns))
    session: str = options.session or ""
    sample = await sample_of(reader, options.agent, int(options.around), session)
    at_ns = sample.sampled_at_ns
    since_ns, until_ns = in_store(at_ns - reach_ns), in_store(at_ns + reach_ns + 1)
    return Around(at_ns, since_ns, until_ns, sample.session_id, sample.id)


def _given_time(text: str) -> int:
    try:
        return moment(text)
    except (ValueError, OverflowError, OSError):
        raise SettingsError(
            f"--around: expected the id of a sample, or a time such as 2026-11-24T10:00, got"
            f" {text!r}"
        ) from None


def run_replay(options: argparse.Namespace, configured: PredictorSettings) -> int:
    """Replay an incident file; 0 where all predictions are the same, else 1.

    `configured`: the predictor of --predictor or, without one, of the configuration.
    """
    with opened(options.file) as file:
        print(about(file.manifest))
        if not file.manifest.states and not options.predictor:
            raise CommandError(
                f"{options.file}: not replayable: no state of the predictor was left on record;"
                " --predictor NAME shows what a fresh one predicts"
            )
        predictor = configured if options.predictor else _named(file.manifest, configured)
        found = replay(file, load(predictor.use, predictor.options))
        events = file.manifest.events
    for line in result(predictor.use, found, events):
        print(line)
    return 0 if found.is_exact else 1


def _named(manifest: Manifest, configured: PredictorSettings) -> PredictorSettings:
    """The predictor that a file names, unless that would run a stranger's choice of code."""
    named = manifest.predictor
    if named is None:
        return configured
    if named.use in _HARMLESS:
        return PredictorSettings(named.use, named.options)
    if named.use == configured.use:
        return configured
    raise IncidentError(
        f"{manifest.agent}: was answered by predictor {shown(named.use)}: if this machine has it,"
        f" give --predictor {shown(named.use)}"
    )
