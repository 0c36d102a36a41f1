"""The live view, on a terminal whose screen is looked at."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.states import NOW_NS, before_ns, latest, state
from support.terminal import Terminal

from agent.model import Learning, Prediction, Sample, Session
from agent.sinks.live import LiveView, blamed_in, can_draw, sparkline
from agent.sources import LABELS
from agent.state import LinkState, State
from quartet.channels import Values
from wire.sensors import Label

many = settings(derandomize=True, deadline=None, max_examples=60)
float32s = st.floats(width=32)

BARS = "▁▂▃▄▅▆▇█"
SESSION = Session(1, "0123456789abcdef" * 2, 100_000_000, 0)
NAMED = (Label("inlet", "bar"), Label("oil pressure", "bar"), *LABELS[2:])
REASON = "MEWMA is 35.6, its limit 28: sensor2 98%, sensor1 2%"
ALARM = state(prediction=latest(True), alarm_since_ns=before_ns(4), alarm_reason=REASON)


def prediction(
    id_: int = 0, value: bool = False, values: Values = (0.1, 0.2, 0.3, 0.4)
) -> Prediction:
    return Prediction(Sample(SESSION, id_, values, NOW_NS), value, 1_234_567)


@pytest.fixture(autouse=True)
def _in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for variable in ("NO_COLOR", "COLORTERM", "COLUMNS", "LINES"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@contextmanager
def live_view(terminal: Terminal, labels: tuple[Label | None, ...] = LABELS) -> Iterator[LiveView]:
    view = LiveView("press-4 → bench", labels, terminal, ManualClock())
    try:
        yield view
    finally:
        view.close()


def fill(view: LiveView, count: int, now: State) -> None:
    for number in range(count):
        given_ = prediction(number, number > 2, (float(number), 1.5, -2.25, math.nan))
        view.emit(given_)
        view.refresh(now, given_.sample)


# Sparklines


@many
@given(st.lists(float32s, max_size=60))
def test_a_sparkline_has_one_mark_a_value_and_a_dot_for_a_failed_reading(
    values: list[float],
) -> None:
    line = sparkline(values)
    assert len(line) == len(values)
    assert [mark == "·" for mark in line] == [not math.isfinite(value) for value in values]
    assert set(line) <= {*BARS, "·"}


@many
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2))
def test_a_sparkline_rises_with_the_values_from_the_lowest_bar_to_the_highest(
    values: list[float],
) -> None:
    line = sparkline(values)
    marks = [mark for _, mark in sorted(zip(values, line, strict=True))]
    assert marks == sorted(marks)
    assert marks[0] == BARS[0]
    assert marks[-1] == (BARS[-1] if max(values) > min(values) else BARS[0])


def test_a_sparkline_of_equal_values_is_flat() -> None:
    assert sparkline([5.0] * 4) == "▁▁▁▁"
    assert sparkline([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == BARS
    assert sparkline([math.nan, math.inf]) == "··"
    assert sparkline([]) == ""


# What is shown


def test_the_latest_sample_its_prediction_and_the_state_are_shown(terminal: Terminal) -> None:
    with live_view(terminal) as view:
        fill(view, 8, state(prediction=latest(), learning=Learning(120, 300)))
    assert "quartet press-4 → bench" in terminal.text
    (first,) = (line for line in terminal.lines if line.startswith("sensor1"))
    assert first.split() == ["sensor1", "7", "0", BARS, "7"]  # in a scale of its own: 0 to 7
    for word in ("-2.25", "nan", "▁▁▁▁▁▁▁▁", "········", "prediction True", "sample 7"):
        assert word in terminal.text
    assert "streaming to bench:8061, learning 120/300" in terminal.lines
    assert "False" not in terminal.text


def test_samples_are_shown_also_before_there_is_a_prediction(terminal: Terminal) -> None:
    with live_view(terminal) as view:
        connecting = state(link=LinkState.CONNECTING)
        view.refresh(connecting, prediction(0, values=(4.25, 0.0, 0.0, 0.0)).sample)
    assert "prediction none yet" in terminal.lines
    assert "4.25" in terminal.text
    assert "connecting to bench:8061" in terminal.text


def test_an_alarm_is_shown_with_its_reason_and_its_sensors_are_marked(terminal: Terminal) -> None:
    with live_view(terminal) as view:
        fill(view, 4, ALARM)
    assert f"ALARM for 4 s: {REASON}" in " ".join(terminal.text.split())
    marked = [line.split()[0] for line in terminal.lines if "◀" in line]
    assert marked == ["sensor2"]
    (row,) = (n for n, line in enumerate(terminal.lines) if "◀" in line)
    assert "red" in terminal.colours(row)
    assert "red" not in terminal.colours(row - 1)


@pytest.mark.parametrize(
    ("reason", "blamed"),
    [
        ("", set()),
        ("the machine is too loud", set()),
        ("sensor2", {1}),
        ("sensor1, sensor4 drift", {0, 3}),
        ("T2 is 30: sensor3 60%, sensor1 20.0 %, sensor2 19.9%, sensor4 0%", {0, 2}),
        ("sensor5, sensor12, mysensor3, sensor", set()),
    ],
)
def test_the_sensors_that_a_reason_names_are_blamed(reason: str, blamed: set[int]) -> None:
    assert blamed_in(reason) == blamed


def test_foreign_text_is_neither_markup_nor_obeyed(terminal: Terminal) -> None:
    reason = "[red]sensor1[/red] [/nothing]"
    labels = (Label("[bold]a", "[/x]"), Label("a\x1b[2J"), *LABELS[2:])
    with live_view(terminal, labels) as view:
        fill(view, 4, state(alarm_since_ns=NOW_NS, alarm_reason=reason))
    for text in (reason, "1 [bold]a", "[/x]", "2 a\\x1b[2J"):
        assert text in terminal.text


def test_names_and_units_stand_in_place_of_numbers(terminal: Terminal) -> None:
    with live_view(terminal, NAMED) as view:
        fill(view, 4, state())
    rows = [line.split() for line in terminal.lines if "▁" in line or "·" in line]
    assert [row[0] for row in rows] == ["1", "2", "sensor3", "sensor4"]
    assert rows[1][1:5] == ["oil", "pressure", "1.5", "bar"]


def test_what_is_no_sensor_has_no_row_and_an_alarm_names_sensors_as_a_person_does(
    terminal: Terminal,
) -> None:
    labels = (None, Label("oil pressure"), None, Label("sensor4"))
    reason = "T2 is 30: sensor2 2%, sensor4 98%"
    alarm = state(alarm_since_ns=before_ns(4), alarm_reason=reason, sensors=labels)
    with live_view(terminal, labels) as view:
        view.refresh(alarm, prediction(values=(1.0, 2.0, 3.0, 4.0)).sample)
    rows = [line.split()[:4] for line in terminal.lines if line]
    assert rows[1:3] == [["2", "oil", "pressure", "2"], ["sensor4", "4", "◀", "4"]]
    assert [row[0] for row in rows] == ["quartet", "2", "sensor4", "prediction", "streaming"]
    assert "T2 is 30: oil pressure 2%, sensor4 98%" in terminal.text


def test_the_newest_samples_are_never_cut_off(terminal: Terminal) -> None:
    with live_view(terminal, NAMED) as view:
        for number in range(500):
            value = 100.0 if number >= 497 else 0.0
            view.refresh(state(), prediction(number, values=(value, 0.0, 0.0, 0.0)).sample)
    (row,) = (line for line in terminal.lines if "inlet" in line)
    assert row.endswith("▁▁▁███ 100")
    assert len(row) == 80
    assert sum(mark in BARS for mark in row) > 35


# On small terminals


@pytest.mark.parametrize("columns", [20, 30, 44, 60, 80, 200])
@pytest.mark.parametrize("rows", [3, 4, 5, 6, 7, 8, 9, 10, 24])
def test_prediction_values_and_status_are_kept_before_all_else(columns: int, rows: int) -> None:
    terminal = Terminal(columns, rows)
    with live_view(terminal, NAMED) as view:
        fill(view, 30, ALARM)
        shown = terminal.lines
    joined = " ".join(shown)
    assert len(shown) == rows
    assert "True" in joined
    if rows >= 5 or columns > 30:
        assert all(value in joined for value in ("29", "1.5", "-2.25", "nan"))
    if rows >= 5:
        assert "streaming to" in joined
    assert ("quartet" in joined) is (rows >= 9)
    assert ("1 i" in joined) is (rows >= 8)
    assert ("▁" in joined) is (rows >= 8 and columns >= 60)
    terminal.close()


def test_a_terminal_without_room_is_left_alone() -> None:
    terminal = Terminal(80, 2)
    with live_view(terminal) as view:
        fill(view, 3, state())
        terminal.write("a line\n")
        assert terminal.lines == ["a line", ""]
    terminal.close()


# Beside others


def test_lines_of_others_scroll_by_above_it(terminal: Terminal) -> None:
    terminal.write("before\n")
    with live_view(terminal) as view:
        for number in range(60):
            fill(view, 1, state())
            terminal.write(f"broker: line {number}\n")
        fill(view, 2, state())
        above, below = terminal.lines[:16], terminal.lines[16:]
    assert above == [f"broker: line {number}" for number in range(45, 60)] + [""]
    assert below[0] == "quartet press-4 → bench"
    assert [line.split()[0] for line in below if line] == [
        *("quartet", "sensor1", "sensor2", "sensor3", "sensor4", "prediction", "streaming"),
    ]


def test_half_a_line_of_another_is_continued_where_it_ended(terminal: Terminal) -> None:
    with live_view(terminal) as view:
        fill(view, 1, state())
        terminal.write("half ")
        fill(view, 1, state())
        terminal.write("and half")
        assert terminal.lines[0] == "half and half"


def test_after_its_end_the_view_stands_and_what_follows_is_below_it(terminal: Terminal) -> None:
    with live_view(terminal) as view:
        fill(view, 3, state())
    for number in range(10):
        terminal.write(f"after {number}\n")
    assert terminal.lines[-11:-1] == [f"after {number}" for number in range(10)]
    assert terminal.text.count("sensor1") == 1
    assert "streaming to bench:8061" in terminal.text


@pytest.mark.parametrize(("columns", "rows"), [(100, 30), (60, 12), (80, 5)])
def test_a_terminal_of_another_size_is_drawn_anew(
    terminal: Terminal, columns: int, rows: int
) -> None:
    with live_view(terminal) as view:
        fill(view, 3, state())
        terminal.resize(columns, rows)
        fill(view, 3, state())
        terminal.write("a line\n")
        fill(view, 3, state())
        assert terminal.text.count("streaming to bench:8061") == 1
        assert terminal.lines[0] == "a line"
        assert sum("True" in line or "prediction" in line for line in terminal.lines) == 1


class Elsewhere(io.StringIO):
    """A stream that is, or is not, a terminal of this encoding."""

    def __init__(self, encoding: str, *, is_terminal: bool = True) -> None:
        super().__init__()
        self._encoding, self._is_terminal = encoding, is_terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("stream", "term", "can"),
    [
        (Elsewhere("utf-8"), "xterm", True),
        (Elsewhere("utf-8"), "dumb", False),
        (Elsewhere("ascii"), "xterm", False),
        (Elsewhere("iso8859-1"), "xterm", False),
        (Elsewhere("utf-8", is_terminal=False), "xterm", False),
    ],
)
def test_a_terminal_that_cannot_draw_gets_no_view(
    stream: Elsewhere, term: str, can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    assert can_draw(stream) is can
