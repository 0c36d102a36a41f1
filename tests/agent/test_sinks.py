import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock

from agent.errors import AgentError, SinkError
from agent.logs import StderrLines, print_with_priority, print_with_time
from agent.metrics import Metrics
from agent.model import Prediction, Sample, Session
from agent.sinks import FanOut, Sink
from agent.sinks.journal import PredictionLog
from agent.sinks.table import PredictionTable
from quartet.channels import Values
from quartet.journal import PriorityFormatter
from quartet.predictions import Existing, Target
from wire import MAX_ID

BARE = partial(Target, is_bare=True, existing=Existing.OVERWRITE)

many = settings(derandomize=True, deadline=None, max_examples=60)

SESSION = Session(1, "0123456789abcdef" * 2, 100_000_000, 0)
TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")  # of a line on stderr
NOON_NS = 1_714_564_800_000_000_000  # 2024-05-01 12:00 UTC

float32s = st.floats(width=32)
predictions = st.builds(
    Prediction,
    st.builds(
        Sample,
        st.just(SESSION),
        st.integers(0, MAX_ID),
        st.tuples(*[float32s] * 4),
        st.integers(0, 2**62),
    ),
    st.booleans(),
    st.integers(0, 10**12),
)


def prediction(
    id_: int = 0, value: bool = False, values: Values = (0.1, 0.2, 0.3, 0.4)
) -> Prediction:
    return Prediction(Sample(SESSION, id_, values, NOON_NS), value, 1_234_567)


class Kept(logging.Handler):
    """A handler that keeps its records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def kept_records(name: str) -> Iterator[list[logging.LogRecord]]:
    """The records of a logger, whatever others do with them."""
    logger, handler = logging.getLogger(name), Kept()
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


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


# The log of predictions


def logged(given_: Sequence[Prediction], *, changes_only: bool) -> list[logging.LogRecord]:
    with kept_records("agent.predictions") as records:
        sink = PredictionLog("pump-1", changes_only=changes_only)
        for each in given_:
            sink.emit(each)
        sink.close()
    return records


@many
@given(st.lists(st.booleans(), max_size=30))
def test_all_predictions_are_logged_where_all_are_asked_for(values: list[bool]) -> None:
    records = logged([prediction(n, v) for n, v in enumerate(values)], changes_only=False)
    assert [r.journal_fields["SAMPLE_ID"] for r in records] == [str(n) for n in range(len(values))]
    assert [r.levelno for r in records] == [
        logging.WARNING if value else logging.INFO for value in values
    ]


@many
@given(st.lists(st.booleans(), max_size=30))
def test_the_first_prediction_of_each_run_is_logged_where_changes_are_asked_for(
    values: list[bool],
) -> None:
    records = logged([prediction(n, v) for n, v in enumerate(values)], changes_only=True)
    runs = groupby(enumerate(values), key=lambda pair: pair[1])
    assert [r.journal_fields["SAMPLE_ID"] for r in records] == [str(next(g)[0]) for _, g in runs]


def test_a_log_entry_reads_well_alone() -> None:
    false, true = logged(
        [prediction(7), prediction(8, value=True, values=(math.nan, 2.0, -1.5, math.inf))],
        changes_only=False,
    )
    assert false.getMessage() == "sample 7: False  0.1  0.2  0.3  0.4"
    assert true.getMessage() == "sample 8: True  nan  2  -1.5  inf"


def test_a_log_entry_has_the_fields_of_the_journal() -> None:
    (record,) = logged([prediction(7, value=True)], changes_only=False)
    assert record.journal_fields == {
        "SAMPLE_ID": "7",
        "SESSION_ID": SESSION.id,
        "AGENT_ID": "pump-1",
        "PREDICTION": "1",
        "SENSOR1": "0.1",
        "SENSOR2": "0.2",
        "SENSOR3": "0.3",
        "SENSOR4": "0.4",
        "SAMPLED_AT": "2024-05-01T12:00:00.000000+00:00",
        "ROUND_TRIP_US": "1234",
    }


@many
@given(predictions)
def test_fields_say_what_the_prediction_holds(given_: Prediction) -> None:
    (record,) = logged([given_], changes_only=False)
    fields = record.journal_fields
    sample = given_.sample
    assert all(isinstance(value, str) for value in fields.values())
    assert (fields["SAMPLE_ID"], fields["PREDICTION"]) == (str(sample.id), f"{given_.value:d}")
    assert int(fields["ROUND_TRIP_US"]) == given_.round_trip_ns // 1000
    for number, value in enumerate(sample.values, 1):
        assert float(fields[f"SENSOR{number}"]) == pytest.approx(value, rel=1e-6, nan_ok=True)
    sampled_at = datetime.fromisoformat(fields["SAMPLED_AT"])
    exact = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=sample.sampled_at_ns // 1000)
    assert abs(sampled_at - exact) <= timedelta(microseconds=2)


def test_to_journald_go_the_same_fields_in_one_call(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[tuple[str, ...]] = []
    log = PredictionLog("pump-1", changes_only=False, send=lambda *fields: sent.append(fields))
    one = prediction(7, value=True)
    log.emit(one)
    assert caplog.records == []
    ((message, priority, *fields),) = sent
    (record,) = logged([one], changes_only=False)
    assert (message, priority) == (f"MESSAGE={record.getMessage()}", "PRIORITY=4")
    expected = {"SYSLOG_IDENTIFIER": "agent", "LOGGER": record.name, **record.journal_fields}
    assert dict(each.split("=", 1) for each in fields) == expected


def test_what_journald_does_not_take_is_logged_as_all_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: str) -> None:
        raise OSError("no buffer space")

    caplog.set_level(logging.INFO)
    PredictionLog("pump-1", changes_only=False, send=refuse).emit(prediction(7))
    assert [record.getMessage() for record in caplog.records] == [
        "sample 7: False  0.1  0.2  0.3  0.4"
    ]


def test_predictions_are_logged_whatever_the_level_of_the_other_loggers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    caplog.handler.setLevel(logging.NOTSET)
    PredictionLog("pump-1", changes_only=False).emit(prediction(7))
    assert [record.getMessage() for record in caplog.records] == [
        "sample 7: False  0.1  0.2  0.3  0.4"
    ]


@pytest.mark.parametrize("value", [False, True])
@pytest.mark.parametrize("under_systemd", [False, True])
def test_a_line_past_logging_is_the_one_that_logging_prints(
    value: bool, under_systemd: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = StderrLines()
    print_line = print_with_time
    if under_systemd:
        handler.setFormatter(PriorityFormatter())
        print_line = print_with_priority
    (record,) = logged([prediction(7, value)], changes_only=False)
    handler.emit(record)
    PredictionLog("pump-1", changes_only=False, print_line=print_line).emit(prediction(7, value))
    by_logging, past_it = capsys.readouterr().err.splitlines()
    at, now = (TIME.sub("", line) for line in (by_logging, past_it))
    assert at == now
    if not under_systemd:
        moments = [datetime.fromisoformat(line[:23]) for line in (by_logging, past_it)]
        assert timedelta(0) <= moments[1] - moments[0] < timedelta(hours=1)


def test_what_cannot_be_printed_is_logged_as_all_else(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no space left")

    caplog.set_level(logging.INFO)
    PredictionLog("pump-1", changes_only=False, print_line=refuse).emit(prediction(7))
    assert caplog.messages == ["sample 7: False  0.1  0.2  0.3  0.4"]


def test_a_handler_of_the_predictions_own_gets_all_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with kept_records("agent.predictions") as records:
        log = PredictionLog("pump-1", changes_only=False, print_line=print_with_time)
        log.emit(prediction(7))
    assert [record.journal_fields["SAMPLE_ID"] for record in records] == ["7"]
    assert not capsys.readouterr().err
