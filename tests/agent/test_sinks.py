import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.predicted import kept_records, prediction, predictions

from agent.errors import AgentError, SinkError
from agent.metrics import Metrics
from agent.model import Prediction
from agent.sinks import FanOut, Sink
from agent.sinks.journal import PredictionLog
from agent.sinks.table import PredictionTable
from quartet.predictions import Existing, Target

BARE = partial(Target, is_bare=True, existing=Existing.OVERWRITE)

many = settings(derandomize=True, deadline=None, max_examples=60)


# The fan-out


class ListSink:
    """Keeps what it is given, and fails on the ids that a test names."""

    def __init__(self, failing: Sequence[int] = (), *, fails_at_end: bool = False) -> None:
        self._failing = failing
        self._fails_at_end = fails_at_end
        self.ids: list[int] = []
        self.closed = 0

    def emit(self, prediction: Prediction) -> None:
        if prediction.sample.id in self._failing:
            raise OSError("disk full")
        assert not self.closed
        self.ids.append(prediction.sample.id)

    def close(self) -> None:
        self.closed += 1
        if self._fails_at_end:
            raise ValueError("not flushed")

    def __str__(self) -> str:
        return "out.csv"


id_sets = st.sets(st.integers(0, 19))


@many
@given(st.lists(id_sets, max_size=4))
def test_a_failing_sink_is_counted_and_takes_nothing_from_the_others(
    failing: list[set[int]],
) -> None:
    sinks = [ListSink(sorted(ids)) for ids in failing]
    fan_out = FanOut(sinks)
    with kept_records("agent.sinks") as records:
        for id_ in range(20):
            fan_out.emit(prediction(id_))
    assert [sink.ids for sink in sinks] == [
        [id_ for id_ in range(20) if id_ not in ids] for ids in failing
    ]
    failures = [r.getMessage() for r in records if r.levelno != logging.INFO]
    assert fan_out.failures == len(failures) == sum(map(len, failing))
    assert all("out.csv failed: disk full" in each for each in failures)


@many
@given(id_sets)
def test_of_failures_in_a_row_the_first_is_loud_and_so_is_their_end(failing: set[int]) -> None:
    clock = ManualClock()
    fan_out = FanOut([ListSink(sorted(failing))], clock)
    with kept_records("agent.sinks") as records:
        for id_ in range(20):
            fan_out.emit(prediction(id_))
            clock.advance(1.0)
    loud = [id_ for id_ in sorted(failing) if id_ - 1 not in failing]
    said = [r.getMessage() for r in records if r.levelno >= logging.WARNING]
    assert said == [f"sample {id_}: out.csv failed: disk full" for id_ in loud]
    ended = {id_: id_ + 1 for id_ in failing if id_ + 1 not in failing and id_ < 19}
    lasted_s = [end - max(id_ for id_ in loud if id_ < end) for end in sorted(ended.values())]
    ends = [r.getMessage() for r in records if r.levelno == logging.INFO]
    assert ends == [f"out.csv works again, after {each:.1f} s" for each in lasted_s]


def test_a_sink_that_cannot_be_refreshed_is_logged_once_and_when_it_can_again() -> None:
    sink, clock = ListSink(), ManualClock()
    fan_out = FanOut([], clock)
    reasons = iter([None, "unplugged", "unplugged", None, None])

    def refresh() -> None:
        if reason := next(reasons):
            raise OSError(reason)

    fan_out.add(sink, refresh)
    with kept_records("agent.sinks") as records:
        for _ in range(5):
            fan_out.refresh()
            fan_out.emit(prediction(0))  # which goes well meanwhile, and ends nothing
            clock.advance(1.0)
    assert [(r.levelno, r.getMessage()) for r in records] == [
        (logging.ERROR, "out.csv failed: unplugged"),
        (logging.DEBUG, "out.csv failed: unplugged"),
        (logging.INFO, "out.csv works again, after 2.0 s"),
    ]


def test_a_sink_that_is_added_gets_predictions_after_the_others_and_is_closed() -> None:
    order: list[str] = []

    class Named(ListSink):
        def __init__(self, name: str) -> None:
            super().__init__()
            self._name = name

        def emit(self, prediction: Prediction) -> None:
            super().emit(prediction)
            order.append(self._name)

    wired = [Named("first")]
    fan_out, late = FanOut(wired), Named("late")
    fan_out.emit(prediction(0))
    fan_out.add(late)
    fan_out.emit(prediction(1))
    fan_out.close()
    assert order == ["first", "first", "late"]
    assert (late.ids, late.closed) == ([1], 1)
    assert len(wired) == 1


def test_every_sink_is_closed_though_one_fails_at_it() -> None:
    sinks = [ListSink(), ListSink(fails_at_end=True), ListSink()]
    fan_out = FanOut(sinks)
    with kept_records("agent.sinks") as records:
        fan_out.close()
    assert [sink.closed for sink in sinks] == [1, 1, 1]
    assert fan_out.failures == 1
    assert [r.getMessage() for r in records] == ["out.csv failed while it was closed: not flushed"]


def test_every_sink_has_a_name_for_a_person(tmp_path: Path) -> None:
    table = PredictionTable(BARE(tmp_path / "out.csv"), since=1)
    table.close()
    sinks: list[Sink] = [table, PredictionLog("pump-1", changes_only=False), Metrics()]
    assert [str(sink) for sink in sinks] == [
        str(tmp_path / "out.csv"),
        "the log of predictions",
        "the count of predictions",
    ]


# The table of predictions


@pytest.fixture(scope="module")
def out_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sinks") / "out.csv"


@many
@given(st.lists(predictions, max_size=20))
def test_a_table_has_one_line_for_each_prediction_as_soon_as_it_is_there(
    out_path: Path, given_: list[Prediction]
) -> None:
    table = PredictionTable(BARE(out_path), since=1)
    try:
        for count, each in enumerate(given_, 1):
            table.emit(each)
            assert out_path.read_bytes().count(b"\n") == count
    finally:
        table.close()
    lines = "".join(f"{p.sample.id},{'1' if p.value else '0'}\n" for p in given_)
    assert out_path.read_bytes() == lines.encode()


def test_a_table_replaces_what_was_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("older\n" * 9, "ascii")
    table = PredictionTable(BARE(path), since=1)
    table.emit(prediction(7, value=True))
    table.close()
    assert path.read_text("ascii") == "7,1\n"


@pytest.mark.parametrize(
    ("name", "reason"), [("none/out.csv", "No such file or directory"), (".", "Is a directory")]
)
def test_a_table_that_cannot_be_opened_is_a_sink_error(
    tmp_path: Path, name: str, reason: str
) -> None:
    path = tmp_path / name
    with pytest.raises(SinkError) as raised:
        PredictionTable(BARE(path), since=1)
    assert str(raised.value) == f"{path}: cannot be written: {reason}"
    assert isinstance(raised.value, AgentError)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to write to")
def test_a_table_on_a_full_disk_fails_at_the_prediction() -> None:
    table = PredictionTable(BARE(Path("/dev/full")), since=1)
    with pytest.raises(OSError, match="No space left"):
        table.emit(prediction())
    with pytest.raises(OSError, match="No space left"):
        table.close()
