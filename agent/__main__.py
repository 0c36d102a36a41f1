"""The command line of the agent."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.clock import SystemClock
from agent.commandline import CONFIG, parser
from agent.config import BrokerSettings, Settings, check
from agent.config.source import ReplaySettings
from agent.instance import Instance, with_places
from quartet import command
from quartet.commandline import predictions_of
from quartet.errors import SettingsError
from quartet.settings import load


def main(
    arguments: Sequence[str] | None = None, *, platform: str = sys.platform, config: Path = CONFIG
) -> int:
    """Run a command; 0 done, 1 failed, 2 wrong use or configuration (nothing started).

    `config` is the configuration that is read where none is named, if it exists.
    """

    def started() -> int:
        options = parser().parse_args(arguments)
        command.refuse_windows(platform)
        return _COMMANDS[options.command](_with_default(options, config))

    return command.run("agent", started)


def _with_default(options: argparse.Namespace, config: Path) -> argparse.Namespace:
    """The options with the file to read in `read`, and whose it is in `instance`.

    A simulation has no default. What a command line simulates is no agent of this computer.
    """
    given = vars(options)
    is_simulated = given.get("simulate") or given.get("virtual")
    default = config if not is_simulated and os.path.lexists(config) else None
    named = given.get("name") and config.with_stem(options.name)
    if named and options.config:
        options.misuse("NAME and --config both name a configuration: give one of them")
    options.read = named or given.get("config") or default
    options.instance = Instance() if is_simulated else Instance.of(options.read, config)
    return options


def _run(options: argparse.Namespace) -> int:
    settings = _checked(options)
    if options.check:
        return _check_files(settings, options.read, options.instance)
    predictions = predictions_of(options)
    _quiet_grpc()  # imported not before the settings are right: it takes a Pi half a second
    # Its older way to wait for a connection wakes half as many threads for each sample.
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client")
    if not settings.outputs.mqtt:
        _spare_own_tls()
    from agent import app, stages  # noqa: PLC0415

    reread = (lambda: _checked(options)) if options.read else None
    outputs = stages.Outputs(predictions, options.journal)
    return app.run(settings, outputs, reread, options.read)


def _quiet_grpc() -> None:
    """Its own log is for those who ask for it."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def _spare_own_tls() -> None:
    """Import asyncio without Python's `ssl`, which is optional to it, and takes 4.5 MB.

    gRPC brings TLS of its own. Only the connection to an MQTT server has it from asyncio.
    """
    if "ssl" not in sys.modules:
        sys.modules["ssl"] = None  # type: ignore[assignment] # which an import takes for missing
        import asyncio  # noqa: F401, PLC0415

        del sys.modules["ssl"]


def _check_files(settings: Settings, path: Path | None, instance: Instance) -> int:
    """What a file on standard input names is on another machine."""
    if path is None or path.is_file():
        from agent.check.files import inspect  # noqa: PLC0415 - a start finds these by itself
        from agent.check.neighbours import inspect_neighbours  # noqa: PLC0415 - as inspect
        from quartet.inspection import conclude, inspect_configuration  # noqa: PLC0415

        own = inspect_configuration(path) if path else ()
        found = [*inspect(settings, SystemClock()), *inspect_neighbours(settings, instance)]
        conclude("agent", [*own, *found])
    from agent.identity import identity  # noqa: PLC0415 - locks files, which Windows cannot
    from agent.outline import outline  # noqa: PLC0415 - as identity

    who = identity(settings)
    print(f"agent {who.agent_id}: the configuration is right ({path or 'no file was read'})")
    print(outline(settings, who))
    return 0


def _ledger(options: argparse.Namespace) -> int:
    from agent import ledger  # noqa: PLC0415 - no other command reads a spool

    return ledger.run(_read(options), as_json=options.json, broker_ledger=options.compare)


def _status(options: argparse.Namespace) -> int:
    from agent import status  # noqa: PLC0415 - no other command asks a running agent

    return status.run(_read(options), options.instance, as_json=options.json)


def _release(options: argparse.Namespace) -> int:
    from agent import release  # noqa: PLC0415 - no other command gives a running agent an order

    return release.run(_read(options), options.instance)


def _check(options: argparse.Namespace) -> int:
    _quiet_grpc()
    from agent.check import doctor  # noqa: PLC0415 - no other command asks so much

    settings: Settings | SettingsError
    try:
        settings = _read(options)
        if options.virtual:
            settings = settings.with_virtual_chip()
    except SettingsError as error:
        settings = error
    return doctor.run(settings, options.read, options.instance, SystemClock(), as_json=options.json)


def _calibrate(options: argparse.Namespace) -> int:
    from agent import calibrate  # noqa: PLC0415 - no other command writes a configuration

    settings = _read(options)
    if options.virtual:
        if options.config and not settings.is_virtual:
            options.misuse(
                f"--virtual: {options.config} describes a real chip, and would get the scale of a"
                " simulated one: try it without --config"
            )
        settings = settings.with_virtual_chip()
    return calibrate.run(settings, options.channel, options.unit, options.config, SystemClock())


def example() -> str:
    """The example of a configuration."""
    from quartet.example import text  # noqa: PLC0415 - no other command reads our own code

    return text("agent", Settings, {"source": "ads1115"}, ("virtual",))


def _config(_: argparse.Namespace) -> int:
    print(example(), end="")
    return 0


def _completion(options: argparse.Namespace) -> int:
    from quartet.completion import script  # noqa: PLC0415 - no other command needs it

    print(script(parser(), options.shell))
    return 0


_COMMANDS = {
    "run": _run,
    "check": _check,
    "calibrate": _calibrate,
    "status": _status,
    "release": _release,
    "ledger": _ledger,
    "config": _config,
    "completion": _completion,
}


def _read(options: argparse.Namespace) -> Settings:
    """The configuration file alone."""
    settings = load(options.read, Settings) if options.read else Settings()
    return with_places(settings, options.instance)


def _checked(options: argparse.Namespace) -> Settings:
    settings = _settings(options)
    check(settings)
    return settings


def _settings(options: argparse.Namespace) -> Settings:
    """The configuration file, with the command line over it."""
    settings = _read(options)
    replace = msgspec.structs.replace
    if options.simulate:
        chosen = ReplaySettings(
            *(options.simulate, options.loop, options.columns, options.time),
            *(options.speed or 1.0, options.since or "", options.until or ""),
        )
        settings = settings.with_source(chosen)
        if options.predictions and _same_file(options.simulate, options.predictions):
            options.misuse("--predictions would overwrite the file that --simulate reads")
    elif options.loop:
        options.misuse("--loop needs --simulate")
    elif options.columns or options.time:
        options.misuse("--columns and --time need --simulate")
    elif options.speed or options.since or options.until:
        options.misuse("--speed, --from and --to need --simulate")
    if options.virtual:
        settings = settings.with_virtual_chip()
    if options.agent_id:
        settings = replace(settings, agent=replace(settings.agent, id=options.agent_id))
    if options.rate is not None:
        settings = replace(settings, sampling=replace(settings.sampling, rate_hz=options.rate))
    if options.broker or options.insecure:
        settings = replace(settings, broker=_broker(settings.broker, options))
    return settings


def _broker(settings: BrokerSettings, options: argparse.Namespace) -> BrokerSettings:
    try:
        return BrokerSettings(
            address=_addresses(options.broker) or settings.address,
            insecure=options.insecure or settings.insecure,
            proxy=settings.proxy,
        )
    except SettingsError as error:
        raise SettingsError(f"broker.{error}") from error


def _addresses(given: Sequence[str] | None) -> str | tuple[str, ...] | None:
    """What --broker names: repeated, or with commas."""
    texts = tuple(part.strip() for text in given or () for part in text.split(","))
    return texts[0] if len(texts) == 1 else texts or None


def _same_file(first: str, second: Path) -> bool:
    try:
        return second.samefile(first)
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(main())
