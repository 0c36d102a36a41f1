"""Exported rows as text: what was written is read again, bit for bit."""

import csv
import io
import json
import math
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.export.cells import Numbers, Times, iso
from broker.export.rows import Rows, names_of
from broker.export.text import CsvText, JsonLines
from broker.recorder.reader import RecordedSample
from quartet.recording import Choice, Recording
from wire.sensors import Label

SESSION = "0123456789abcdef" * 2
DAY_NS = 86_400 * 10**9

# What an instrument writes for an overload is also a value that a sensor may have.
floats = st.floats(width=32) | st.sampled_from(
    [-0.0, struct.unpack("<f", struct.pack("<f", 9.9e37))[0], 3.4028234663852886e38, 1e-45]
)
values = st.tuples(floats, floats, floats, floats)
texts = st.text(max_size=40)
times = st.integers(0, 40_000 * DAY_NS)

many = settings(derandomize=True, deadline=None)


def bits(value: float) -> str:
    """Of a float32; a NaN is a NaN."""
    return "nan" if math.isnan(value) else struct.pack("<f", value).hex()


def of(found: Sequence[tuple[tuple[float, ...], int, str]]) -> Rows:
    samples = [
        RecordedSample("a", SESSION, id_, each, at_ns, at_ns + 7000, id_ % 2 == 0)  # type: ignore[arg-type]
        for id_, (each, at_ns, _) in enumerate(found)
    ]
    said = {(SESSION, id_): text for id_, (*_, text) in enumerate(found) if text}
    return Rows(samples, said)


rows = st.lists(st.tuples(values, times, texts), min_size=1, max_size=20)


@many
@given(rows)
def test_csv_gives_each_float32_and_each_text_again(
    found: list[tuple[tuple[float, ...], int, str]],
) -> None:
    text = CsvText(names_of(None))
    written = text.header + text.of(of(found))
    head, *read = csv.reader(io.StringIO(written, newline=""))
    assert head == [
        *("time", "session", "id", "sensor1", "sensor2", "sensor3", "sensor4"),
        *("prediction", "arrived", "explanation"),
    ]
    assert len(read) == len(found)
    for id_, (cells, (expected, at_ns, said)) in enumerate(zip(read, found, strict=True)):
        assert cells[:3] == [iso(at_ns), SESSION, str(id_)]
        assert [bits(float(each)) for each in cells[3:7]] == [bits(each) for each in expected]
        assert cells[7] == str(int(id_ % 2 == 0))
        assert cells[8] == iso(at_ns + 7000)
        assert cells[9].removeprefix("'") == said.removeprefix("'")


@many
@given(rows)
def test_json_lines_give_each_float32_and_each_text_again(
    found: list[tuple[tuple[float, ...], int, str]],
) -> None:
    sensors = (Label('100 %d "x"', "°C"), None, Label("id"), Label("id"))
    names = names_of(sensors)
    text = JsonLines(names)
    lines = (text.header + text.of(of(found))).removesuffix("\n").split("\n")
    for id_, (line, (expected, at_ns, said)) in enumerate(zip(lines, found, strict=True)):
        read = json.loads(line, parse_constant=lambda name: 1 / len(name[:0]))  # strict JSON
        assert list(read) == ["time", "session", "id", *names, *list(read)[7:]]
        assert (read["time"], read["session"], read["id"]) == (iso(at_ns), SESSION, id_)
        given_ = [math.nan if read[name] is None else float(read[name]) for name in names]
        assert [bits(each) for each in given_] == [bits(each) for each in expected]
        assert read["prediction"] is (id_ % 2 == 0)
        assert read["explanation"] == (said or None)


@many
@given(rows=st.lists(values, min_size=2, max_size=20), begin_ns=times)
def test_a_simulation_reads_the_csv_bit_for_bit(
    rows: list[tuple[float, ...]], begin_ns: int
) -> None:
    found = [(each, begin_ns + 10**8 * id_, "said") for id_, each in enumerate(rows)]
    text = CsvText(names_of((Label("a", "V"), Label("b, c", "g"), None, Label("=1+2"))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "export.csv")
        path.write_text(text.header + text.of(of(found)))
        with Recording(path, Choice(("4", "5", "6", "7"), "1")) as recording:
            read = list(recording)
    assert [[*map(bits, row.values)] for row in read] == [[*map(bits, each)] for each in rows]
    assert [row.at_ns for row in read] == [at_ns // 1000 * 1000 for _, at_ns, _ in found]


def test_the_columns_of_an_export_are_found_without_being_named(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    text = CsvText(names_of((Label("bearing", "g"), Label("motor", "A"), None, Label("oil", "°C"))))
    found = [
        ((id_ * 7 % 5 / 4, 1.5 + id_ % 3, id_ * 3 % 7 / 8, 40 - id_ * 5 % 9), id_ * 10**8, "")
        for id_ in range(50)
    ]
    path.write_text(text.header + text.of(of(found)))
    with Recording(path) as recording:
        told = str(recording.binding)
    assert told == (
        'sensor1 = "bearing (g)", sensor2 = "motor (A)", sensor3 = "sensor3", sensor4 = "oil (°C)",'
        ' time = "time", ignored: session, id, prediction, arrived, explanation'
    )


# The second half are names that columns get by themselves.
told = st.sampled_from(["a", "b", "sensor2", "sensor3", "sensor3 a", "time"]) | texts


@many
@given(st.lists(st.none() | st.builds(Label, told), min_size=4, max_size=4))
def test_names_of_columns_are_all_different(labels: list[Label | None]) -> None:
    names = [*names_of(tuple(labels)), "time", "session", "id", "prediction", "arrived"]
    assert len(set(names)) == len(names)


@many
@given(st.lists(st.integers(0, 2**63 - 1) | times, max_size=30))
def test_a_time_is_written_the_same_whatever_came_before(found: list[int]) -> None:
    written = Times()
    assert [written[at_ns] for at_ns in found] == [iso(at_ns) for at_ns in found]


def test_what_is_remembered_of_numbers_has_an_end() -> None:
    numbers = Numbers()
    for number in range(40_000):
        assert float(numbers[number / 8]) == number / 8
    assert len(numbers) <= 1 << 14
    assert (numbers[0.0], numbers[-0.0], numbers[0.0]) == ("0", "-0", "0")


def test_statistics_come_last_and_only_where_they_are_known() -> None:
    told = [{"T2": (1.5, 25.0), "odd": (math.inf, math.nan)}, None]
    found = of([((1.0, 2.0, 3.0, 4.0), 0, "because, of"), ((1.0, 2.0, 3.0, 4.0), 0, "")])
    rows = Rows(found.samples, found.said, told)
    table = CsvText(names_of(None), with_statistics=True)
    head, first, second = csv.reader(io.StringIO(table.header + table.of(rows), newline=""))
    assert head[-2:] == ["explanation", "statistics"]
    assert first[-2] == "because, of"
    assert json.loads(first[-1]) == {"T2": [1.5, 25.0], "odd": ["inf", None]}
    assert second[-2:] == ["", ""]
    lines = JsonLines(names_of(None), with_statistics=True).of(rows).splitlines()
    assert [json.loads(line)["statistics"] for line in lines] == [json.loads(first[-1]), None]
