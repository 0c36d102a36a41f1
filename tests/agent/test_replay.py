"""A recording as a source: which rows, and when each of them is due."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.clock import VirtualClock
from agent.config.source import ReplaySettings
from agent.errors import ExcerptError
from agent.model import Reading
from agent.sampler import Sampler
from agent.sources.replay import Replay
from quartet.errors import SettingsError
from wire.sensors import Label

BEGIN = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
AT_S = (0.0, 0.5, 1.5, 1.5, 9.0, 4.0, 5.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Rows whose first value is their number; the clock falls back once."""
    path = tmp_path / "some.csv"
    lines = [
        f"{(BEGIN + timedelta(seconds=at_s)).isoformat()},{row},{row * row % 7},0.5,{-row}"
        for row, at_s in enumerate(AT_S)
    ]
    path.write_text("time,a,b,c,d\n" + "\n".join(lines) + "\n")
    return path


def replay(path: Path, *, is_paced: bool = False, **more: object) -> Replay:
    columns = {"columns": ("a", "b", "c", "d"), "time": "time", **more}
    return Replay(ReplaySettings(str(path), **columns), is_paced=is_paced)


def numbers(source: Replay) -> list[int]:
    found = []
    while (values := source.read()) is not None:
        found.append(int(values[0]))
    source.close()
    return found


@pytest.mark.parametrize(
    ("since", "until", "rows"),
    [
        ("", "", [0, 1, 2, 3, 4, 5, 6]),
        ("1.5", "", [2, 3, 4, 5, 6]),
        ("", "1.5", [0, 1]),
        ("1.5", "5", [2, 3, 5]),
        ("2026-11-24T10:00:01", "2026-11-24 10:00:05", [2, 3, 5]),
        ("2026-11-24T12:00:01+02:00", "", [2, 3, 4, 5, 6]),
        ("-1", "1e9", [0, 1, 2, 3, 4, 5, 6]),
        ("10:00:01", "10:00:05", [2, 3, 5]),
    ],
)
def test_rows_are_those_from_one_moment_to_another(
    path: Path, since: str, until: str, rows: list[int]
) -> None:
    assert numbers(replay(path, since=since, until=until)) == rows
    assert numbers(replay(path, since=since, until=until, is_paced=True)) == rows


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"since": "100"}, "has no row from --from to --to"),
        ({"since": "yesterday"}, "expected a date and time such as .*, got 'yesterday'"),
        ({"until": "nan"}, "expected a time, got 'nan'"),
        ({"until": "11/12/2026"}, "expected a date and time such as .*, got '11/12/2026'"),
    ],
)
def test_a_moment_that_is_none_is_wrong_use(path: Path, more: dict[str, str], message: str) -> None:
    with pytest.raises(ExcerptError, match=message) as raised:
        replay(path, **more)
    assert isinstance(raised.value, SettingsError)


@pytest.mark.parametrize(
    ("since", "until", "is_paced"), [("", "", True), ("1", "", False), ("", "1", False)]
)
def test_a_recording_without_times_has_no_pace_and_no_parts(
    tmp_path: Path, since: str, until: str, *, is_paced: bool
) -> None:
    path = tmp_path / "untimed.csv"
    path.write_text("1,0,3,9\n2,5,1,7\n1,2,2,8\n")
    with pytest.raises(ExcerptError, match="has no column of times: name it with --time"):
        Replay(
            ReplaySettings(str(path), since=since, until=until, columns=(1, 2, 3, 4)),
            is_paced=is_paced,
        )


def test_a_recording_whose_time_cannot_be_read_has_no_pace(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("time,a,b,c,d\n" + "".join(f"soon,{n},{n % 3},1,{-n}\n" for n in range(9)))
    with pytest.raises(ExcerptError, match=r"odd.csv: has no column of times"):
        replay(path, is_paced=True)


class Taken:
    """Keeps when each reading came; the broker answers none."""

    unanswered = 0

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.at_s: list[float] = []

    def append(self, _: Reading) -> None:
        self.at_s.append(self._clock.now_ns / 1e9)

    def finish(self) -> None:
        """Nothing is held back."""


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_rows_are_taken_at_their_recorded_intervals(path: Path, speed: float) -> None:
    clock = VirtualClock()
    taken = Taken(clock)
    Sampler(replay(path, is_paced=True, speed=speed), taken, 0, clock, lambda: None).run()
    due_s = [0.0, 0.5, 1.5, 1.5, 9.0, 9.0, 10.0]  # a clock that falls back costs no time
    assert taken.at_s == pytest.approx([at_s / speed for at_s in due_s])


def test_a_paced_recording_that_is_looped_goes_on_at_once(path: Path) -> None:
    source = replay(path, is_paced=True, loop=True)
    for _ in range(2 * len(AT_S)):
        source.read()
    assert source.due_ns == 20_000_000_000
    source.close()


def test_a_clock_that_was_set_by_years_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "set.csv"
    times = ["1970-01-01 00:00:01", "1970-01-01 00:00:02", "2026-11-24 10:00:00"]
    path.write_text(
        "time,a,b,c,d\n" + "".join(f"{at},{n},3.5,1.25,-2.5\n" for n, at in enumerate(times))
    )
    source = Replay(ReplaySettings(str(path), columns=("a", "b", "c", "d")), is_paced=True)
    due_ns = []
    while source.read():
        due_ns.append(source.due_ns)
    source.close()
    assert due_ns[-1] == 1_000_000_000
    assert "line 4 is 20781 days behind the row before: it is not waited for" in caplog.text


def test_a_label_has_its_unit_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("v [mm/s],t (°C),c,d\n" + "0.5,7.25,3,4\n0.25,7.5,4,3\n0.75,7,3,5\n")
    source = Replay(ReplaySettings(str(path)))
    source.close()
    assert source.labels == (Label("v", "mm/s"), Label("t", "°C"), Label("c"), Label("d"))


def test_what_has_no_column_is_no_sensor(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("v,t\n0.5,7.25\n0.25,7.5\n")
    source = Replay(ReplaySettings(str(path), columns=("t", "v")))
    source.close()
    assert source.labels == (Label("t"), Label("v"), None, None)
