"""The MQTT server: whether it is reached, and accepts this agent."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from agent.check.findings import Findings, failed, passed, skipped
from agent.check.host import Host
from agent.config.outputs import MqttSettings
from quartet.distribution import to_install
from quartet.inspection import is_hidden
from quartet.mqtt.topics import Side, Topics
from quartet.settings import secret

# As for the brokers: with the other checks it is to be 10 s at the most.
_MOST_S = 5.5

_NAME = "outputs.mqtt"


def check_mqtt(
    settings: MqttSettings | None, agent_id: str, host: Host, most_s: float = _MOST_S
) -> Findings:
    """Connect and publish as the agent does, by a client id of its own.

    An agent that runs is not disturbed.
    """
    if settings is None:
        return
    if hidden := next(_hidden(settings), None):
        yield skipped(_NAME, f"{hidden} is for the service only", host.as_root)
        return
    try:
        from quartet.mqtt.cause import MqttServerError  # noqa: PLC0415 - for MQTT alone
        from quartet.mqtt.connection import probe  # noqa: PLC0415 - optional
    except ImportError as error:
        yield failed(_NAME, f"{error.name} is missing", to_install("mqtt"))
        return
    try:
        topics = Topics(settings.topic_prefix, Side.AGENT, agent_id)
        asyncio.run(probe(settings, most_s, topics.check))
    except MqttServerError as error:
        yield failed(_NAME, f"{settings.address}: {error.text}", error.remedy)
    else:
        tls = " by TLS" if settings.ca else ""
        yield passed(_NAME, f"{settings.address} accepts this client{tls}")


def _hidden(settings: MqttSettings) -> Iterator[str]:
    """The files that are there, and that this user may not read."""
    for path in (settings.password_file, settings.key):
        if path is None or os.access(copy := secret(path), os.R_OK):
            continue
        if os.path.exists(copy) or is_hidden(Path(copy)):  # noqa: PTH110 - False also where nobody may look
            yield path
