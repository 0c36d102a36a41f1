"""What the command lines of `broker incident` and `broker replay` take."""

import argparse
from pathlib import Path

from broker.export.commandline import add_overwrite
from quartet.commandline import Parser

_MOST_MINUTES = 7 * 24 * 60


def add_incident(program: Parser) -> Parser:
    """Add `broker incident`."""
    incident = program.add_command(
        "incident",
        "write all that a predictor saw around a sample to a file",
        "Write a zip file with all samples of an agent around a sample or a time, the state that\n"
        "the predictor had before them, its predictions and explanations, events and versions.\n"
        "'broker replay' answers them again. It works beside a running broker.\n\n"
        "Exit codes: 0 written; 1 failed, and there is no file; 2 wrong use.",
        "broker incident press-4 press-4.zip --around 81234",
        "broker incident press-4 press-4.zip --around 2026-11-24T10:15 --minutes 30",
    )
    incident.add_argument("agent", metavar="AGENT", help="name of the agent")
    incident.add_argument("out", type=Path, metavar="OUT", help="zip file to write")
    incident.add_argument(
        "--around",
        required=True,
        metavar="ID|TIME",
        help="id of a sample, or a time such as 2026-11-24T10:00 (local time) or 2026-11-24T10:00Z",
    )
    incident.add_argument(
        "--session",
        metavar="SESSION",
        help="session of the sample, or how it begins (default: the newest one with this id)",
    )
    incident.add_argument(
        "--minutes",
        type=_minutes,
        default=10.0,
        metavar="N",
        help="minutes before it, and minutes after it (default: 10)",
    )
    add_overwrite(incident)
    return incident


def add_replay(program: Parser) -> Parser:
    """Add `broker replay`."""
    replay = program.add_command(
        "replay",
        "answer the samples of an incident file again, and compare",
        "Answer the samples of an incident file again. With the predictor that answered them,\n"
        "all predictions must be the same; otherwise the first difference is shown. Another\n"
        "predictor starts fresh at the first sample, and at each reset.\n\n"
        "Exit codes: 0 all predictions are the same; 1 a difference, or the file cannot be\n"
        "replayed; 2 wrong use.",
        "broker replay press-4.zip",
        "broker replay press-4.zip --predictor vibration:Rising",
    )
    replay.add_argument("file", type=Path, metavar="FILE", help="incident file")
    replay.add_argument(
        "--predictor",
        metavar="NAME",
        help="answer with this predictor (default: the one that the file names)",
    )
    return replay


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= _MOST_MINUTES:
        raise argparse.ArgumentTypeError(f"expected a number up to {_MOST_MINUTES}, got {text!r}")
    return minutes
