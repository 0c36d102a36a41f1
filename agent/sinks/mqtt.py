"""An MQTT server that is told how this agent is, each second at most."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.config.outputs import MqttSettings
from agent.model import Prediction, Sample
from agent.state import LinkState, State
from quartet.clock import Clock
from quartet.distribution import version
from quartet.mqtt.connection import Messages
from quartet.mqtt.documents import Device, Present, Sensor, discovery, document
from quartet.mqtt.pace import Pace
from quartet.mqtt.publisher import Publisher
from quartet.mqtt.topics import Side, Topics
from wire.sensors import Label

# A prediction says nothing of now when its sample is older than this, and than three periods:
# as long as the alarm output waits by default.
_FRESH_S = 10.0
_FRESH_PERIODS = 3

_ENDED = "the agent has ended"


class MqttOutput:
    """Tells an MQTT server of the newest state. A sink, to miss no True between two messages.

    Loop only. The publisher has a task of its own: the server delays no prediction.
    """

    def __init__(
        self,
        settings: MqttSettings,
        agent_id: str,
        sensors: Sequence[Label | None],
        period_s: float,
        *,
        state: Callable[[], State],
        latest: Callable[[], Sample | None],
        clock: Clock,
    ) -> None:
        """`period_s` is the spacing of samples, 0 = not paced; `latest` gives the newest one."""
        self._state = state
        self._latest = latest
        self._pace = Pace(settings.interval_s, clock)
        self._fresh_ns = round(max(_FRESH_S, _FRESH_PERIODS * period_s) * 1e9)
        self._newest_true: Prediction | None = None  # since the latest message
        topics = Topics(settings.topic_prefix, Side.AGENT, agent_id)
        self._sensors = tuple(Sensor(each.name, each.unit) if each else None for each in sensors)
        device = Device(topics, self._sensors, (topics.status,), version())
        self._discovery = {
            topics.discovery(settings.discovery_prefix): discovery(device)
            if settings.discovery
            else b""
        }
        self._topic = topics.state
        self._publisher = Publisher(
            *(settings, topics.key, topics.status, self.messages),
            last=self.last_messages,
            clock=clock,
        )

    def start(self) -> None:
        """Connect and publish from now on, until leave()."""
        self._publisher.start()

    async def leave(self) -> None:
        """Tell the server that the agent ends; a second at most."""
        await self._publisher.close()

    def emit(self, prediction: Prediction) -> None:
        """Remember a True: the next message tells of it, even if it is over."""
        if prediction.value:
            self._newest_true = prediction

    def close(self) -> None:
        """Nothing is held back: see leave()."""

    def __str__(self) -> str:
        return "the MQTT server"

    def messages(self) -> Messages:
        """What the server is to keep at each topic now."""
        present = self._pace.chosen(self._look())
        return {**self._discovery, self._topic: document(present, self._sensors)}

    def last_messages(self) -> Messages:
        """What the server is to keep after the agent has ended: nobody knows of an alarm."""
        present = replace(self._look(), state=_ENDED, alarm=None, alarm_since_ns=None, why="")
        return {self._topic: document(present, self._sensors)}

    @property
    def standing(self) -> str:
        """The server, and whether it is told, in words."""
        return self._publisher.standing

    def _look(self) -> Present:
        state, sample = self._state(), self._latest()
        return Present(
            state=_words(state),
            alarm=self._alarm(state),
            values=sample.values if sample else None,
            sampled_at_ns=sample.sampled_at_ns if sample else None,
            alarm_since_ns=state.alarm_since_ns,
            why=state.alarm_reason,
        )

    def _alarm(self, state: State) -> bool | None:
        newest, true = state.prediction, self._newest_true
        self._newest_true = None
        if true and self._is_fresh(true.sample.sampled_at_ns, state):
            return True
        if newest and self._is_fresh(newest.sampled_at_ns, state):
            return newest.value
        return None

    def _is_fresh(self, sampled_at_ns: int, state: State) -> bool:
        return abs(state.at_ns - sampled_at_ns) <= self._fresh_ns


def _words(state: State) -> str:
    """What the agent does, and its troubles; the same words while nothing changes."""
    does: str = state.link
    if state.link is LinkState.WAITING:
        does = "no connection to the broker"
    elif state.link is LinkState.STREAMING and state.learning:
        does = "learning"
    troubles = (state.link_trouble, state.source_trouble, state.spool_trouble)
    return "; ".join(filter(None, (does, *troubles)))
