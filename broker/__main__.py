"""The command line of the broker."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from broker.beside import no_store
from broker.commandline import CONFIG, parser
from broker.config import (
    PredictorSettings,
    Settings,
    Store,
    check,
    for_process,
    given_store,
    store_of,
    with_store,
)
from broker.console.commandline import CONFIG as CONSOLE_CONFIG
from broker.mqtt.commandline import CONFIG as MQTT_CONFIG
from broker.notify.commandline import CONFIG as NOTIFY_CONFIG
from broker.predictors.load import load as load_predictor
from quartet import command
from quartet.distribution import to_install
from quartet.errors import StoreError
from quartet.foreign import in_json, shown
from quartet.plural import counted
from quartet.settings import load
from quartet.stdout import dispensable

if TYPE_CHECKING:
    from quartet.inspection import Remark


def main(
    arguments: Sequence[str] | None = None, *, platform: str = sys.platform, config: Path = CONFIG
) -> int:
    """Run a command; 0 done, 1 failed, 2 wrong use or configuration (nothing started).

    `config` is the configuration that is read where none is named, if it exists; those of the
    programs that read the records are beside it.
    """

    def started() -> int:
        options = parser().parse_args(arguments)
        command.refuse_windows(platform)
        return _COMMANDS[options.command](_with_default(options, config))

    return command.run("broker", started)


def _with_default(options: argparse.Namespace, config: Path) -> argparse.Namespace:
    """The options with the file to read in `read`."""
    if own := _OWN_CONFIG.get(options.command):
        config = config.with_name(own.name)
    options.read = vars(options).get("config") or (config if os.path.lexists(config) else None)
    return options


def _run(options: argparse.Namespace) -> int:
    settings = _checked(options)
    if options.check:
        return _check_files(settings, options.read)
    try:
        from broker import app  # noqa: PLC0415 - so that settings are checked without h2
    except ImportError as error:
        print(f"broker: {error.name} is missing: {to_install('broker')}", file=sys.stderr)
        return 1
    with dispensable():
        app.run(settings, (lambda: _checked(options)) if options.read else None, options.read)
    return 0


def _check_files(settings: Settings, path: Path | None) -> int:
    """What a file on standard input names is on another machine."""
    black_box = load_predictor(settings.predictor.use, settings.predictor.options)
    if path is None or path.is_file():
        from broker.files import inspect  # noqa: PLC0415 - a start finds these by itself
        from quartet.inspection import conclude, inspect_configuration  # noqa: PLC0415

        own = inspect_configuration(path) if path else ()
        store = store_of(settings, os.environ)
        files = inspect(settings.tls, store, time)
        conclude("broker", [*own, *files, *_inspect_database(settings, store, black_box.digest)])
    print(f"broker: the configuration is right ({path or 'no file was read'})")
    return 0


def _inspect_database(settings: Settings, store: Store | None, digest: str) -> "Iterator[Remark]":
    """What the server says, where the store is a database.

    Not while systemd reloads a broker that runs: that one keeps its connections, and certificates
    can be renewed also while the server is away.
    """
    if not isinstance(store, str) or "MAINPID" in os.environ:
        return
    from broker.recorder.opening import inspect_database  # noqa: PLC0415 - for a database alone
    from quartet.inspection import Remark  # noqa: PLC0415

    try:
        news, warnings = asyncio.run(inspect_database(store, settings, digest, time))
    except StoreError as error:
        yield Remark(str(error), fails=True)
        return
    yield Remark(f"{store}: {news}", fails=False, is_news=True)
    for each in warnings:
        yield Remark(f"{store}: {each}", fails=False)


def _ledger(options: argparse.Namespace) -> int:
    from broker.ledger import Ledger  # noqa: PLC0415 - no other command reads a store
    from broker.recorder.opening import open_reader  # noqa: PLC0415

    ledger = Ledger(asyncio.run(open_reader(_store(options)).accounts()))
    print(in_json(ledger.to_json()) if options.json else ledger.to_text())
    problems = ledger.problems()
    for problem in problems:
        print(f"broker: {shown(problem)}", file=sys.stderr)
    return 1 if problems else 0


def _status(options: argparse.Namespace) -> int:
    from broker import watching  # noqa: PLC0415 - as above
    from broker.recorder.opening import open_reader  # noqa: PLC0415

    reader = open_reader(_store(options))
    if not options.watch:
        return asyncio.run(watching.show(reader, as_json=options.json, out=sys.stdout))
    try:
        asyncio.run(watching.watch(reader, as_json=options.json, out=sys.stdout))
    except KeyboardInterrupt:
        return 0
    return 0


def _rebase(options: argparse.Namespace) -> int:
    from broker.rebase import reset  # noqa: PLC0415 - as above
    from broker.recorder.opening import open_reader  # noqa: PLC0415

    print(shown(asyncio.run(reset(open_reader(_store(options)), options.agent))))
    return 0


def _forget(options: argparse.Namespace) -> int:
    from broker.recorder.opening import open_reader  # noqa: PLC0415 - as above

    deleted = asyncio.run(open_reader(_store(options)).command_forget(options.agent))
    if deleted is None:
        print(f"{options.agent}: the running broker deletes all records within seconds")
    else:
        print(f"{options.agent}: deleted all records, {counted(deleted, 'sample')} among them")
    return 0


def _upkeep(options: argparse.Namespace) -> int:
    from broker import store  # noqa: PLC0415 - no other command needs it
    from broker.recorder.opening import open_upkeep  # noqa: PLC0415

    upkeep = open_upkeep(_store(options))
    return store.run(options.verb, upkeep, options.copy, as_json=options.json)


def _move_store(options: argparse.Namespace) -> int:
    from broker import move  # noqa: PLC0415 - as above
    from broker.recorder.opening import open_to_move  # noqa: PLC0415

    given = vars(options)
    source, target = (given_store(given[name], name.upper()) for name in ("from", "to"))
    progress = move.Progress(sys.stderr)

    async def run() -> None:
        async with open_to_move(source, target) as (whence, whither):
            await move.move(whence, whither, progress)

    asyncio.run(run())
    print(move.told(progress, source, target))
    return 0


def _console(options: argparse.Namespace) -> int:
    from broker.console.commands import console  # noqa: PLC0415 - as above

    return console(options)


def _notify(options: argparse.Namespace) -> int:
    from broker.notify.commands import notify  # noqa: PLC0415 - as above

    return notify(options)


def _mqtt(options: argparse.Namespace) -> int:
    from broker.mqtt.commands import mqtt  # noqa: PLC0415 - as above

    return mqtt(options)


def _export(options: argparse.Namespace) -> int:
    from broker.export import commands  # noqa: PLC0415 - as above

    return commands.run(options, _store(options), _settings(options).predictor)


def _incident(options: argparse.Namespace) -> int:
    from broker.incident import commands  # noqa: PLC0415 - as above

    return commands.incident(options, _store(options), _settings(options).predictor)


def _replay(options: argparse.Namespace) -> int:
    from broker.incident import commands  # noqa: PLC0415 - as above

    (predictor,) = _predictors(options, [options.predictor] if options.predictor else [])
    return commands.run_replay(options, predictor)


def _evaluate(options: argparse.Namespace) -> int:
    from broker.evaluate import commands  # noqa: PLC0415 - the others need none of it

    return commands.evaluate(options, _predictors(options, options.predictors))


def _check_predictor(options: argparse.Namespace) -> int:
    from broker.evaluate import commands  # noqa: PLC0415 - the others need none of it
    from quartet.recording import Choice  # noqa: PLC0415

    if not options.recording and (options.columns or options.time):
        options.misuse("--columns and --time need --recording")
    names = [options.predictor] if options.predictor else []
    (predictor,) = _predictors(options, names)
    choice = Choice(options.columns, options.time)
    return commands.check_predictor(predictor, options.recording, choice)


def _predictors(options: argparse.Namespace, names: Sequence[str]) -> list[PredictorSettings]:
    """Predictors by their names; the configured one, where there is none."""
    settings = load(options.read, Settings) if options.read else Settings()
    return [_chosen(settings, name) for name in names or [settings.predictor.use]]


def _chosen(settings: Settings, name: str) -> PredictorSettings:
    """A predictor by its name. The options in the file are those of the file's predictor."""
    same = name == settings.predictor.use
    return settings.predictor if same else PredictorSettings(name)


def _pki(options: argparse.Namespace) -> int:
    try:
        from broker.pki import commands  # noqa: PLC0415 - no other command needs cryptography
    except ImportError as error:
        print(f"broker: {error.name} is missing: {to_install('broker')}", file=sys.stderr)
        return 1
    commands.run(options)
    return 0


def example() -> str:
    """The example of a configuration."""
    from quartet.example import text  # noqa: PLC0415 - no other command reads our own code

    return text("broker", Settings, {})


def _config(_: argparse.Namespace) -> int:
    print(example(), end="")
    return 0


def _completion(options: argparse.Namespace) -> int:
    from quartet.completion import script  # noqa: PLC0415 - no other command needs it

    print(script(parser(), options.shell))
    return 0


_OWN_CONFIG = {"console": CONSOLE_CONFIG, "notify": NOTIFY_CONFIG, "mqtt": MQTT_CONFIG}

_COMMANDS = {
    "run": _run,
    "status": _status,
    "ledger": _ledger,
    "rebase": _rebase,
    "forget": _forget,
    "console": _console,
    "notify": _notify,
    "mqtt": _mqtt,
    "export": _export,
    "incident": _incident,
    "replay": _replay,
    "evaluate": _evaluate,
    "check-predictor": _check_predictor,
    "store": _upkeep,
    "move-store": _move_store,
    "pki": _pki,
    "config": _config,
    "completion": _completion,
}


def _store(options: argparse.Namespace) -> Store:
    path = store_of(_settings(options), os.environ)
    if path is None:
        no_store(options, "recorder.path")
    return path


def _checked(options: argparse.Namespace) -> Settings:
    settings = _settings(options)
    check(settings)
    return settings


def _settings(options: argparse.Namespace) -> Settings:
    """The configuration file, with the command line over it."""
    settings = load(options.read, Settings) if options.read else Settings()
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
        settings = replace(settings, recorder=with_store(settings.recorder, options.store))
    return for_process(settings, number) if (number := given.get("process")) else settings


if __name__ == "__main__":
    sys.exit(main())
