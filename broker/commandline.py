"""What the command line of the broker takes."""

import argparse
from pathlib import Path

from broker.console.commandline import add_console
from broker.export.commandline import add_export
from broker.incident.commandline import add_incident, add_replay
from broker.mqtt.commandline import add_mqtt
from broker.notify.commandline import add_notify
from broker.pki.commandline import add_pki
from quartet.commandline import (
    Parser,
    add_columns,
    add_common_commands,
    add_config,
    add_predictions,
    sentence,
)

CONFIG = Path("/etc/broker/broker.toml")
"""The configuration file that is read where none is named, if it exists."""

# More than any machine has cores for; a slip in the name of a unit is seen.
_MOST_PROCESSES = 64

_PREDICTORS = "chart, limits, onnx, parity, the name of an installed one, or module:Class"


def parser() -> Parser:
    """The parser; the names of a command and its verb are in `command` and `verb`."""
    program = Parser(
        prog="broker",
        description="Answer each sample of each agent with a prediction.",
        examples=[
            "broker run                              # serve agents on this machine",
            "broker run --store broker.db            # keep records over a restart",
            "broker config --example > broker.toml   # start a configuration",
            "broker status --store broker.db         # show how all agents are",
            "broker evaluate recording.csv           # show what would have been predicted",
        ],
    )
    program.add_version()
    _add_run(program)
    _add_status(program)
    ledger = _with_store(
        program.add_command(
            "ledger",
            "show what was received and answered",
            "Show by agent and session what was received, answered, sent again and refused. It\n"
            "works beside a running broker.\n\n"
            "Exit codes: 0 the numbers add up; 1 they do not, or cannot be read.",
            "broker ledger --store broker.db",
            "broker ledger --json > broker.json",
        )
    )
    ledger.add_argument("--json", action="store_true", help="print the result as JSON")
    rebase = _with_store(
        program.add_command(
            "rebase",
            "reset an agent's model; it learns again from the next sample",
            "Reset the model of an agent, for example after maintenance: it learns again from the\n"
            "next sample. If a broker runs and the agent sends samples, the command waits until\n"
            "it is done, up to 10 s. Otherwise it says that the reset follows at the next sample.",
        )
    )
    rebase.add_argument("agent", metavar="AGENT", help="name of the agent")
    forget = _with_store(
        program.add_command(
            "forget",
            "delete all records of an agent",
            "Delete all records of an agent. A running broker does it within seconds. Without a\n"
            "running broker it is done at once.",
            "broker forget press-4",
        )
    )
    forget.add_argument("agent", metavar="AGENT", help="name of the agent")
    add_console(program)
    add_notify(program)
    add_mqtt(program)
    _with_store(add_export(program))
    _with_store(add_incident(program))
    _add_config_of_predictor(add_replay(program))
    _add_evaluate(program)
    _add_check_predictor(program)
    _add_store(program)
    _add_move_store(program)
    add_pki(program)
    add_common_commands(program)
    return program


def _add_run(program: Parser) -> None:
    run = program.add_command(
        "run",
        "serve agents until stopped",
        "Listen for agents and answer each sample with a prediction, until Ctrl-C or SIGTERM.\n"
        "Options on the command line override the configuration file.\n\n"
        "Exit codes: 0 stopped; 1 failed; 2 wrong use or configuration.",
        "broker run --store broker.db",
        "broker run --predictor vibration:Rising",
        "broker run --config broker.toml --check",
    )
    add_config(run, f"configuration file (default: {CONFIG}, if it exists)")
    run.add_argument(
        "--store",
        metavar="PATH",
        help="keep samples and predictions in this file, or in the database of a postgresql:// URL"
        " (default: as configured; otherwise they are kept in memory)",
    )
    run.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help="listen on this address, or on unix:/PATH (default: 127.0.0.1:8061)",
    )
    run.add_argument(
        "--process",
        type=_process,
        metavar="N",
        help="number of this process, from 1, if several brokers run on the machine: it listens"
        " N - 1 ports above the configured one, or on the same if listen.shared is true",
    )
    run.add_argument(
        "--predictor",
        metavar="NAME",
        help=f"answer with this predictor: {_PREDICTORS} (default: chart)",
    )
    run.add_argument(
        "--insecure",
        action="store_true",
        help="allow connections from other machines without TLS",
    )
    run.add_argument(
        "--check",
        action="store_true",
        help="check the configuration, the files or the database that it names and the predictor,"
        " then exit",
    )


def _add_status(program: Parser) -> None:
    status = _with_store(
        program.add_command(
            "status",
            "show how all agents are, worst first",
            "Show a line for each agent, worst first: whether it is offline, late, learning,\n"
            "normal or in alarm, since when and why; its missing samples; how long its\n"
            "certificate is valid. It works beside a running broker, and without one on the last\n"
            "records.\n\n"
            "Exit codes: 0 all is well; 1 a person is needed: an agent is offline or in alarm, a\n"
            "certificate ends within 30 days, or no broker runs. It is also 1 while a database\n"
            "waits for a standby. A rehearsal, which is a simulation without a name of its own,\n"
            "needs nobody, also in alarm.",
            "broker status --store broker.db",
            "broker status --watch",
            "broker status --json > status.json",
        )
    )
    status.add_argument("--json", action="store_true", help="print the result as JSON")
    status.add_argument(
        "--watch", action="store_true", help="print it again each second, until Ctrl-C"
    )


def _add_evaluate(program: Parser) -> None:
    evaluate = program.add_command(
        "evaluate",
        "show what a predictor would have predicted on a recording",
        "Replay recordings through predictors without a broker, and print how often and when they\n"
        "predicted True. Several files or predictors are compared in a table. --out and --plot\n"
        "take one file and one predictor, --intervals takes one file.\n\n"
        "Exit codes: 0 done; 1 a file could not be read to its end; 2 wrong use.",
        "broker evaluate recording.csv --plot recording.png",
        "broker evaluate recording.csv --columns 2,3,4,5 --labels fault --plot recording.png",
        "broker evaluate recording.csv --predictor chart --predictor vibration:Rising",
    )
    evaluate.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="recording: a CSV or another text file of a logger; '-' is standard input",
    )
    add_columns(evaluate)
    _add_config_of_predictor(evaluate)
    evaluate.add_argument(
        "--predictor",
        dest="predictors",
        action="append",
        default=[],
        metavar="NAME",
        help=f"use this predictor: {_PREDICTORS}; may be repeated (default: the configured one)",
    )
    add_predictions(evaluate, "--out")
    evaluate.add_argument(
        "--plot",
        type=Path,
        metavar="PNG",
        help="draw sensors, alarms, known faults and the numbers behind them into this picture",
    )
    truth = evaluate.add_mutually_exclusive_group()
    truth.add_argument(
        "--labels",
        metavar="COLUMN",
        help="judge the predictions by this column of the recording, which is not a sensor: a"
        " fault is true or not 0",
    )
    truth.add_argument(
        "--intervals",
        type=Path,
        metavar="FILE",
        help="judge the predictions by the lines FROM,TO of this file: two rows or two times each",
    )
    evaluate.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_check_predictor(program: Parser) -> None:
    check = program.add_command(
        "check-predictor",
        "check that a predictor meets the broker's requirements",
        "Try a predictor on built-in samples, one line for each requirement.\n\n"
        "Exit codes: 0 all are met; 1 a check failed.",
        "broker check-predictor vibration:Rising",
    )
    check.add_argument(
        "predictor",
        nargs="?",
        metavar="NAME",
        help=f"predictor to check: {_PREDICTORS} (default: the configured one)",
    )
    check.add_argument(
        "--recording",
        type=Path,
        metavar="FILE",
        help="recording of a healthy machine; fails if the predictor is True for most of it",
    )
    add_columns(check)
    _add_config_of_predictor(check)


def _add_store(program: Parser) -> None:
    store = program.add_command(
        "store",
        "check, repair, back up and restore the store",
        "Look after the file in which the broker keeps samples and predictions. Of a database,\n"
        "'check' looks whether all counters and samples fit together; PostgreSQL's own programs\n"
        "do the rest.",
        "broker store check --store broker.db",
        "broker store backup backup.db --store broker.db",
    )
    for verb, help_, copy in (
        (
            "check",
            "check all records; works while the broker runs (exit 1 if any is damaged)",
            None,
        ),
        (
            "repair",
            "write a new store with all readable records; stop the broker first. The damaged file"
            " is kept beside it",
            None,
        ),
        ("backup", "copy the store to a new file; works while the broker runs", "DEST"),
        (
            "restore",
            "replace the store with a backup; stop the broker first. The present store is kept"
            " beside it",
            "BACKUP",
        ),
    ):
        command = _with_store(store.add_command(verb, help_, sentence(help_)))
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        command.set_defaults(copy=None)
        if copy:
            command.add_argument("copy", type=Path, metavar=copy, help="file of the copy")


def _add_move_store(program: Parser) -> None:
    move = program.add_command(
        "move-store",
        "move all records from a file to a PostgreSQL database, or back",
        "Copy all records into an empty store of the other kind: agents continue there, and their\n"
        "predictors too. Stop all brokers first. The old store is not changed. If the command is\n"
        "interrupted, the new store has nothing.\n\n"
        "Exit codes: 0 all records are moved; 1 none are.",
        "broker move-store broker.db postgresql://broker@db1/quartet",
        "broker move-store postgresql://broker@db1/quartet broker.db",
    )
    for name, what in (("from", "store with the records"), ("to", "new store, without any")):
        move.add_argument(name, metavar=name.upper(), help=f"{what}: a file or a postgresql:// URL")


def _add_config_of_predictor(parser: Parser) -> None:
    add_config(parser, f"configuration file with the predictor (default: {CONFIG}, if it exists)")


def _with_store(parser: Parser) -> Parser:
    add_config(parser, f"configuration file (default: {CONFIG}, if it exists)")
    parser.add_argument(
        "--store",
        metavar="PATH",
        help="file or postgresql:// URL of samples and predictions (default: as configured)",
    )
    return parser


def _process(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_PROCESSES:
        raise argparse.ArgumentTypeError(
            f"expected a number from 1 to {_MOST_PROCESSES}, as in broker@2, got {text!r}"
        )
    return int(text)
