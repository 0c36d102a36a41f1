"""The command line of the broker."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from broker.config import PredictorSettings, Settings, check
from quartet.errors import QuartetError, SettingsError
from quartet.settings import load


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 done, 1 failed, 2 wrong use or configuration (nothing started)."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options)
        check(settings)
    except SettingsError as error:
        print(f"broker: {error}", file=sys.stderr)
        return 2
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's own log is for those who ask for it
    try:
        from broker import app  # noqa: PLC0415 - so that settings are checked without gRPC
    except ImportError as error:
        print(f"broker: {error.name} is missing: pip install 'quartet[broker]'", file=sys.stderr)
        return 1
    try:
        app.run(settings)
    except QuartetError as error:
        print(f"broker: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="broker", description="Answer each sample of each agent with a prediction."
    )
    parser.add_argument("--version", action="version", version=f"quartet {version('quartet')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="serve agents until stopped", allow_abbrev=False)
    run.add_argument("--config", type=Path, metavar="TOML", help="configuration file")
    run.add_argument("--listen", metavar="HOST:PORT", help="default 127.0.0.1:8061")
    run.add_argument(
        "--predictor", metavar="NAME", help="limits (default), parity, or your own module:Class"
    )
    run.add_argument(
        "--insecure", action="store_true", help="listen beyond this machine without TLS"
    )
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    """The configuration file, with the command line over it."""
    settings = load(options.config, Settings) if options.config else Settings()
    replace = msgspec.structs.replace
    if options.listen or options.insecure:
        listen = replace(
            settings.listen,
            address=options.listen or settings.listen.address,
            insecure=options.insecure or settings.listen.insecure,
        )
        settings = replace(settings, listen=listen)
    if options.predictor:
        # The options in the file are those of the file's black box.
        same = options.predictor == settings.predictor.use
        chosen = settings.predictor if same else PredictorSettings(options.predictor)
        settings = replace(settings, predictor=chosen)
    return settings


if __name__ == "__main__":
    sys.exit(main())
