"""Which columns are taken for sensors, as loggers write them: said, chosen, or refused."""

import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from quartet.errors import TableError
from quartet.recording import Choice, Recording

ROWS = 40
S0 = 1_714_564_800  # 2024-05-01T12:00:00Z

_CHANCE = random.Random(17)  # noqa: S311 - the same each time


def g() -> str:
    """A reading of a sensor."""
    return f"{_CHANCE.gauss(20, 1):.2f}"


def many(row: Callable[[int], str]) -> str:
    return "".join(f"{row(number)}\n" for number in range(ROWS))


def four(delimiter: str = ",") -> str:
    return delimiter.join(g() for _ in range(4))


def german(number: int) -> str:
    return f"{number};{four(';')}".replace(".", ",")


LVM = (
    "LabVIEW Measurement\t\nSeparator\tTab\nDecimal_Separator\t,\nDate\t2024/05/01\n"
    "***End_of_Header***\t\n\t\nChannels\t4\t\t\t\t\nSamples\t1\t1\t1\t1\t\n"
    "X0\t0,0E+0\t0,0E+0\t0,0E+0\t0,0E+0\t\n***End_of_Header***\t\t\t\t\t\n"
    "X_Value\ta\tb\tc\td\tComment\n"
)
INFLUX = (
    "#group,false,false,true,false,false,false,false\n"
    "#datatype,string,long,dateTime:RFC3339,double,double,double,double\n"
    "#default,_result,,,,,,\n,result,table,_time,a,b,c,d\n"
)
TOA5 = (
    '"TOA5","CR1000","CR1000","12345","CR1000.Std.22"\n"TIMESTAMP","RECORD","a","b","c","d"\n'
    '"TS","RN","Volts","Deg C","Deg C","Deg C"\n"","","Avg","Avg","Avg","Avg"\n'
)
GRAPHTEC = (
    "Vendor,GRAPHTEC Corporation\nModel,GL240\nSampling interval,1s\nTotal data points,40\n"
    "AMP settings\nCH,Signal name,Input,Range,Filter,Span\nCH1,CH1,DC,10V,Off,0.0,10.0,V\n"
    "Data\nNumber,Date&Time,ms,a,b,c,d,Alarm\nNO.,Time,ms,V,V,V,V,A1\n"
)

BOUND: dict[str, tuple[str, str]] = {
    "four columns": (many(lambda _: four()), ""),
    "ADC counts": (many(lambda _: ",".join(str(_CHANCE.randint(400, 600)) for _ in "1234")), ""),
    "id without a name": (many(lambda n: f"{n},{four()}"), "ignored: column 1"),
    "pandas": (",a,b,c,d\n" + many(lambda n: f"{n},{four()}"), "ignored: column 1"),
    "pandas without names": (",0,1,2,3\n" + many(lambda n: f"{n},{four()}"), 'sensor1 = "0"'),
    "R": ("a b c d\n" + many(lambda n: f'"{n}" {four(" ")}'), "ignored: column 1"),
    "ThingSpeak": (
        "created_at,entry_id,a,b,c,d\n"
        + many(lambda n: f"2024-05-01 12:00:{n:02d} UTC,{n + 9},{four()}"),
        'time = "created_at", ignored: entry_id',
    ),
    "Excel in Europe": ("n;a;b;c;d\n" + many(german), "ignored: n"),
    "date and time apart": (
        "Datum;Zeit;a;b;c;d\n" + many(lambda n: f"13.02.2024;08:00:{n:02d};{four(';')}"),
        'time = "Datum" and "Zeit"',
    ),
    "LabVIEW": (
        LVM + many(lambda n: f"{n / 1000:.6f}\t" + four("\t")).replace(".", ","),
        'time = "X_Value"',
    ),
    "Campbell": (
        TOA5 + many(lambda n: f'"2024-05-01 12:{n:02d}:00",{n},{four()}'),
        'time = "TIMESTAMP", ignored: RECORD',
    ),
    "Graphtec": (
        GRAPHTEC + many(lambda n: f"{n + 1},2024/05/01 12:00:{n:02d},{n % 2}00,{four()},LLLL"),
        'time = "Date&Time" and "ms", ignored: Number, Alarm',
    ),
    "Grafana": (
        'sep=,\n"Time","a","b","c","d"\n' + many(lambda n: f'"{(S0 + n) * 1000}",{four()}'),
        'time = "Time"',
    ),
    "Arduino's monitor": (
        many(lambda n: f"12:34:{n:02d}.123 -> {four(' ')}"),
        "time = column 1",
    ),
    "milliseconds since the start": (
        "ms,a,b,c,d\n" + many(lambda n: f"{9000 + n * 100 + n * 7 % 3},{four()}"),
        'time = "ms"',
    ),
    "bars": (
        "| t | a | b | c | d |\n|---|---|---|---|---|\n"
        + many(lambda n: f"| {n} | {four(' | ')} |"),
        'time = "t"',
    ),
    "names in a comment": (
        "# t a b c d\n" + many(lambda n: f"{n * 0.5:8.2f}  {four('  ')}"),
        'time = "t"',
    ),
    "delimiters at line ends": ("a,b,c,d\n" + many(lambda _: four() + ","), ""),
    "a label": ("a,b,c,d,label\n" + many(lambda n: f"{four()},{n // 30}"), "ignored: label"),
    "words": (
        "a,b,c,d,state\n" + many(lambda n: f"{four()},{'on' if n % 3 else 'off'}"),
        "ignored: state",
    ),
    "hours, minutes, seconds": (
        "hour,minute,second,a,b,c,d\n" + many(lambda n: f"12,{n // 30},{n % 30},{four()}"),
        "ignored: hour, minute, second",
    ),
    "our own names": (
        "sensor1,sensor2,sensor3,sensor4,x\n" + many(lambda n: f"{n},{four()}"),
        "ignored: x",
    ),
    "a slow temperature": (
        many(lambda n: f"{20 + n // 7 * 0.1 + (n % 5 == 0) * 0.1:.1f},{g()},{g()},{g()}"),
        "",
    ),
    "names and units in the cells": (
        many(lambda _: f"a: {g()} C, b: {g()} %, c={g()} V DC, d: {g()}"),
        'sensor1 = "a"',
    ),
    "a name for a date with a time": (
        "time a b c d\n" + many(lambda n: f"2024-05-01 12:00:{n:02d} {four(' ')}"),
        'time = "time" and column 2',
    ),
    "numbers with units beside an index": (
        "n,a,b,c,d,range\n" + many(lambda n: f"{n},{g()} V DC,{g()},{g()},{g()},10 V"),
        "ignored: n, range",
    ),
    "a scope": (
        "X,a,b,c,d,Start,Increment,\nSequence,Volt,Volt,Volt,Volt,-1.2e-03,2e-06\n"
        + many(lambda n: f"{n},{four()},,"),
        "",
    ),
    "a number above the names": ("Rate,10,,\na,b,c,d\n" + many(lambda _: four()), ""),
    "a constant": (many(lambda _: f"5,{g()},{g()},{g()}"), ""),
    "an id that starts again": (many(lambda n: f"{n % 20},{four()}"), "ignored: column 1"),
}


REFUSED: dict[str, tuple[str, str]] = {
    "five sensors": ("v;w;x;y;z\n" + many(lambda _: f"{four(';')};{g()}"), "--columns v,w,x,y"),
    "three sensors": ("a,b,c\n" + many(lambda _: f"{g()},{g()},{g()}"), "--columns a,b,c"),
    "three sensors and a clock": (
        many(lambda n: f"{1000 + n * 100 + n * 7 % 3},{g()},{g()},{g()}"),
        "--columns 2,3,4",
    ),
    "an id that repeats": (
        "id,a,b,c,d\n" + many(lambda n: f"{n * 7 % 5},{four()}"),
        "--columns id,a,b,c",
    ),
    "an id that starts again often": (many(lambda n: f"{n % 8},{four()}"), "--columns 2,3,4,5"),
    "an id that falls late": (
        "id,a,b,c,d\n" + many(lambda n: f"{n if n < 38 else 60 - n},{four()}"),
        "id",
    ),
    "three sensors and a label": (
        "a,b,c,odd\n" + many(lambda n: f"{g()},{g()},{g()},{n // 30}"),
        "--columns a,b,c",
    ),
    "a table's number": (
        INFLUX + many(lambda n: f",,0,2024-05-01T12:00:{n:02d}Z,{four()}"),
        "--columns a,b,c,d",
    ),
    "a slow clock": (many(lambda n: f"{n // 2},{g()},{g()},{g()}"), "--columns 2,3,4"),
    "a channel that never reads": (
        "a,b,c,d\n" + many(lambda _: f"{g()},NA,{g()},{g()}"),
        "--columns a,c,d",
    ),
    "names with commas": (
        '"a, x",b,c,d,e\n' + many(lambda _: f"{four()},{g()}"),
        "--columns 1,b,c,d",
    ),
    "two of one name": ("a,a,c,d,e\n" + many(lambda _: f"{four()},{g()}"), "--columns 1,2,c,d"),
    "Home Assistant": (
        "entity_id,state,last_changed\n"
        + many(lambda n: f"sensor.t,{g()},2024-05-01T12:00:{n:02d}Z"),
        "--columns state",
    ),
    "no numbers": ("a,b\n" + many(lambda _: "x,5 V"), "the file has no rows"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a file.csv"


@pytest.mark.parametrize("kind", BOUND)
def test_four_clear_sensors_are_bound_and_said(kind: str, path: Path) -> None:
    text, said = BOUND[kind]
    path.write_text(text)
    with Recording(path) as recording:
        assert said in str(recording.binding)
        names = [sensor.name for sensor in recording.binding.sensors if sensor]
        assert names in (["a", "b", "c", "d"], [""] * 4, ["0", "1", "2", "3"]) or "sensor1" in names
        rows = list(recording)
    assert len(rows) == ROWS
    assert all(math.isfinite(value) for row in rows for value in row.values)
    if "time" in said:
        times = [row.at_ns for row in rows if row.at_ns is not None]
        assert len(times) == ROWS
        assert times == sorted(times)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_clear_is_refused_with_a_command_that_does(kind: str, path: Path) -> None:
    text, command = REFUSED[kind]
    path.write_text(text)
    with pytest.raises(TableError) as raised:
        Recording(path, command="broker evaluate x")
    assert command in str(raised.value)
    if "--columns" in command:
        columns = command.removeprefix("--columns ").split(",")
        with Recording(path, Choice(tuple(columns))) as recording:
            assert len(list(recording)) == ROWS


def test_the_evidence_may_come_late(path: Path) -> None:
    rows = [f"{number},{four()}" for number in range(9000)]
    path.write_text("\n".join(rows) + "\n")
    with Recording(path) as recording:
        assert "ignored: column 1" in str(recording.binding)
    rows += [f"{number * 7 % 11},{four()}" for number in range(3000)]
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(TableError, match="got 5"):
        Recording(path)


def test_words_may_come_late(path: Path) -> None:
    cells = ["x", *[g() for _ in range(5000)], *["x"] * 6000]
    path.write_text("".join(f"{four()},{cell}\n" for cell in cells))
    with Recording(path) as recording:
        assert "ignored: column 5" in str(recording.binding)


def test_the_columns_and_the_time_are_as_chosen(path: Path) -> None:
    path.write_text("t,u,a,b,c\n" + "".join(f"{n},{n * 2},{n % 3},{n % 5},5\n" for n in range(9)))
    with Recording(path, Choice(("C", "3"), "u")) as recording:
        assert str(recording.binding) == (
            'sensor1 = "c", sensor2 = "a", sensor3 = none (always 0), sensor4 = none (always 0),'
            ' time = "u", ignored: t, b'
        )
        assert list(recording)[2][1:3] == (4_000_000_000, (5, 2, 0, 0))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(("nope",)), "no column 'nope'"),
        (Choice(("9",)), "no column '9'"),
        (Choice(("a", "1")), '"a" is named twice'),
        (Choice(("w",)), '"w" holds no numbers'),
        (Choice(("b",), "nope"), "no column 'nope'"),
        (Choice(("x",)), "several columns are called 'x': give a number (4, 5)"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(choice: Choice, message: str, path: Path) -> None:
    path.write_text("a,b,w,x,x\n1,2,y,3,4\n2,2,z,3,5\n")
    with pytest.raises(TableError) as raised:
        Recording(path, choice)
    assert message in str(raised.value)


def test_a_decimal_comma_is_said_with_the_columns(path: Path) -> None:
    path.write_text("a;b;c;d\n" + many(lambda _: four(";").replace(".", ",")))
    with Recording(path) as recording:
        assert str(recording.binding).endswith('"d", numbers with a decimal comma')
        assert recording.remarks == []
    path.write_text("a;b;c;d\n" + many(lambda _: four(";")))
    with Recording(path) as recording:
        assert "comma" not in str(recording.binding)


def test_units_come_from_a_row_or_the_names(path: Path) -> None:
    path.write_text("t,a,b,c,d\n[s],V,mV,°C,bar\n" + many(lambda n: f"{n},{four()}"))
    with Recording(path) as recording:
        assert [s.unit for s in recording.binding.sensors if s] == ["V", "mV", "°C", "bar"]
    path.write_text("a (V),b [mV],c,[V]\n" + many(lambda _: four()))
    with Recording(path) as recording:
        sensors = [sensor for sensor in recording.binding.sensors if sensor]
        assert [sensor.unit for sensor in sensors] == ["V", "mV", "", "V"]
        assert [sensor.plain_name for sensor in sensors] == ["a", "b", "c", "[V]"]
    path.write_text("a V,b_mV,c bar,mV\nV,mV,,V\n" + many(lambda _: four()))
    with Recording(path) as recording:
        sensors = [sensor for sensor in recording.binding.sensors if sensor]
        assert [sensor.plain_name for sensor in sensors] == ["a", "b", "c bar", "mV"]


def test_a_unit_in_the_cells_is_known_and_must_stay_the_same(path: Path) -> None:
    path.write_text("1.5 V,2 A,3 C,4 %\n1.7 V,2 A,3 C,5 %\n900 mV,2 A,3 C,4 %\n1.5 V,2 A,3 C,4 %\n")
    with Recording(path) as recording:
        assert [s.unit for s in recording.binding.sensors if s] == ["V", "A", "C", "%"]
        with pytest.raises(TableError, match="line 3, column 1: '900 mV' is not a number"):
            list(recording)
