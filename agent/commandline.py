"""What the command line of the agent takes."""

import argparse
from pathlib import Path

import msgspec

from agent.config import Rate
from agent.config.source import ReplaySettings, SensorSettings
from agent.instance import FIRST, NAME, NAME_IN_WORDS
from quartet.commandline import (
    Parser,
    add_columns,
    add_common_commands,
    add_config,
    add_predictions,
)
from wire.metadata import AGENT_ID, AGENT_ID_IN_WORDS

CONFIG = Path("/etc/agent/agent.toml")
"""The configuration file that is read where none is named, if it exists."""

_CONFIG = f"configuration file (default: {CONFIG}, if it exists)"
_SIMULATED = f"configuration file (default: {CONFIG}, if it exists, but not in a simulation)"


def parser() -> Parser:
    """The parser; a command's name is in `command` of what it gives."""
    program = Parser(
        prog="agent",
        description="Read four sensors, send each sample to a broker, and log its predictions.",
        examples=[
            "agent run --simulate sensors.csv      # try it without sensors",
            "agent config --example > agent.toml   # start a configuration",
            "agent check --config agent.toml       # find what is missing on this device",
            "agent run --config agent.toml",
        ],
    )
    program.add_version()
    _add_run(program)
    _add_status(program)
    _add_release(program)
    _add_check(program)
    _add_calibrate(program)
    _add_ledger(program)
    add_common_commands(program)
    return program


def _add_run(program: Parser) -> None:
    run = program.add_command(
        "run",
        "read sensors, stream samples and log predictions",
        "Read sensors, stream the samples to the broker and log each prediction. It runs until\n"
        "Ctrl-C or SIGTERM, or until the last row of a simulated file is answered. Options on the\n"
        "command line override the configuration file.\n\n"
        "Exit codes: 0 done; 1 failed, or a sample was lost; 2 wrong use or configuration.",
        "agent run --config agent.toml",
        "agent run --simulate sensors.csv --rate 50 --predictions predictions.csv",
        "agent run --virtual --broker 127.0.0.1:8061",
        "agent run --config agent.toml --check",
    )
    add_config(run, _SIMULATED)
    stand_in = run.add_mutually_exclusive_group()
    stand_in.add_argument(
        "--simulate",
        metavar="FILE",
        help="replay this recording instead of reading sensors; '-' is standard input",
    )
    _add_virtual(stand_in)
    run.add_argument(
        "--loop", action="store_true", help="with --simulate: start again at the end of the file"
    )
    add_columns(run)
    run.add_argument(
        "--rate",
        type=_rate,
        metavar="HZ|max|recorded",
        help="samples per second; for a file also 'max', as fast as the broker answers, or"
        " 'recorded', at the times of its rows (default: 10)",
    )
    run.add_argument(
        "--speed",
        type=_speed,
        metavar="N",
        help="with --rate recorded: replay N times as fast (default: 1)",
    )
    run.add_argument(
        "--from",
        dest="since",
        metavar="TIME",
        help="with --simulate: leave out the rows before this date and time, or before this number"
        " of seconds from the first row",
    )
    run.add_argument(
        "--to",
        dest="until",
        metavar="TIME",
        help="with --simulate: leave out the rows from this time on, in the same form",
    )
    run.add_argument(
        "--agent-id",
        type=_agent_id,
        metavar="NAME",
        help="stream under this name (default: the host name, and in a simulation a new name for"
        " each run)",
    )
    run.add_argument(
        "--broker",
        action="append",
        metavar="HOST:PORT",
        help="stream to the broker at this address; for several brokers with a common store, repeat"
        " it or put commas between the addresses (default: 127.0.0.1:8061)",
    )
    run.add_argument(
        "--insecure",
        action="store_true",
        help="allow a stream to another machine without TLS",
    )
    add_predictions(run, "--predictions")
    run.add_argument(
        "--check",
        action="store_true",
        help="check the configuration and the files that it names, then exit",
    )
    run.add_argument(
        "--journal",
        action="store_true",
        help="log to journald, also when systemd did not start the agent",
    )


def _add_status(program: Parser) -> None:
    status = program.add_command(
        "status",
        "show what the running agent is doing",
        "Ask the running agent how it is: the connection and since when, samples that wait, and\n"
        "the latest prediction. It also shows how far the predictor has learned, an alarm and its\n"
        "reason, an alarm output that waits for a person, and trouble with sensors or spool. Run\n"
        "it as the agent's user, or with sudo.\n"
        "A simulation needs directories under [spool] to be asked.\n\n"
        "Exit codes: 0 the agent streams, without an alarm and without trouble; 1 it does not, or\n"
        "no agent runs, or it cannot be asked.",
        "sudo agent status",
        "sudo agent status oil",
        "agent status --config agent.toml --json",
    )
    _add_name(status)
    add_config(status, _CONFIG)
    status.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_release(program: Parser) -> None:
    release = program.add_command(
        "release",
        "release the alarm output that its latch holds on",
        "With 'latch = true' under [outputs.alarm], the alarm output stays on once a prediction\n"
        "has switched it on. This command releases it. While the predictions would still have it\n"
        "on, it stays on. The agent logs who released it. Run it as the agent's user, or with\n"
        "sudo.\n\n"
        "Exit codes: 0 the output is not held any more; 1 it stays held, or no agent runs, or it\n"
        "cannot be asked.",
        "sudo agent release",
    )
    _add_name(release)
    add_config(release, _CONFIG)


def _add_check(program: Parser) -> None:
    check = program.add_command(
        "check",
        "check whether this device can do the job",
        "Check the sensors, the configuration, the directories, the certificates and the broker,\n"
        "one line each, with a remedy for each problem. It works beside a running agent and\n"
        "without sudo.\n\n"
        "Exit codes: 0 nothing failed; 1 a check failed.",
        "agent check",
        "agent check --config agent.toml",
        "agent check --virtual",
    )
    _add_name(check)
    add_config(check, _SIMULATED)
    check.add_argument("--json", action="store_true", help="print the result as JSON")
    _add_virtual(check)


def _add_calibrate(program: Parser) -> None:
    calibrate = program.add_command(
        "calibrate",
        "calibrate a sensor by two known values",
        "Ask for two known values of a sensor, measure its voltage at each, and write scale and\n"
        "offset to the file that --config names. Stop the agent first: a chip has one reader.",
        "agent calibrate 2 --unit bar --config agent.toml",
    )
    calibrate.add_argument(
        "channel", type=_channel, metavar="CHANNEL", help="number of the sensor, 1 to 4"
    )
    calibrate.add_argument("--unit", type=_unit, help="unit of the known values, such as bar")
    add_config(
        calibrate,
        "configuration file to change (default: print the result, and read the wiring of the"
        f" sensor from {CONFIG}, if it exists)",
    )
    _add_virtual(calibrate)


def _add_ledger(program: Parser) -> None:
    ledger = program.add_command(
        "ledger",
        "show what happened to every sample",
        "Show how many samples of each start were answered, wait or were lost. It works beside a\n"
        "running agent.\n\n"
        "Exit codes: 0 every sample is accounted for; 1 the numbers do not add up, contradict the\n"
        "broker's, or cannot be read.",
        "agent ledger --config agent.toml",
        "agent ledger --compare broker.json",
    )
    _add_name(ledger)
    add_config(ledger, _CONFIG)
    ledger.add_argument("--json", action="store_true", help="print the result as JSON")
    ledger.add_argument(
        "--compare",
        type=Path,
        metavar="BROKER.json",
        help="list the samples that only the agent or only the broker has; the file is the output"
        " of 'broker ledger --json'",
    )


def _add_name(command: Parser) -> None:
    command.add_argument(
        "name",
        nargs="?",
        type=_name,
        metavar="NAME",
        help=f"the agent of agent@NAME.service, which reads {CONFIG.parent}/NAME.toml (default: the"
        " agent of agent.service)",
    )


def _add_virtual(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--virtual",
        action="store_true",
        help="simulate the ADC chip instead of reading the real one",
    )


def _rate(text: str) -> Rate:
    try:
        rate: Rate = msgspec.convert(text if text in {"max", "recorded"} else float(text), Rate)
    except (ValueError, msgspec.ValidationError):
        raise argparse.ArgumentTypeError(
            f"expected 'max', 'recorded' or samples per second from 0.0001 to 1000, got {text!r}"
        ) from None
    return rate


def _speed(text: str) -> float:
    try:
        return msgspec.convert(
            {"kind": "replay", "path": "", "speed": float(text)}, ReplaySettings
        ).speed
    except (ValueError, msgspec.ValidationError):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}") from None


def _agent_id(text: str) -> str:
    if not AGENT_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected {AGENT_ID_IN_WORDS}, got {text!r}")
    return text


def _name(text: str) -> str:
    if text == FIRST:
        raise argparse.ArgumentTypeError(f"{FIRST} is agent.service's: leave the name out")
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected {NAME_IN_WORDS}, got {text!r}")
    return text


def _channel(text: str) -> int:
    if text not in {"1", "2", "3", "4"}:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 4, got {text!r}")
    return int(text)


def _unit(text: str) -> str:
    try:
        return msgspec.convert({"unit": text}, SensorSettings).unit
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(f"expected 1 to 16 characters, got {text!r}") from None
