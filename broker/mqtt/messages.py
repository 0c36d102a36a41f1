"""What an MQTT server is to keep of all agents. Pure."""

from collections.abc import Iterable, Mapping

from broker.feed import Look
from broker.feed import Present as Followed
from broker.judged import State
from quartet.clock import Clock
from quartet.mqtt.documents import Device, Present, Sensor, discovery, document
from quartet.mqtt.pace import Pace
from quartet.mqtt.topics import OFFLINE, ONLINE, Side, Topics, escaped
from quartet.settings import MqttServer
from wire.metadata import AGENT_ID
from wire.sensors import Sensors

# Of an agent that has told no names.
_UNNAMED = tuple(Sensor(f"sensor{number}", "") for number in range(1, 5))


class Messages:
    """The topics and documents of all agents, as they were last seen. One thread at a time.

    Simulations without a name and peers without an agent id are left out: each run of them
    would stay on the server for good.
    """

    def __init__(self, server: MqttServer, version: str, clock: Clock) -> None:
        self._server = server
        self._version = version
        self._clock = clock
        self._paces: dict[str, Pace] = {}
        self._discoveries: dict[tuple[str, Sensors | None], bytes] = {}
        self._messages: dict[str, bytes] | None = None

    @property
    def status(self) -> str:
        """The topic that says whether anybody tells of the agents."""
        return f"{self._server.topic_prefix}/status"

    @property
    def client_id(self) -> str:
        """The same at each start, so that an old connection ends."""
        return escaped(f"{self._server.topic_prefix}/{Side.BROKER}")

    @property
    def filter(self) -> str:
        """All topics `status` of agents."""
        return self._topics("+").status

    def take(self, seen: Look) -> None:
        """Tell of these agents from now on, and of no others; of a store not yet read, nothing."""
        if not seen.has_read:
            return
        told = {
            agent_id: each
            for agent_id, each in seen.lines.items()
            if AGENT_ID.fullmatch(agent_id) and not each.line.is_rehearsal
        }
        for gone in self._paces.keys() - told.keys():
            del self._paces[gone]
        discoveries = {
            (agent_id, each.line.sensors): self._discovery(agent_id, each.line.sensors)
            for agent_id, each in told.items()
        }
        self._discoveries = discoveries
        self._messages = {}
        for agent_id, each in told.items():
            topics, sensors = self._topics(agent_id), each.line.sensors
            pace = self._paces.setdefault(agent_id, Pace(self._server.interval_s, self._clock))
            shown = discoveries[agent_id, sensors] if self._server.discovery else b""
            is_offline = each.status.state is State.OFFLINE
            self._messages |= {
                topics.discovery(self._server.discovery_prefix): shown,
                topics.status: OFFLINE if is_offline else ONLINE,
                topics.state: document(pace.chosen(_present(each)), _named(sensors)),
            }

    def present(self) -> Mapping[str, bytes] | None:
        """What is to be at each topic; None before the first take()."""
        return self._messages

    def beside(self, status: str) -> Iterable[str]:
        """All topics of the agent with this topic `status`."""
        topics = self._topics(status.split("/")[-2])
        return topics.status, topics.state, topics.discovery(self._server.discovery_prefix)

    def _topics(self, agent_id: str) -> Topics:
        return Topics(self._server.topic_prefix, Side.BROKER, agent_id)

    def _discovery(self, agent_id: str, sensors: Sensors | None) -> bytes:
        """Made once for the same names: it is told each second."""
        if known := self._discoveries.get((agent_id, sensors)):
            return known
        topics = self._topics(agent_id)
        availability = (self.status, topics.status)
        return discovery(Device(topics, _named(sensors), availability, self._version))


def _named(sensors: Sensors | None) -> tuple[Sensor | None, ...]:
    if sensors is None:
        return _UNNAMED
    return tuple(Sensor(each.name, each.unit) if each else None for each in sensors)


def _present(followed: Followed) -> Present:
    status, latest, alarm = followed.status, followed.line.latest, followed.alarm
    is_offline = status.state is State.OFFLINE
    words = "; ".join(filter(None, (status.state.value, status.connection)))
    return Present(
        state=words,
        alarm=None if is_offline else alarm is not None,
        values=latest.values if latest else None,
        sampled_at_ns=latest.sampled_at_ns if latest else None,
        alarm_since_ns=alarm.begun_at_ns if alarm else None,
        why=alarm.reason if alarm else "",
    )
