"""The pins that are configured, as sinks."""

from collections.abc import Callable

from agent.config.outputs import OutputsSettings
from agent.errors import SinkError
from agent.sinks import FanOut
from agent.sinks.alarm import Alarm
from agent.sinks.guard import Guard
from agent.sinks.latch import Keeper, Latch
from agent.sinks.pins import GpioPin
from agent.sinks.status import Light, StatusLed
from quartet.clock import Clock


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
