"""`broker mqtt`."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from broker.beside import no_store
from broker.config import Store
from broker.feed import remarks
from broker.feed.place import store_of
from broker.mqtt.config import MqttSettings, ServerSettings, server_of, with_store
from quartet.distribution import to_install
from quartet.inspection import conclude, inspect_configuration, inspect_mqtt
from quartet.mqtt.topics import Side, Topics
from quartet.settings import load

# Of a check, for the server to answer.
_MOST_S = 10.0


def mqtt(options: argparse.Namespace) -> int:
    """Publish until stopped, or check the configuration; the exit code."""
    settings = load(options.read, MqttSettings) if options.read else MqttSettings()
    if options.store:
        settings = with_store(settings, options.store)
    server = server_of(settings)
    store = store_of(settings.store, os.environ)
    if options.check:
        return _check(server, store, options.read)
    if store is None:
        no_store(options, "store.path")
    try:
        from broker.mqtt import app  # noqa: PLC0415 - so that settings are checked without it
    except ImportError as error:
        print(f"broker: {error.name} is missing: {to_install('mqtt')}", file=sys.stderr)
        return 1
    app.run(server, store, settings.log.level, options.read)
    return 0


def example() -> str:
    """The example of a configuration."""
    from quartet.example import text  # noqa: PLC0415 - no command reads our own code

    return text("broker mqtt", MqttSettings, {})


def _check(server: ServerSettings, store: Store | None, path: Path | None) -> int:
    """What a file on standard input names is on another machine."""
    is_here = path is None or path.is_file()
    if is_here:
        own = inspect_configuration(path) if path else ()
        files = inspect_mqtt("mqtt", server, "broker")
        conclude("broker", [*own, *files, *remarks.of_store(store, path)])
    print(f"broker: the configuration is right ({path or 'no file was read'})")
    return _try_connection(server) if is_here else 0


def _try_connection(server: ServerSettings) -> int:
    """Print whether the server accepts a client; the exit code."""
    from quartet.mqtt.cause import MqttServerError  # noqa: PLC0415 - for a check alone
    from quartet.mqtt.connection import probe  # noqa: PLC0415 - as above

    try:
        topics = Topics(server.topic_prefix, Side.BROKER, "check")
        asyncio.run(probe(server, _MOST_S, topics.check))
    except MqttServerError as error:
        print(f"broker: MQTT server {server.address}: {error}", file=sys.stderr)
        return 1
    print(f"{server.address} accepts this client")
    return 0
