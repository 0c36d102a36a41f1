"""Pins, on gpiozero's mock of the hardware and on its library's calls."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpiozero import Device, OutputDevice
from gpiozero.pins.mock import MockFactory, MockPin
from support.outputs import S, SteppedClock, prediction

from agent.check.findings import Outcome
from agent.check.host import Host
from agent.check.outputs import check_outputs
from agent.clock import VirtualClock
from agent.config.outputs import AlarmSettings, OutputsSettings, StatusSettings
from agent.errors import SinkError
from agent.instance import Instance
from agent.sinks import FanOut
from agent.sinks.latch import Hold, Latch
from agent.sinks.outputs import add_outputs
from agent.sinks.pins import GpioPin
from agent.sinks.status import Light

LGPIO = """
BOTH_EDGES = RISING_EDGE = FALLING_EDGE = SET_PULL_NONE = SET_PULL_UP = SET_PULL_DOWN = 0
error = OSError
calls = []
mode = 0
chips = {0: (54, "gpiochip0", "pinctrl-bcm2835")}
def gpiochip_open(chip):
    if chip not in chips: raise error("can not open gpiochip")
    return chip
def gpio_get_chip_info(handle): return [0, *chips[handle]]
def gpiochip_close(handle): pass
def gpio_claim_input(handle, gpio, flags=0):
    global mode
    mode = 0
    calls.append(("input", gpio))
def gpio_claim_output(handle, gpio, level=0, flags=0):
    global mode
    mode = 2
    calls.append(("output", gpio, level))
def gpio_write(handle, gpio, level): calls.append(("write", gpio, int(level)))
def gpio_get_mode(handle, gpio): return mode
def gpio_read(handle, gpio): return 0
"""
"""The library as gpiozero calls it; it tells in which order."""


@pytest.fixture
def factory() -> Iterator[MockFactory]:
    Device.pin_factory = MockFactory()
    yield Device.pin_factory
    Device.pin_factory.reset()
    Device.pin_factory = None


@pytest.mark.parametrize("active_high", [True, False])
@pytest.mark.parametrize("on", [True, False])
def test_a_pin_starts_in_its_state_without_a_glitch(
    factory: MockFactory, active_high: bool, on: bool
) -> None:
    mock = factory.pin(17)
    mock.function = "input"
    mock.clear_states()
    pin = GpioPin("outputs.alarm", 17, active_high=active_high, on=on)
    assert {state.state for state in mock.states[1:]} <= {on is active_high}
    assert mock.state is (on is active_high)
    pin.switch(not on)
    assert mock.state is (on is not active_high)
    pin.close()
    assert mock.function == "input"


def test_a_pin_that_another_device_has_is_named(factory: MockFactory) -> None:
    with OutputDevice(17), pytest.raises(SinkError, match=r"outputs.alarm: GPIO17 cannot be used"):
        GpioPin("outputs.alarm", 17, active_high=True, on=False)
    assert factory.pin(17).function == "input"


class BusyPin(MockPin):
    """A pin that the kernel has given to another process, as lgpio says it."""

    def output_with_state(self, _state: bool) -> None:
        raise OSError("'GPIO busy'")


def test_a_pin_of_another_agent_is_told_with_what_to_do(factory: MockFactory) -> None:
    factory.pin_class = BusyPin
    with pytest.raises(SinkError, match=r"GPIO17 cannot be used: 'GPIO busy': another program has"):
        GpioPin("outputs.alarm", 17, active_high=True, on=False)
    (finding,) = check_outputs(
        OutputsSettings(alarm=AlarmSettings(17)),
        Host(is_pi=True, running_agent="", instance=Instance("oil")),
    )
    assert finding.outcome is Outcome.SKIPPED
    assert "each agent on a computer needs pins of its own" in finding.detail
    assert finding.remedy == "sudo systemctl stop agent@oil"


def test_a_pin_that_fails_later_is_a_sink_error(factory: MockFactory) -> None:
    pin = GpioPin("outputs.alarm", 17, active_high=True, on=False)
    factory.pin(17).function = "input"
    with pytest.raises(SinkError, match=r"outputs.alarm: GPIO17 cannot be switched"):
        pin.switch(True)
    pin.close()


def test_outputs_that_cannot_be_had_are_said_and_the_others_work(
    factory: MockFactory, caplog: pytest.LogCaptureFixture
) -> None:
    sinks = FanOut([])
    configured = OutputsSettings(
        alarm=AlarmSettings(pin=17), status=StatusSettings(pin=27, active_high=False)
    )
    with OutputDevice(17):
        assert add_outputs(configured, sinks, VirtualClock(), lambda: Light.STREAMING) is None
    assert sinks.failures == 1
    assert "outputs.alarm: GPIO17 cannot be used" in caplog.text
    sinks.refresh()
    assert factory.pin(27).state is False  # on, as it is active low
    sinks.close()
    assert sinks.failures == 1


@pytest.mark.parametrize("safe", ["on", "off"])
def test_an_alarm_is_claimed_refreshed_and_left_in_its_safe_state(
    factory: MockFactory, safe: str
) -> None:
    clock, sinks = SteppedClock(), FanOut([])
    configured = OutputsSettings(alarm=AlarmSettings(pin=17, ttl_s=10, safe=safe))
    alarm = add_outputs(configured, sinks, clock, lambda: Light.STREAMING)
    assert alarm
    pin = factory.pin(17)
    assert pin.state is (safe == "on")
    sinks.emit(prediction(safe != "on", clock.time_ns()))
    assert pin.state is (safe != "on")
    clock.now_ns += 11 * S
    sinks.refresh()
    assert pin.state is (safe == "on")
    sinks.emit(prediction(safe != "on", clock.time_ns()))
    pin.clear_states()
    sinks.close()
    assert [state.state for state in pin.states][-1] is (safe == "on")
    assert pin.function == "input"


def test_a_pin_that_is_held_is_on_from_the_start(factory: MockFactory, tmp_path: Path) -> None:
    clock = SteppedClock()
    latch = Latch(tmp_path / "held", clock)
    latch.engage(Hold(clock.time_ns()))
    sinks = FanOut([])
    pin = factory.pin(17)
    pin.function = "input"
    pin.clear_states()
    configured = OutputsSettings(alarm=AlarmSettings(pin=17, latch=True))
    alarm = add_outputs(configured, sinks, clock, lambda: Light.STREAMING, latch)
    assert alarm
    assert [state.state for state in pin.states][1:] == [True]
    alarm.release("somebody")
    sinks.refresh()
    assert pin.state is False
    sinks.close()


@pytest.mark.parametrize("active_high", [True, False])
@pytest.mark.parametrize("on", [True, False])
def test_by_lgpio_a_pin_becomes_an_output_at_its_level_at_once(
    active_high: bool, on: bool, tmp_path: Path
) -> None:
    (tmp_path / "lgpio.py").write_text(LGPIO)
    code = (
        "import lgpio, gpiozero.pins.lgpio as real\n"
        "real.LGPIOFactory._get_revision = lambda self: 0xa02082  # a Pi 3\n"
        "from agent.sinks.pins import GpioPin\n"
        f"pin = GpioPin('outputs.alarm', 17, active_high={active_high}, on={on})\n"
        f"pin.switch({not on})\n"
        "pin.close()\n"
        "print(lgpio.calls)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "GPIOZERO_PIN_FACTORY": "lgpio"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    level, other = (1, 0) if on is active_high else (0, 1)
    assert ast.literal_eval(done.stdout) == [
        ("input", 17),
        ("output", 17, level),
        ("write", 17, other),
        ("input", 17),
    ]


BRCM = (32, "gpiochip0", "gpio-brcmstb@107d508500")


@pytest.mark.parametrize(
    ("chips", "place"),
    [
        ({0: (58, "gpiochip0", "pinctrl-bcm2711"), 1: (8, "gpiochip1", "raspberrypi-exp-gpio")}, 0),
        ({0: BRCM, 4: (54, "gpiochip4", "pinctrl-rp1")}, 4),
        ({0: (54, "gpiochip0", "pinctrl-rp1"), 10: BRCM}, 0),
        (
            {
                11: BRCM,
                13: (4, "gpiochip13", "pinctrl-bcm2712"),
                15: (54, "gpiochip15", "pinctrl-rp1"),
            },
            15,
        ),
        ({0: (32, "gpiochip0", "gpio-sim.0")}, 0),
    ],
    ids=["Pi 4", "Pi 5, first kernels", "Pi 5, 6.6", "Pi 5, 6.12", "no label that is known"],
)
def test_the_chip_of_the_header_is_found_by_its_label(
    chips: dict[int, tuple[int, str, str]], place: int, tmp_path: Path
) -> None:
    (tmp_path / "lgpio.py").write_text(LGPIO.replace("chips = {", f"chips = {chips!r} or {{"))
    code = (
        "import gpiozero.pins.lgpio as real\n"
        "real.LGPIOFactory._get_revision = lambda self: 0xd04170  # a Pi 5\n"
        "from agent.check.host import Host\n"
        "from agent.check.outputs import check_outputs\n"
        "from agent.config.outputs import OutputsSettings, StatusSettings\n"
        "host = Host(is_pi=True, running_agent='')\n"
        "for finding in check_outputs(OutputsSettings(status=StatusSettings(27)), host):\n"
        "    print(finding.outcome, finding.detail)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    environment.pop("GPIOZERO_PIN_FACTORY", None)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    _, name, label = chips[place]
    assert done.stdout == f"passed GPIO27, by lgpio: line 27 of {name} ({label})\n"


@pytest.mark.parametrize(
    ("prelude", "message"),
    [
        ("sys.modules['gpiozero'] = None", "no gpiozero: pip install "),
        ("sys.modules['lgpio'] = None", "'apt install python3-lgpio'"),
        (
            "import os; os.environ['GPIOZERO_PIN_FACTORY'] = 'mok'",
            "Unable to find pin factory 'mok'; check GPIOZERO_PIN_FACTORY",
        ),
    ],
)
def test_a_missing_library_is_named_with_the_remedy(prelude: str, message: str) -> None:
    code = (
        f"import sys; {prelude}\n"
        "from agent.sinks.pins import GpioPin\n"
        "from agent.errors import SinkError\n"
        "try: GpioPin('outputs.alarm', 17, active_high=True, on=False)\n"
        "except SinkError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("outputs.alarm: GPIO17")
    assert message in done.stdout
