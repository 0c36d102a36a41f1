"""What the command line of `broker mqtt` takes."""

from pathlib import Path

from broker.beside import add_beside
from quartet.commandline import Parser

CONFIG = Path("/etc/broker/mqtt.toml")
"""The configuration file that is read where none is named, if it exists."""


def add_mqtt(program: Parser) -> None:
    """Add `broker mqtt`."""
    mqtt = program.add_command(
        "mqtt",
        "publish how all agents are on an MQTT server, for Home Assistant and others",
        "Publish values, alarms and reasons of all agents on an MQTT server. Home Assistant finds\n"
        "each agent as a device. The command reads the store of a broker on this machine, or the\n"
        "database of several ones.\n\n"
        "Exit codes: 0 stopped, or --check found nothing wrong; 1 failed, or --check was not\n"
        "accepted by the MQTT server; 2 wrong use or configuration.",
        "broker mqtt --config mqtt.toml --store broker.db",
        "broker mqtt --config mqtt.toml --check",
    )
    add_beside(mqtt, CONFIG)
    mqtt.add_argument(
        "--check",
        action="store_true",
        help="check the configuration, its files and the connection to the MQTT server, then exit",
    )
