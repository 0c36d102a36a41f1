"""Outputs: what an alarm does, by a model; and that a real (mock) GPIO does it."""

import ast
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpiozero import Device, OutputDevice
from gpiozero.pins.mock import MockFactory, MockPin
from hypothesis import given, settings
from hypothesis import strategies as st
from support.outputs import RecordingPin, S, SteppedClock, prediction
from support.patience import PATIENCE_S

from agent.check.findings import Outcome
from agent.check.host import Host
from agent.check.outputs import check_outputs
from agent.clock import SystemClock, VirtualClock
from agent.config.outputs import AlarmSettings, OutputsSettings, StatusSettings
from agent.errors import SinkError
from agent.instance import Instance
from agent.sinks import FanOut
from agent.sinks.alarm import Alarm
from agent.sinks.guard import Guard
from agent.sinks.latch import Hold, Latch
from agent.sinks.outputs import add_outputs
from agent.sinks.pins import GpioPin
from agent.sinks.status import Light, StatusLed
from agent.state import AlarmState

many = settings(derandomize=True, deadline=None)


class Rig:
    def __init__(self, **fields: object) -> None:
        of = AlarmSettings(**{"pin": 17, **fields})
        self.clock = SteppedClock()
        self.pin = RecordingPin(on=of.safe == "on")
        self.alarm = Alarm(of, self.pin, self.clock)

    def predict(self, value: bool, age_s: float = 0.0) -> None:
        self.alarm.emit(prediction(value, self.clock.time_ns() - round(age_s * S)))

    def after(self, seconds: float) -> None:
        self.clock.now_ns += round(seconds * S)
        self.alarm.refresh()


@many
@given(
    st.integers(1, 4), st.integers(1, 4), st.sampled_from(["on", "off"]), st.lists(st.booleans())
)
def test_the_output_follows_after_so_many_equal_predictions_in_a_row(
    on_after: int, off_after: int, safe: str, values: list[bool]
) -> None:
    rig = Rig(on_after=on_after, off_after=off_after, safe=safe)
    expected = safe == "on"
    for count, value in enumerate(values, 1):
        rig.predict(value)
        needed = on_after if value else off_after
        if values[:count][-needed:] == [value] * needed:
            expected = value
        assert rig.pin.on is expected
        assert rig.alarm.state == ("on" if expected else "off")


def test_the_pin_is_not_switched_to_where_it_is() -> None:
    rig = Rig()
    for value in (False, True, True, False, False):
        rig.predict(value)
        rig.after(0.1)
    assert rig.pin.switches == [True, False]


@pytest.mark.parametrize("safe", ["on", "off"])
def test_without_a_prediction_of_now_the_output_is_in_its_safe_state(
    safe: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(ttl_s=10, safe=safe)
    assert rig.alarm.state is AlarmState.STALE
    rig.predict(safe != "on")
    rig.after(9.99)
    assert rig.pin.on is (safe != "on")
    rig.after(0.02)
    assert rig.pin.on is (safe == "on")
    assert rig.alarm.state is AlarmState.STALE
    rig.after(100)
    assert caplog.messages == [
        f"alarm: no prediction in the last 10 s: the output is in its safe state ({safe})"
    ]


def test_after_silence_the_output_begins_anew() -> None:
    rig = Rig(on_after=2, ttl_s=5)
    rig.predict(True)
    rig.after(6)
    rig.predict(True)
    assert not rig.pin.on
    rig.predict(True)
    assert rig.pin.on


def test_the_answers_of_a_backlog_move_nothing() -> None:
    rig = Rig(ttl_s=10)
    rig.predict(False)
    for _ in range(100):
        rig.predict(True, age_s=10.5)
    assert not rig.pin.on
    rig.after(9.5)
    assert rig.alarm.state is AlarmState.OFF
    rig.after(0.6)  # they have not kept it alive either
    assert rig.alarm.state is AlarmState.STALE


def test_a_prediction_lives_by_the_age_of_its_sample() -> None:
    rig = Rig(ttl_s=10)
    rig.predict(True, age_s=8)
    rig.after(1.9)
    assert rig.pin.on
    rig.after(0.2)
    assert not rig.pin.on


def test_a_sample_from_the_near_future_lives_no_longer_than_any() -> None:
    rig = Rig(ttl_s=10)
    rig.predict(True, age_s=-5)
    rig.after(9.9)
    assert rig.pin.on
    rig.after(0.2)
    assert not rig.pin.on


def test_a_backlog_that_a_fast_clock_has_stamped_moves_nothing() -> None:
    rig = Rig(ttl_s=10)
    rig.predict(True, age_s=-3600)
    assert not rig.pin.on
    assert rig.alarm.state is AlarmState.STALE


@pytest.mark.parametrize("safe", ["on", "off"])
def test_a_sample_without_any_reading_says_nothing_of_now(safe: str) -> None:
    rig = Rig(ttl_s=10, safe=safe)
    rig.predict(safe != "on")
    rig.after(9)
    rig.alarm.emit(prediction(safe != "on", rig.clock.time_ns(), values=(math.nan,) * 4))
    rig.after(1.1)
    assert rig.alarm.state is AlarmState.STALE
    assert rig.pin.on is (safe == "on")


def test_an_older_answer_does_not_shorten_the_life_of_a_newer_one() -> None:
    rig = Rig(ttl_s=10)
    rig.predict(True)
    rig.predict(True, age_s=9)
    rig.after(9)
    assert rig.pin.on


@pytest.mark.parametrize("step_s", [-3e8, 3e8])
def test_a_step_of_the_wall_clock_moves_no_output_that_was_switched(step_s: float) -> None:
    rig = Rig(ttl_s=10)
    rig.predict(True)
    rig.clock.step_ns = round(step_s * S)
    rig.after(5)
    assert rig.pin.on
    rig.predict(True)
    rig.after(5.1)
    assert rig.pin.on


def test_a_pin_that_failed_is_switched_with_the_next_chance() -> None:
    rig = Rig()
    rig.pin.broken = True
    with pytest.raises(SinkError):
        rig.predict(True)
    with pytest.raises(SinkError):
        rig.alarm.refresh()
    rig.pin.broken = False
    rig.alarm.refresh()
    assert rig.pin.on


def test_while_the_loop_is_held_up_the_guard_makes_the_output_safe() -> None:
    rig = Rig(ttl_s=10)
    rig.predict(True)
    rig.clock.now_ns += round(10.4 * S)
    rig.alarm.guard()
    assert rig.pin.on  # the loop may be a little late
    rig.clock.now_ns += round(0.2 * S)
    rig.alarm.guard()
    assert not rig.pin.on
    rig.predict(True)  # the loop is back, with a prediction of now
    assert rig.pin.on
    assert rig.pin.switches == [True, False, True]


def test_a_late_loop_begins_anew_with_the_prediction_that_it_comes_back_with() -> None:
    rig = Rig(ttl_s=10, on_after=2)
    rig.predict(True)
    rig.predict(True)
    rig.clock.now_ns += 11 * S
    rig.predict(True)
    assert not rig.pin.on
    rig.predict(True)
    assert rig.pin.on


def test_the_guard_watches_by_itself_until_it_is_closed() -> None:
    switched = threading.Event()
    pin = RecordingPin()
    alarm = Alarm(AlarmSettings(pin=17, ttl_s=0.1), pin, SystemClock())
    guard = Guard(alarm)
    alarm.emit(prediction(True, time.time_ns()))
    assert pin.on
    pin.on_switch = switched.set
    assert switched.wait(PATIENCE_S)
    assert not pin.on
    guard.close()
    assert "alarm" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("ttl_s", [2.0, 20.0])
def test_other_times_hold_for_a_prediction_that_is_shown_already(ttl_s: float) -> None:
    clock, pin = SteppedClock(), RecordingPin()
    alarm = Alarm(AlarmSettings(pin=17, ttl_s=10.0), pin, clock)
    alarm.emit(prediction(True, clock.time_ns()))
    alarm.reconfigure(AlarmSettings(pin=17, on_after=2, ttl_s=ttl_s))
    clock.now_ns += round(ttl_s * S) - 1
    alarm.refresh()
    assert pin.on
    clock.now_ns += 1
    alarm.refresh()
    assert not pin.on
    alarm.emit(prediction(True, clock.time_ns()))
    assert not pin.on
    alarm.emit(prediction(True, clock.time_ns()))
    assert pin.on


@pytest.mark.parametrize("safe", ["on", "off"])
def test_at_the_end_the_pin_is_left_in_its_safe_state(safe: str) -> None:
    rig = Rig(safe=safe)
    rig.predict(safe != "on")
    rig.alarm.close()
    assert rig.pin.on is (safe == "on")
    assert rig.pin.closed


@pytest.mark.parametrize(
    ("light", "seen"),
    [
        (Light.STREAMING, "11111111"),
        (Light.CONNECTING, "11110000"),
        (Light.FAULT, "10101010"),
    ],
)
def test_the_status_led_tells_the_state_by_its_blinking(light: Light, seen: str) -> None:
    pin = RecordingPin()
    led = StatusLed(pin, lambda: light)
    for _ in range(16):
        led.refresh()
    assert "".join(str(int(on)) for on in pin.switches) == 2 * seen
    led.close()
    assert (pin.on, pin.closed) == (False, True)


# On gpiozero's mock of the hardware

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


def test_a_led_that_fails_is_said_once_while_predictions_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pin = RecordingPin()
    led = StatusLed(pin, lambda: Light.STREAMING)
    sinks = FanOut([])
    sinks.add(led, led.refresh)
    pin.broken = True
    for _ in range(5):
        sinks.refresh()
        sinks.emit(prediction(True, 0))
    assert caplog.messages == ["the status LED failed: the pin cannot be switched"]
    assert sinks.failures == 5
    pin.broken = False
    sinks.refresh()
    pin.broken = True
    sinks.refresh()
    assert len(caplog.messages) == 2


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
