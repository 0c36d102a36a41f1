"""The pins that are configured, as sinks."""

from collections.abc import Callable

from agent.clock import Clock
from agent.config.outputs import OutputsSettings
from agent.errors import SinkError
from agent.sinks import FanOut
from agent.sinks.alarm import Alarm
from agent.sinks.guard import Guard
from agent.sinks.pins import GpioPin
from agent.sinks.status import Light, StatusLed


def add_outputs(
    settings: OutputsSettings, sinks: FanOut, clock: Clock, light: Callable[[], Light]
) -> Alarm | None:
    """Add alarm and status LED; the alarm, if there is one. Sampling goes on without either."""
    alarm = None
    if of := settings.alarm:
        try:
            on = of.safe == "on"
            pin = GpioPin("outputs.alarm", of.pin, active_high=of.active_high, on=on)
        except SinkError as error:
            sinks.missing(error)
        else:
            alarm = Alarm(of, pin, clock)
            sinks.add(Guard(alarm))
            sinks.add(alarm, alarm.refresh)
    if led_of := settings.status:
        try:
            pin = GpioPin("outputs.status", led_of.pin, active_high=led_of.active_high, on=False)
        except SinkError as error:
            sinks.missing(error)
        else:
            led = StatusLed(pin, light)
            sinks.add(led, led.refresh)
    return alarm
