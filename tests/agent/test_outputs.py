"""What outputs do at an alarm and in each state, by a model."""

import math
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.outputs import RecordingPin, S, SteppedClock, prediction
from support.patience import PATIENCE_S

from agent.clock import SystemClock
from agent.config.outputs import AlarmSettings
from agent.errors import SinkError
from agent.sinks import FanOut
from agent.sinks.alarm import Alarm
from agent.sinks.guard import Guard
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
