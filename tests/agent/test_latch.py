"""An alarm output that holds: by a model, over restarts, with a disk that fails."""

import logging
import math
import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.outputs import RecordingPin, S, SteppedClock, prediction
from support.patience import until

from agent.config.outputs import AlarmSettings, OutputsSettings
from agent.errors import SinkError
from agent.sinks import FanOut
from agent.sinks.alarm import Alarm
from agent.sinks.latch import FILE, Hold, Keeper, open_latch
from agent.sinks.outputs import add_outputs
from agent.sinks.status import Light
from agent.state import AlarmState, Outcome


class Rig:
    """An alarm with a latch, started again and again in one directory."""

    def __init__(self, directory: Path, **fields: object) -> None:
        self.of = AlarmSettings(**{"pin": 17, "latch": True, **fields})
        self.file = directory / FILE
        self.clock = SteppedClock()
        self.start()

    def start(self) -> None:
        latch = open_latch(self.of, self.file.parent, self.clock)
        assert latch
        self.latch = latch
        self.pin = RecordingPin(on=self.of.safe == "on" or latch.hold is not None)
        self.alarm = Alarm(self.of, self.pin, self.clock, latch)

    def predict(self, *values: bool) -> None:
        for value in values:
            self.alarm.emit(prediction(value, self.clock.time_ns()))
        self.alarm.refresh()

    def after(self, seconds: float) -> None:
        self.clock.now_ns += round(seconds * S)
        self.alarm.refresh()

    def release(self) -> Outcome:
        outcome = self.alarm.release("somebody").outcome
        self.alarm.refresh()
        return outcome

    def die(self) -> None:
        """As at a kill -9, once the other thread has had its turn."""
        self.latch.keep()
        self.start()


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(["on", "off"]),
    st.lists(st.sampled_from(["True", "True", "False", "silence", "release", "die"])),
)
def test_what_is_held_stays_on_until_it_is_released_after_the_alarm(
    on_after: int, off_after: int, safe: str, happenings: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        rig = Rig(Path(directory), on_after=on_after, off_after=off_after, safe=safe)
        held, follows, last, is_fresh = False, safe == "on", (False, 0), False
        for happening in happenings:
            match happening:
                case "True" | "False":
                    value = happening == "True"
                    follows = follows or (held and not is_fresh)
                    is_fresh = True
                    last = value, last[1] + 1 if last[0] == value else 1
                    if last[1] >= (on_after if value else off_after):
                        follows = value
                        held = held or value
                    rig.predict(value)
                case "silence" | "die":
                    follows, last, is_fresh = safe == "on", (last[0], 0), False
                    if happening == "die":
                        last = False, 0
                        rig.die()
                    else:
                        rig.after(rig.of.ttl_s)
                case "release":
                    is_over = not (follows and is_fresh)
                    expected = Outcome.RELEASED if is_over else Outcome.NOT_OVER
                    assert rig.release() is (expected if held else Outcome.NOT_HELD)
                    held = held and not is_over
            assert rig.pin.on is (held or follows)
            assert (rig.alarm.state is AlarmState.HELD) is held
            rig.latch.keep()
            assert rig.file.exists() is held


def test_an_output_with_a_latch_is_on_over_false_silence_and_a_restart(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.predict(False, True, False)
    rig.after(1000)
    rig.die()
    assert (rig.pin.on, rig.pin.switches) == (True, [])
    rig.predict(False)
    assert rig.pin.on
    assert rig.release() is Outcome.RELEASED
    assert not rig.pin.on
    rig.die()
    assert not rig.pin.on


def test_what_is_still_true_cannot_be_released(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, off_after=2)
    rig.predict(True)
    assert rig.release() is Outcome.NOT_OVER
    rig.predict(False)
    assert rig.release() is Outcome.NOT_OVER  # the output itself would still be on
    assert rig.pin.on
    assert "it stays on, because the alarm is not over" in caplog.text
    rig.predict(False)
    assert rig.release() is Outcome.RELEASED
    assert not rig.pin.on
    rig.predict(True)
    assert rig.alarm.state is AlarmState.HELD


@pytest.mark.parametrize("gap", ["silence", "die"])
def test_after_a_gap_too_only_false_predictions_end_the_alarm(tmp_path: Path, gap: str) -> None:
    rig = Rig(tmp_path, on_after=3, off_after=2)
    rig.predict(True, True, True)
    if gap == "die":
        rig.die()
    else:
        rig.after(20)
    rig.predict(True)
    assert rig.release() is Outcome.NOT_OVER
    rig.predict(False)
    assert rig.release() is Outcome.NOT_OVER
    rig.predict(False)
    assert rig.release() is Outcome.RELEASED
    assert not rig.pin.on


@pytest.mark.parametrize("safe", ["on", "off"])
def test_without_predictions_a_release_leaves_the_safe_state(tmp_path: Path, safe: str) -> None:
    rig = Rig(tmp_path, safe=safe)
    rig.predict(True)
    rig.after(20)
    released = rig.alarm.release("somebody")
    rig.alarm.refresh()
    assert (released.outcome, released.output) == (Outcome.RELEASED, AlarmState.STALE)
    assert rig.pin.on is (safe == "on")


def test_a_safe_state_that_is_on_holds_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, safe="on")
    rig.predict(False)
    rig.after(20)
    assert rig.pin.on
    rig.predict(False)
    assert not rig.pin.on
    assert rig.release() is Outcome.NOT_HELD


def test_the_answers_of_a_backlog_and_rows_without_a_reading_hold_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    now_ns = rig.clock.time_ns()
    rig.alarm.emit(prediction(True, now_ns - 60 * S))
    rig.alarm.emit(prediction(True, now_ns, (math.nan,) * 4))
    assert rig.alarm.hold is None


def test_a_loop_that_is_held_up_does_not_let_go(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.predict(True)
    rig.clock.now_ns += 60 * S
    rig.alarm.guard()
    assert rig.pin.on


def test_at_the_end_the_pin_is_left_on_and_the_log_says_that_nothing_drives_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path)
    rig.predict(True)
    rig.alarm.close()
    assert (rig.pin.on, rig.pin.closed) == (True, True)
    assert "until the next start of the agent nothing drives its pin" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"since_ns": -1}', b"\xff" * 9])
def test_a_file_that_cannot_be_understood_holds(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(content)
    rig = Rig(tmp_path)
    hold = Hold(rig.clock.time_ns())
    assert rig.alarm.hold == hold
    assert "the output is held until 'agent release'" in caplog.text
    rig.latch.keep()
    rig.clock.now_ns += 60 * S
    rig.die()
    assert rig.alarm.hold == hold  # since then, and not since each start
    rig.predict(False)
    assert rig.release() is Outcome.RELEASED
    rig.die()
    assert rig.alarm.hold is None


def test_who_turns_the_latch_off_releases_what_was_held(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path)
    rig.predict(True)
    rig.latch.keep()
    assert open_latch(None, tmp_path, rig.clock) is None
    assert rig.file.exists()  # an output that is not configured has nothing to say about it
    assert open_latch(AlarmSettings(pin=17), tmp_path, rig.clock) is None
    assert not rig.file.exists()
    assert "outputs.alarm.latch is off now" in caplog.text


def test_a_disk_that_does_not_take_it_is_told_and_tried_again(tmp_path: Path) -> None:
    place = tmp_path / "gone"
    rig = Rig(place)
    rig.predict(True)
    rig.latch.keep()
    with pytest.raises(SinkError, match=r"alarm.held cannot be written .*: a restart .* releases"):
        rig.alarm.refresh()
    assert rig.pin.on
    place.mkdir()
    rig.latch.keep()
    rig.alarm.refresh()
    assert rig.file.exists()


def test_a_thread_of_its_own_keeps_what_is_held(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    keeper = Keeper(rig.latch)
    rig.predict(True)
    until(rig.file.exists)
    rig.predict(False)
    rig.release()
    keeper.close()  # what has changed by then is kept
    assert not rig.file.exists()


def test_a_disk_that_hangs_does_not_hold_up_the_guard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mended = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _: mended.wait())
    rig = Rig(tmp_path, safe="on")
    sinks = FanOut([], rig.clock)
    monkeypatch.setattr("agent.sinks.outputs.GpioPin", lambda *_, **__: rig.pin)
    alarm = add_outputs(
        OutputsSettings(alarm=rig.of), sinks, rig.clock, lambda: Light.STREAMING, rig.latch
    )
    assert alarm
    now_ns = rig.clock.time_ns()
    alarm.emit(prediction(True, now_ns))
    until(lambda: not rig.latch.changed.is_set())  # the disk is asked, and hangs
    alarm.emit(prediction(False, now_ns))
    assert alarm.release("somebody").outcome is Outcome.RELEASED
    alarm.refresh()
    assert not rig.pin.on
    rig.clock.now_ns += 60 * S  # and the loop is held up
    try:
        until(lambda: rig.pin.on)
    finally:
        mended.set()
        sinks.close()


def test_hold_and_release_are_on_record_whatever_is_logged_otherwise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        rig = Rig(tmp_path)
        rig.predict(True)
        rig.alarm.release("ann (uid 1000)")
        rig.predict(False)
        rig.clock.now_ns += 5 * S
        rig.alarm.release("ann (uid 1000)")
    finally:
        root.setLevel(level)
    assert [
        (each.levelname, each.getMessage(), each.__dict__["journal_fields"])
        for each in caplog.records
    ] == [
        (
            "WARNING",
            "alarm: the output is held on from sample 0, until 'agent release'",
            {"ALARM_OUTPUT": "held"},
        ),
        (
            "WARNING",
            "alarm: ann (uid 1000) asks to release the output, held since 2001-09-09 01:46 UTC: it"
            " stays on, because the alarm is not over",
            {"ALARM_OUTPUT": "held", "ASKED_BY": "ann (uid 1000)"},
        ),
        (
            "WARNING",
            "alarm: ann (uid 1000) releases the output, held since 2001-09-09 01:46 UTC, for 5 s",
            {"ALARM_OUTPUT": "released", "ASKED_BY": "ann (uid 1000)"},
        ),
    ]
