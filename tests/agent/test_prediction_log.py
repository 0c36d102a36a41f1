"""The log of predictions: to journald, through logging, and past it."""

import logging
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.predicted import SESSION, kept_records, prediction, predictions

from agent.logs import Direct, StderrLines, print_with_priority, print_with_time, set_up
from agent.model import Prediction
from agent.sinks.journal import PredictionLog
from quartet.journal import PriorityFormatter

many = settings(derandomize=True, deadline=None, max_examples=60)

TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")  # of a line on stderr


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


def test_a_line_that_stderr_does_not_take_is_not_printed_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried: list[str] = []

    def refuse(_: int, text: str) -> None:
        tried.append(text)
        raise BlockingIOError("the reader is slow")  # and the line is in the buffer

    caplog.set_level(logging.INFO)
    PredictionLog("pump-1", changes_only=False, print_line=refuse).emit(prediction(7))
    assert (tried, caplog.messages) == (["sample 7: False  0.1  0.2  0.3  0.4"], [])


def test_without_journald_predictions_are_printed_past_logging(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert set_up("info", to_journal=False) == Direct(print_line=print_with_time)


def test_a_handler_of_the_predictions_own_gets_all_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with kept_records("agent.predictions") as records:
        log = PredictionLog("pump-1", changes_only=False, print_line=print_with_time)
        log.emit(prediction(7))
    assert [record.journal_fields["SAMPLE_ID"] for record in records] == ["7"]
    assert not capsys.readouterr().err
