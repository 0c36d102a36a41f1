"""The settings of `broker mqtt`: mqtt.toml, and what the command line puts over it."""

import msgspec

from broker.feed import place
from broker.feed.place import StoreSettings
from quartet.errors import SettingsError
from quartet.settings import LogSettings, MqttServer, Table


class ServerSettings(MqttServer, frozen=True):
    """`[mqtt]`: the MQTT server, and what it gets of each agent."""


class MqttSettings(Table, frozen=True):
    """mqtt.toml as a whole."""

    mqtt: ServerSettings | None = None
    store: StoreSettings = StoreSettings()
    log: LogSettings = LogSettings()


def with_store(settings: MqttSettings, store: str) -> MqttSettings:
    """The same with another store, a path or a URL. SettingsError."""
    return msgspec.structs.replace(settings, store=place.chosen(store))


def server_of(settings: MqttSettings) -> ServerSettings:
    """The server. SettingsError: none is named, or the store contradicts itself."""
    place.check(settings.store)
    if settings.mqtt is None:
        raise SettingsError(
            "no MQTT server: give --config FILE with a table [mqtt], such as"
            ' address = "homeassistant.local:1883"'
        )
    return settings.mqtt
