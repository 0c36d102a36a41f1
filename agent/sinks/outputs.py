"""The pins and the MQTT server that are configured, as sinks."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agent.config.outputs import MqttSettings, OutputsSettings
from agent.errors import SinkError
from agent.model import Sample
from agent.sinks import FanOut
from agent.sinks.alarm import Alarm
from agent.sinks.guard import Guard
from agent.sinks.latch import Keeper, Latch
from agent.sinks.pins import GpioPin
from agent.sinks.status import Light, StatusLed
from agent.state import State
from quartet.clock import Clock
from quartet.distribution import to_install
from wire.sensors import Label

if TYPE_CHECKING:
    from agent.sinks.mqtt import MqttOutput


def add_outputs(
    settings: OutputsSettings,
    sinks: FanOut,
    clock: Clock,
    light: Callable[[], Light],
    latch: Latch | None = None,
) -> Alarm | None:
    """Add alarm and status LED; the alarm, if there is one. Sampling goes on without either."""
    alarm = None
    if wanted := settings.alarm:
        try:
            on = wanted.safe == "on" or (latch is not None and latch.hold is not None)
            pin = GpioPin("outputs.alarm", wanted.pin, active_high=wanted.active_high, on=on)
        except SinkError as error:
            sinks.do_without(error)
        else:
            alarm = Alarm(wanted, pin, clock, latch)
            sinks.add(Guard(alarm))
            if latch:
                sinks.add(Keeper(latch))
            sinks.add(alarm, alarm.refresh)
    if status := settings.status:
        try:
            pin = GpioPin("outputs.status", status.pin, active_high=status.active_high, on=False)
        except SinkError as error:
            sinks.do_without(error)
        else:
            led = StatusLed(pin, light)
            sinks.add(led, led.refresh)
    return alarm


def add_mqtt(
    settings: MqttSettings,
    sinks: FanOut,
    agent_id: str,
    sensors: Sequence[Label | None],
    period_s: float,
    *,
    state: Callable[[], State],
    latest: Callable[[], Sample | None],
    clock: Clock,
) -> "MqttOutput | None":
    """Add the MQTT server; None without its library. Sampling goes on without it."""
    try:
        from agent.sinks.mqtt import MqttOutput  # noqa: PLC0415 - optional
    except ImportError as error:
        remedy = to_install("mqtt")
        sinks.do_without(SinkError(f"outputs.mqtt: {error.name} is missing: {remedy}"))
        return None
    mqtt = MqttOutput(
        settings, agent_id, sensors, period_s, state=state, latest=latest, clock=clock
    )
    sinks.add(mqtt)
    return mqtt
