"""What the command line of `broker export` takes."""

import argparse
from pathlib import Path

from broker.export.formats import Format
from broker.export.moments import moment
from quartet.commandline import Parser


def add_export(program: Parser) -> Parser:
    """Add the command."""
    export = program.add_command(
        "export",
        "write an agent's samples and predictions to a file",
        "Write an agent's samples with their predictions and explanations to a file: CSV, JSON\n"
        "lines or Parquet. It works beside a running broker. The file appears when it is\n"
        "complete. 'agent run --simulate' and 'broker evaluate' read the CSV.\n\n"
        "Exit codes: 0 written; 1 failed, and there is no file; 2 wrong use.",
        "broker export press-4 press-4.csv",
        "broker export press-4 press-4.parquet --from 2026-11-24 --to 2026-11-25T06:00",
        "broker export press-4 - --format jsonl | gzip > press-4.jsonl.gz",
    )
    export.add_argument("agent", metavar="AGENT", help="name of the agent")
    export.add_argument(
        "out", type=Path, metavar="OUT", help="file to write; '-' is standard output"
    )
    for name, what in (("from", "export samples from this time on"), ("to", "stop at this time")):
        export.add_argument(
            f"--{name}",
            type=given_time,
            metavar="TIME",
            help=f"{what}, such as 2026-11-24T10:00 (local time) or 2026-11-24T10:00Z"
            " (default: all)",
        )
    export.add_argument(
        "--format",
        choices=[str(each) for each in Format],
        help="format of the file (default: as its name ends; CSV on standard output)",
    )
    export.add_argument(
        "--statistics",
        action="store_true",
        help="add the numbers behind each prediction with their limits, by a replay of the"
        " predictor",
    )
    add_overwrite(export)
    return export


def add_overwrite(parser: Parser) -> None:
    """Add --overwrite."""
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the file if it exists; of a link, the file that it leads to",
    )


def given_time(text: str) -> int:
    """A time on the command line, in Unix ns."""
    try:
        return moment(text)
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"expected a time such as 2026-11-24, 2026-11-24T10:00 or 2026-11-24T10:00Z, got"
            f" {text!r}"
        ) from None
