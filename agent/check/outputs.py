"""The pins that are configured."""

import os

from agent.check.findings import Finding, Findings, failed, passed, skipped
from agent.check.host import Host
from agent.config.outputs import OutputsSettings
from agent.errors import SinkError
from agent.sinks.pins import GpioPin


def check_outputs(settings: OutputsSettings, host: Host) -> Findings:
    """Each pin, taken for a moment in the state that it has without the agent."""
    if settings == OutputsSettings():
        yield skipped("outputs", "none in the configuration")
    if alarm := settings.alarm:
        on = alarm.safe == "on"
        yield _check("outputs.alarm", alarm.pin, host, active_high=alarm.active_high, on=on)
    if status := settings.status:
        yield _check("outputs.status", status.pin, host, active_high=status.active_high, on=False)


def _check(name: str, number: int, host: Host, *, active_high: bool, on: bool) -> Finding:
    try:
        pin = GpioPin(name, number, active_high=active_high, on=on)
    except SinkError as error:
        _, _, reason = str(error).partition(": ")
        if "busy" in reason and host.running_agent:
            return passed(name, f"GPIO{number}, used by the running agent")
        if "busy" in reason:
            return skipped(name, reason, f"sudo systemctl stop {host.instance.unit}")
        remedy = (
            "sudo apt install python3-lgpio; sudo usermod -aG gpio $USER, then log in again"
            if host.is_pi
            else "check on the device, or try GPIOZERO_PIN_FACTORY=mock"
        )
        return failed(name, reason, remedy)
    pin.close()
    factory = os.environ.get("GPIOZERO_PIN_FACTORY")
    place = f": {pin.place}" if pin.place else ""
    return passed(name, f"GPIO{number}, by {factory}{place}")
