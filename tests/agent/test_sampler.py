import logging
import struct
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.patience import PATIENCE_S

from agent.clock import Stop, SystemClock
from agent.errors import SourceError
from agent.model import Reading
from agent.sampler import Sampler
from quartet.channels import Values

many = settings(derandomize=True, deadline=None, max_examples=60)

S = 1_000_000_000
START_NS = 12_345_678_901
WALL_OFFSET_NS = 1_700_000_000 * S


class ManualClock:
    """A peer of SystemClock that moves when it is waited for, and by hand.

    A wait ends late by the next of `late_ns`, as on a busy machine.
    """

    def __init__(self, late_ns: Sequence[int] = ()) -> None:
        self.now_ns = START_NS
        self._late_ns = iter(late_ns)
        self.on_wait: Callable[[int], None] = lambda _: None

    def monotonic_ns(self) -> int:
        return self.now_ns

    def time_ns(self) -> int:
        return WALL_OFFSET_NS + self.now_ns

    def wait_until(self, monotonic_ns: int, stop: Stop) -> None:
        self.on_wait(monotonic_ns)
        if not stop.is_set():
            self.now_ns = max(self.now_ns, monotonic_ns) + next(self._late_ns, 0)


class ScriptedSource:
    """Each read takes the next of `durations_ns`; then the source ends, or fails."""

    def __init__(
        self, clock: ManualClock, durations_ns: Sequence[int], error: SourceError | None = None
    ) -> None:
        self._clock = clock
        self._durations_ns = durations_ns
        self._error = error
        self.begun_ns: list[int] = []
        self.ended_ns: list[int] = []
        self.closed = 0

    due_ns = None

    def read(self) -> Values | None:
        assert not self.closed
        count = len(self.begun_ns)
        self.begun_ns.append(self._clock.now_ns)
        if count == len(self._durations_ns):
            if self._error:
                raise self._error
            return None
        self._clock.now_ns += self._durations_ns[count]
        self.ended_ns.append(self._clock.now_ns)
        return (float(count), 0.0, 0.0, 0.0)

    def close(self) -> None:
        self.closed += 1


class ListIntake:
    """Keeps readings; answered as far as a test says."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.answered = 0
        self.finished = 0
        self.most_unanswered = 0

    def append(self, reading: Reading) -> None:
        assert not self.finished
        self.readings.append(reading)
        self.most_unanswered = max(self.most_unanswered, self.unanswered)

    def finish(self) -> None:
        self.finished += 1

    @property
    def unanswered(self) -> int:
        return len(self.readings) - self.answered


class Rig:
    """A sampler between a scripted source and a list, on a manual clock."""

    def __init__(
        self,
        period_ns: int,
        durations_ns: Sequence[int],
        *,
        late_ns: Sequence[int] = (),
        error: SourceError | None = None,
        **bounds: int,
    ) -> None:
        self.clock = ManualClock(late_ns)
        self.source = ScriptedSource(self.clock, durations_ns, error)
        self.intake = ListIntake()
        self.starts: list[int] = []
        self.sampler = Sampler(
            self.source,
            self.intake,
            period_ns,
            self.clock,
            on_start=lambda: self.starts.append(len(self.intake.readings)),
            **bounds,
        )

    def assert_ended(self) -> None:
        assert (self.intake.finished, self.source.closed) == (1, 1)


periods_ns = st.integers(1_000, 3 * S)


@st.composite
def paced(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    """A period, how long reads take, and how late waits end: by less than a period."""
    period_ns = draw(periods_ns)
    durations = st.integers(0, period_ns) | st.integers(0, 12).map(lambda n: n * period_ns // 3)
    late = st.just(0) | st.integers(0, period_ns - 1)
    return period_ns, draw(st.lists(durations, max_size=12)), draw(st.lists(late, max_size=30))


# Paced


@many
@given(paced())
def test_every_read_begins_at_the_first_deadline_of_the_grid_after_the_read_before(
    script: tuple[int, list[int], list[int]],
) -> None:
    period_ns, durations_ns, _ = script
    rig = Rig(period_ns, durations_ns)
    rig.sampler.run()
    begun = [t - START_NS for t in rig.source.begun_ns]
    ended = [t - START_NS for t in rig.source.ended_ns]
    assert begun == [0, *((end // period_ns + 1) * period_ns for end in ended)]
    rig.assert_ended()


@many
@given(paced())
def test_every_deadline_is_either_read_or_counted_as_overrun(
    script: tuple[int, list[int], list[int]],
) -> None:
    period_ns, durations_ns, late_ns = script
    rig = Rig(period_ns, durations_ns, late_ns=late_ns)
    rig.sampler.run()
    deadlines = [(t - START_NS) // period_ns for t in rig.source.begun_ns]
    assert deadlines[0] == 0
    assert all(before < after for before, after in pairwise(deadlines))
    assert rig.sampler.overruns == deadlines[-1] + 1 - len(deadlines)


@many
@given(paced())
def test_a_late_wake_does_not_move_the_grid(script: tuple[int, list[int], list[int]]) -> None:
    period_ns, durations_ns, late_ns = script
    rig = Rig(period_ns, durations_ns, late_ns=late_ns)
    rig.sampler.run()
    for ended_ns, begun_ns in zip(rig.source.ended_ns, rig.source.begun_ns[1:], strict=True):
        deadline = (ended_ns - START_NS) // period_ns + 1
        assert (begun_ns - START_NS) // period_ns == deadline


@many
@given(paced())
def test_each_read_is_kept_once_with_the_wall_time_of_its_middle(
    script: tuple[int, list[int], list[int]],
) -> None:
    period_ns, durations_ns, late_ns = script
    rig = Rig(period_ns, durations_ns, late_ns=late_ns)
    rig.sampler.run()
    assert [(r.values[0], r.sampled_at_ns) for r in rig.intake.readings] == [
        (float(count), WALL_OFFSET_NS + begun_ns + (ended_ns - begun_ns) // 2)
        for count, (begun_ns, ended_ns) in enumerate(
            zip(rig.source.begun_ns, rig.source.ended_ns, strict=False)
        )
    ]


def test_overruns_are_said_once_until_none_came_for_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    slow, fast = S + 1, 0
    rig = Rig(S, [slow, fast, slow, slow, *[fast] * 70, slow, slow])
    rig.sampler.run()
    assert rig.sampler.overruns == 5
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "1 reading was late (1 in total)",
        "1 reading was late (4 in total)",
    ]


def test_ten_passed_deadlines_give_ten_overruns_and_no_burst() -> None:
    rig = Rig(S, [0, 10 * S + 1, 0])
    rig.sampler.run()
    assert [(t - START_NS) // S for t in rig.source.begun_ns] == [0, 1, 12, 13]
    assert rig.sampler.overruns == 10
    assert len(rig.intake.readings) == 3


@many
@given(st.integers(1, 60 * S), st.lists(st.integers(0, S // 2), max_size=200))
def test_a_far_deadline_is_awaited_with_a_beat_each_second(
    period_ns: int, late_ns: list[int]
) -> None:
    rig = Rig(period_ns, [0, 0], late_ns=late_ns)
    sampler, clock = rig.sampler, rig.clock

    def check(until_ns: int) -> None:
        assert sampler.beat_ns == clock.now_ns
        assert 0 < until_ns - clock.now_ns <= S

    clock.on_wait = check
    assert sampler.beat_ns == START_NS
    sampler.run()
    assert len(rig.intake.readings) == 2
    assert sampler.beat_ns == rig.source.begun_ns[-1]


# Ends


@many
@given(paced(), st.integers(0, 5))
def test_stop_during_a_wait_takes_no_further_sample(
    script: tuple[int, list[int], list[int]], waits: int
) -> None:
    period_ns, durations_ns, _ = script
    rig = Rig(period_ns, [*durations_ns, *[0] * 10])
    begun_at_stop = None

    def stop_after(_: int) -> None:
        nonlocal waits, begun_at_stop
        waits -= 1
        if waits < 0 and begun_at_stop is None:
            begun_at_stop = len(rig.source.begun_ns)
            rig.sampler.stop()

    rig.clock.on_wait = stop_after
    rig.sampler.run()
    assert begun_at_stop is not None
    assert len(rig.source.begun_ns) == begun_at_stop
    assert len(rig.intake.readings) == begun_at_stop
    rig.assert_ended()


@pytest.mark.parametrize("period_ns", [0, S])
def test_stop_before_the_run_reads_nothing(period_ns: int) -> None:
    rig = Rig(period_ns, [0, 0])
    rig.sampler.stop()
    rig.sampler.run()
    assert rig.source.begun_ns == []
    assert rig.starts == []
    rig.assert_ended()


def test_stop_wakes_a_sampler_that_waits_on_the_clock_of_the_system() -> None:
    started = threading.Event()
    intake = ListIntake()
    source = ScriptedSource(ManualClock(), [0] * 9)
    sampler = Sampler(source, intake, 3600 * S, SystemClock(), started.set)
    bus = threading.Thread(target=sampler.run, name="bus", daemon=True)
    bus.start()
    assert started.wait(PATIENCE_S)
    sampler.stop()
    bus.join(PATIENCE_S)
    assert not bus.is_alive()
    assert len(intake.readings) == 1
    assert (intake.finished, source.closed) == (1, 1)


@many
@given(paced(), st.booleans())
def test_the_error_of_a_source_passes_through_after_the_rows_before_it(
    script: tuple[int, list[int], list[int]], is_paced: bool
) -> None:
    period_ns, durations_ns, late_ns = script
    error = SourceError("no ADS1115 answers")
    rig = Rig(period_ns if is_paced else 0, durations_ns, late_ns=late_ns, error=error)
    with pytest.raises(SourceError) as raised:
        rig.sampler.run()
    assert raised.value is error
    assert len(rig.intake.readings) == len(durations_ns)
    rig.assert_ended()


@pytest.mark.parametrize("period_ns", [0, S])
def test_on_start_is_called_once_when_the_first_sample_is_kept(period_ns: int) -> None:
    rig = Rig(period_ns, [0, 0, 0])
    rig.sampler.run()
    assert rig.starts == [1]


@pytest.mark.parametrize("error", [None, SourceError("gone")])
def test_on_start_is_not_called_for_a_source_without_a_sample(error: SourceError | None) -> None:
    rig = Rig(S, [], error=error)
    if error:
        with pytest.raises(SourceError):
            rig.sampler.run()
    else:
        rig.sampler.run()
    assert rig.starts == []
    rig.assert_ended()


# Unpaced


@many
@given(st.lists(st.integers(0, 3 * S), max_size=60), st.data())
def test_an_unpaced_source_is_read_as_far_ahead_as_there_is_room(
    durations_ns: list[int], data: st.DataObject
) -> None:
    ahead = data.draw(st.integers(1, 20))
    rig = Rig(0, durations_ns, unpaced_ahead=ahead)
    waits = 0

    def answer_some(_: int) -> None:
        nonlocal waits
        waits += 1
        assert rig.intake.unanswered == ahead
        assert rig.sampler.beat_ns == rig.clock.now_ns
        if waits % 3 == 0:
            rig.intake.answered += data.draw(st.integers(1, ahead))

    rig.clock.on_wait = answer_some
    rig.sampler.run()
    assert len(rig.intake.readings) == len(durations_ns)
    assert rig.intake.most_unanswered == min(ahead, len(durations_ns))
    assert rig.sampler.overruns == 0
    rig.assert_ended()


def test_stop_ends_the_wait_for_room() -> None:
    rig = Rig(0, [0] * 20_000)
    rig.clock.on_wait = lambda _: rig.sampler.stop()
    rig.sampler.run()
    assert 0 < len(rig.intake.readings) < 20_000
    rig.assert_ended()


# Values


class Rows:
    """A source of rows that take no time."""

    def __init__(self, *rows: Values) -> None:
        self._rows = iter(rows)

    due_ns = None

    def read(self) -> Values | None:
        return next(self._rows, None)

    def close(self) -> None:
        pass


@many
@given(st.tuples(*[st.floats(-3.4e38, 3.4e38) | st.floats(width=32)] * 4))
def test_values_are_kept_as_the_float32_that_the_wire_carries(values: Values) -> None:
    intake = ListIntake()
    Sampler(Rows(values), intake, 0, ManualClock(), lambda: None).run()
    kept = intake.readings[0].values
    assert struct.pack("<4f", *kept) == struct.pack("<4f", *values)
    as_float32 = struct.unpack("<4f", struct.pack("<4f", *values))
    assert struct.pack("<4d", *kept) == struct.pack("<4d", *as_float32)
