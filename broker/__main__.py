"""The command line of the broker."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from broker.config import PredictorSettings, Settings, check, store_path
from broker.predictors.load import load as load_predictor
from quartet import command
from quartet.errors import SettingsError
from quartet.foreign import in_json, shown
from quartet.plural import counted
from quartet.settings import load


def main(arguments: Sequence[str] | None = None, *, platform: str = sys.platform) -> int:
    """Run a command; 0 done, 1 failed, 2 wrong use or configuration (nothing started)."""
    options = _parser().parse_args(arguments)
    return command.run("broker", lambda: options.run(options), platform=platform)


def _run(options: argparse.Namespace) -> int:
    settings = _checked(options)
    if options.check:
        load_predictor(settings.predictor.use, settings.predictor.options)
        print("the configuration is right")
        return 0
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's own log is for those who ask for it
    try:
        from broker import app  # noqa: PLC0415 - so that settings are checked without gRPC
    except ImportError as error:
        print(f"broker: {error.name} is missing: pip install 'quartet[broker]'", file=sys.stderr)
        return 1
    app.run(settings, (lambda: _checked(options)) if options.config else None)
    return 0


def _ledger(options: argparse.Namespace) -> int:
    from broker.ledger import Ledger  # noqa: PLC0415 - no other command reads a store
    from broker.recorder.opening import open_reader  # noqa: PLC0415

    ledger = Ledger(asyncio.run(open_reader(_store(options)).accounts()))
    print(in_json(ledger.to_json()) if options.json else ledger.to_text())
    problems = ledger.problems()
    for problem in problems:
        print(f"broker: {shown(problem)}", file=sys.stderr)
    return 1 if problems else 0


def _rebase(options: argparse.Namespace) -> int:
    from broker.recorder.opening import open_reader  # noqa: PLC0415 - as above

    asyncio.run(open_reader(_store(options)).command_rebase(options.agent))
    print(f"{options.agent}: its predictor is reset, and learns again from the next sample")
    return 0


def _forget(options: argparse.Namespace) -> int:
    from broker.recorder.opening import open_reader  # noqa: PLC0415 - as above

    deleted = asyncio.run(open_reader(_store(options)).command_forget(options.agent))
    if deleted is None:
        print(f"{options.agent}: the running broker deletes its records within seconds")
    else:
        print(f"{options.agent}: deleted all records, {counted(deleted, 'sample')} among them")
    return 0


def _upkeep(options: argparse.Namespace) -> int:
    from broker import store  # noqa: PLC0415 - no other command needs it
    from broker.recorder.opening import open_upkeep  # noqa: PLC0415

    upkeep = open_upkeep(_store(options))
    return store.run(options.verb, upkeep, options.copy, as_json=options.json)


def _evaluate(options: argparse.Namespace) -> int:
    from broker.evaluate import commands  # noqa: PLC0415 - the others need none of it

    return commands.evaluate(options, _predictors(options, options.predictors))


def _check_predictor(options: argparse.Namespace) -> int:
    from broker.evaluate import commands  # noqa: PLC0415 - the others need none of it

    names = [options.predictor] if options.predictor else []
    return commands.check_predictor(*_predictors(options, names))


def _predictors(options: argparse.Namespace, names: Sequence[str]) -> list[PredictorSettings]:
    """Black boxes by their names; the configured one, where there is none."""
    settings = load(options.config, Settings) if options.config else Settings()
    return [_chosen(settings, name) for name in names or [settings.predictor.use]]


def _chosen(settings: Settings, name: str) -> PredictorSettings:
    """A black box by its name. The options in the file are those of the file's black box."""
    same = name == settings.predictor.use
    return settings.predictor if same else PredictorSettings(name)


def _pki(options: argparse.Namespace) -> int:
    try:
        from broker.pki import commands  # noqa: PLC0415 - no other command needs cryptography
    except ImportError as error:
        print(f"broker: {error.name} is missing: pip install 'quartet[broker]'", file=sys.stderr)
        return 1
    commands.run(options)
    return 0


def _store(options: argparse.Namespace) -> Path:
    path = store_path(_settings(options), os.environ)
    if path is None:
        raise SettingsError("which store? give --store PATH, or --config with recorder.path")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="broker", description="Answer each sample of each agent with a prediction."
    )
    parser.add_argument("--version", action="version", version=f"quartet {version('quartet')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = _command(commands, "run", _run, "serve agents until stopped")
    run.add_argument("--listen", metavar="HOST:PORT", help="default 127.0.0.1:8061")
    run.add_argument(
        "--predictor", metavar="NAME", help="chart (default), limits, onnx, parity, or module:Class"
    )
    run.add_argument(
        "--insecure", action="store_true", help="listen beyond this machine without TLS"
    )
    run.add_argument(
        "--check",
        action="store_true",
        help="check the configuration and the predictor, and start nothing",
    )
    ledger = _command(
        commands, "ledger", _ledger, "what was received and answered, by agent and session"
    )
    ledger.add_argument("--json", action="store_true", help="for programs")
    begin_anew = _command(
        commands,
        "rebase",
        _rebase,
        "reset an agent's predictor; it learns again from the next sample",
    )
    begin_anew.add_argument("agent", metavar="AGENT", help="its id")
    forget = _command(
        commands,
        "forget",
        _forget,
        "delete all records of an agent: at once, or by the broker if it is running",
    )
    forget.add_argument("agent", metavar="AGENT", help="its id")
    offline = _offline(
        commands, "evaluate", _evaluate, "show what a predictor would have said about recordings"
    )
    offline.add_argument("files", nargs="+", type=Path, metavar="CSV", help="files of samples")
    offline.add_argument(
        "--predictor",
        dest="predictors",
        action="append",
        default=[],
        metavar="NAME",
        help="as of run; may be given again, and a table compares them",
    )
    offline.add_argument("--out", type=Path, metavar="CSV", help="write id,prediction (0 or 1)")
    offline.add_argument(
        "--plot", type=Path, metavar="PNG", help="draw channels, alarms, and the charts behind them"
    )
    conformance = _offline(
        commands,
        "check-predictor",
        _check_predictor,
        "test that a predictor meets the requirements",
    )
    conformance.add_argument(
        "predictor", nargs="?", metavar="NAME", help="as of run (default: the configured one)"
    )
    _add_store(commands.add_parser("store", help="check, repair, back up and restore the store"))
    _add_pki(commands.add_parser("pki", help="a small certificate authority"))
    return parser


def _add_store(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
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
        command = _command(verbs, verb, _upkeep, help_)
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        command.set_defaults(copy=None)
        if copy:
            command.add_argument("copy", type=Path, metavar=copy, help="the file of the copy")


def _add_pki(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--dir", type=Path, default=Path("pki"), metavar="DIR", help="where it is (default: ./pki)"
    )
    where.set_defaults(run=_pki)

    def verb(name: str, help_: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, parents=[where], help=help_, allow_abbrev=False)

    init = verb("init", "make the authority, and the broker's certificate")
    issue = verb("issue", "make and sign a key for an agent, or a new one for the broker")
    whose = issue.add_mutually_exclusive_group(required=True)
    whose.add_argument("agent", nargs="?", metavar="AGENT", help="its id")
    for verb_parser, hosts in ((init, init), (issue, whose)):
        hosts.add_argument(
            "--host",
            dest="hosts",
            action="append",
            metavar="HOST",
            help="a name or address by which agents reach the broker; may be given again"
            + (" (default: this machine's name)" if verb_parser is init else ""),
        )
    renew = verb("renew", "sign the key of a certificate once more, before it expires")
    whose = renew.add_mutually_exclusive_group(required=True)
    whose.add_argument("agent", nargs="?", metavar="AGENT", help="its id")
    whose.add_argument("--broker", action="store_true", help="the broker's")
    sign = verb("sign", "sign the key of a device that keeps it")
    sign.add_argument("request", type=Path, metavar="CSR", help="a certificate request in PEM")
    verb("list", "all certificates")
    revoke = verb("revoke", "have the broker refuse a certificate")
    revoke.add_argument("which", metavar="AGENT|SERIAL", help="all of this name, or this one")


def _offline(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    help_: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_, allow_abbrev=False)
    parser.set_defaults(run=run)
    parser.add_argument("--config", type=Path, metavar="TOML", help="configuration file")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    help_: str,
) -> argparse.ArgumentParser:
    parser = _offline(commands, name, run, help_)
    default = "as configured, else in memory" if run is _run else "as configured"
    parser.add_argument(
        "--store", metavar="PATH", help=f"file of samples and answers (default: {default})"
    )
    return parser


def _checked(options: argparse.Namespace) -> Settings:
    settings = _settings(options)
    check(settings)
    return settings


def _settings(options: argparse.Namespace) -> Settings:
    """The configuration file, with the command line over it."""
    settings = load(options.config, Settings) if options.config else Settings()
    given = vars(options)
    replace = msgspec.structs.replace
    if given.get("listen") or given.get("insecure"):
        listen = replace(
            settings.listen,
            address=options.listen or settings.listen.address,
            insecure=options.insecure or settings.listen.insecure,
        )
        settings = replace(settings, listen=listen)
    if given.get("predictor"):
        settings = replace(settings, predictor=_chosen(settings, options.predictor))
    if options.store:
        settings = replace(settings, recorder=replace(settings.recorder, path=options.store))
    return settings


if __name__ == "__main__":
    sys.exit(main())
