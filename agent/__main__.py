"""The command line of the agent."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.clock import SystemClock
from agent.config import Rate, Settings, check
from agent.config.source import ReplaySettings, SensorSettings
from quartet import command
from quartet.distribution import version
from quartet.errors import SettingsError
from quartet.settings import load


def main(arguments: Sequence[str] | None = None, *, platform: str = sys.platform) -> int:
    """Run a command; 0 done, 1 failed, 2 wrong use or configuration (nothing started)."""
    options = _parser().parse_args(arguments)
    return command.run("agent", lambda: options.call(options), platform=platform)


def _run(options: argparse.Namespace) -> int:
    settings = _checked(options)
    if options.check:
        print(f"agent {settings.agent.id}: the configuration is right")
        return 0
    # gRPC's own log is for those who ask for it. Imported not before the settings
    # are right: it takes a Pi half a second.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from agent import app  # noqa: PLC0415

    reread = (lambda: _checked(options)) if options.config else None
    return app.run(settings, app.Outputs(options.predictions, options.journal), reread)


def _ledger(options: argparse.Namespace) -> int:
    from agent import ledger  # noqa: PLC0415 - no other command reads a spool

    settings = load(options.config, Settings) if options.config else Settings()
    return ledger.run(settings, as_json=options.json, broker_ledger=options.compare)


def _check(options: argparse.Namespace) -> int:
    from agent.check import doctor  # noqa: PLC0415 - no other command asks so much

    settings: Settings | SettingsError
    try:
        settings = load(options.config, Settings) if options.config else Settings()
        if options.virtual:
            settings = settings.with_virtual_chip()
    except SettingsError as error:
        settings = error
    return doctor.run(settings, options.config, SystemClock(), as_json=options.json)


def _calibrate(options: argparse.Namespace) -> int:
    from agent import calibrate  # noqa: PLC0415 - no other command writes a configuration

    settings = load(options.config, Settings) if options.config else Settings()
    if options.virtual:
        if options.config and not settings.is_virtual:
            raise SettingsError(
                f"--virtual: {options.config} is of a real chip, and would be calibrated by one in"
                " software: leave --config out to try it"
            )
        settings = settings.with_virtual_chip()
    return calibrate.run(settings, options.channel, options.unit, options.config, SystemClock())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agent", description="Stream four sensors to a broker and log its predictions."
    )
    parser.add_argument("--version", action="version", version=f"quartet {version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="sample, stream and log until stopped, or until the simulated file ends",
        allow_abbrev=False,
    )
    run.add_argument("--config", type=Path, metavar="TOML", help="configuration file")
    stand_in = run.add_mutually_exclusive_group()
    stand_in.add_argument(
        "--simulate", metavar="CSV", help="replay a file in place of the hardware"
    )
    _add_virtual(stand_in)
    run.add_argument("--loop", action="store_true", help="with --simulate: start over at its end")
    run.add_argument("--rate", type=_rate, metavar="HZ|max", help="samples a second (default 10)")
    run.add_argument("--broker", metavar="HOST:PORT", help="default 127.0.0.1:8061")
    run.add_argument(
        "--insecure", action="store_true", help="stream beyond this machine without TLS"
    )
    run.add_argument(
        "--predictions", type=Path, metavar="CSV", help="write id,prediction for each sample"
    )
    run.add_argument("--check", action="store_true", help="check the configuration, start nothing")
    run.add_argument(
        "--journal", action="store_true", help="log to journald also when not under systemd"
    )
    run.set_defaults(call=_run)
    checking = commands.add_parser(
        "check", help="whether this device can do the job; exit 1 if not", allow_abbrev=False
    )
    checking.add_argument("--config", type=Path, metavar="TOML", help="configuration file")
    checking.add_argument("--json", action="store_true", help="for a program")
    _add_virtual(checking)
    checking.set_defaults(call=_check)
    calibrating = commands.add_parser(
        "calibrate",
        help="take two known values at a sensor, and write its scale and offset",
        allow_abbrev=False,
    )
    calibrating.add_argument("channel", type=_channel, metavar="CHANNEL", help="the sensor: 1 to 4")
    calibrating.add_argument("--unit", type=_unit, help="of the known values, such as bar")
    calibrating.add_argument(
        "--config", type=Path, metavar="TOML", help="the file to write to; without, it is printed"
    )
    _add_virtual(calibrating)
    calibrating.set_defaults(call=_calibrate)
    ledger = commands.add_parser(
        "ledger", help="every sample's fate; exit 1 if it does not balance", allow_abbrev=False
    )
    ledger.add_argument("--config", type=Path, metavar="TOML", help="configuration file")
    ledger.add_argument("--json", action="store_true", help="for a program")
    ledger.add_argument(
        "--compare",
        type=Path,
        metavar="BROKER.json",
        help="what 'broker ledger --json' printed: tell what one side has and the other has not",
    )
    ledger.set_defaults(call=_ledger)
    return parser


def _add_virtual(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--virtual",
        action="store_true",
        help="read an ADS1115 in software in place of the real one",
    )


def _rate(text: str) -> Rate:
    try:
        rate: Rate = msgspec.convert("max" if text == "max" else float(text), Rate)
    except (ValueError, msgspec.ValidationError):
        raise argparse.ArgumentTypeError(
            f"expected 'max' or samples a second, 0.0001 to 1000, got {text!r}"
        ) from None
    return rate


def _checked(options: argparse.Namespace) -> Settings:
    settings = _settings(options)
    check(settings)
    return settings


def _settings(options: argparse.Namespace) -> Settings:
    """The configuration file, with the command line over it."""
    settings = load(options.config, Settings) if options.config else Settings()
    replace = msgspec.structs.replace
    if options.simulate:
        settings = settings.with_source(ReplaySettings(options.simulate, options.loop))
        if options.predictions and _same_file(options.simulate, options.predictions):
            raise SettingsError("--predictions: would overwrite the file that --simulate reads")
    elif options.loop:
        raise SettingsError("--loop goes with --simulate")
    if options.virtual:
        settings = settings.with_virtual_chip()
    if options.rate is not None:
        settings = replace(settings, sampling=replace(settings.sampling, rate_hz=options.rate))
    if options.broker or options.insecure:
        broker = replace(
            settings.broker,
            address=options.broker or settings.broker.address,
            insecure=options.insecure or settings.broker.insecure,
        )
        settings = replace(settings, broker=broker)
    return settings


def _channel(text: str) -> int:
    if text not in {"1", "2", "3", "4"}:
        raise argparse.ArgumentTypeError(f"expected 1 to 4, of sensor1 to sensor4, got {text!r}")
    return int(text)


def _unit(text: str) -> str:
    try:
        return msgspec.convert({"unit": text}, SensorSettings).unit
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(f"expected 1 to 16 characters, got {text!r}") from None


def _same_file(first: str, second: Path) -> bool:
    try:
        return second.samefile(first)
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(main())
