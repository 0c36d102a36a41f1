"""Exported rows as Parquet: all bits of each value, and what the columns are."""

import io
import json
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.export.parquet import ParquetFile
from broker.export.rows import Rows, names_of
from broker.recorder.reader import RecordedSample
from quartet.channels import Values
from wire.sensors import Label

SENSORS = (Label("bearing", "g"), Label("motor", "A"), None, Label("oil"))

# A NaN may carry a number of its own: a float of Python's keeps it.
words = st.binary(min_size=4, max_size=4).filter(
    lambda each: each[2] & 0x40 or each[3] & 0x7F != 0x7F
)
at_ns = st.integers(0, 2**63 - 1)


def written(parts: list[Rows], *, with_statistics: bool = False) -> pa.Table:
    file = io.BytesIO()
    writer = ParquetFile(
        file, names_of(SENSORS), agent_id="a", sensors=SENSORS, with_statistics=with_statistics
    )
    for rows in parts:
        writer.write(rows)
    writer.close()
    return pq.read_table(io.BytesIO(file.getvalue()))


def sample(id_: int, values: Values, taken_ns: int = 0, session: str = "5" * 32) -> RecordedSample:
    return RecordedSample("a", session, id_, values, taken_ns, taken_ns, id_ % 2 == 0)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.lists(words, min_size=4, max_size=4), at_ns), min_size=1))
def test_each_bit_of_a_value_and_of_a_time_comes_back(found: list[tuple[list[bytes], int]]) -> None:
    samples = [
        sample(id_, struct.unpack("<4f", b"".join(four)), taken_ns)
        for id_, (four, taken_ns) in enumerate(found)
    ]
    middle = len(samples) // 2
    parts = [Rows(each, {}) for each in (samples[:middle], samples[middle:]) if each]
    table = written(parts)
    for channel, name in enumerate(names_of(SENSORS)):
        column = table.column(name).combine_chunks()
        assert column.null_count == 0
        read = column.buffers()[1].to_pybytes()
        assert read[: 4 * len(found)] == b"".join(four[channel] for four, _ in found)
    assert table.column("time").cast(pa.int64()).to_pylist() == [taken for _, taken in found]
    assert table.column("id").to_pylist() == list(range(len(found)))
    assert table.column("prediction").to_pylist() == [id_ % 2 == 0 for id_ in range(len(found))]


def test_the_file_names_units_agent_and_versions() -> None:
    said = {("5" * 32, 0): "because"}
    one, other = sample(0, (1.0, 2.0, 3.0, 4.0)), sample(1, (1.0, 2.0, 3.0, 4.0), session="6" * 32)
    told = [{"T2": (1.0, 25.0)}, None]
    table = written([Rows([one, other], said, told)], with_statistics=True)
    assert table.column_names[3:7] == ["bearing (g)", "motor (A)", "sensor3", "oil"]
    assert table.field("bearing (g)").metadata == {
        b"channel": b"1",
        b"name": b"bearing",
        b"unit": b"g",
    }
    assert table.field("sensor3").metadata == {b"channel": b"3"}
    about = json.loads(table.schema.metadata[b"quartet"])
    assert about["agent"] == "a"
    assert set(about) == {"agent", "quartet", "python"}
    assert table.column("session").to_pylist() == ["5" * 32, "6" * 32]
    assert table.column("explanation").to_pylist() == ["because", None]
    assert table.column("statistics").to_pylist() == ['{"T2":[1.0,25.0]}', None]


def test_without_the_library_an_export_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    from broker.__main__ import main

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "broker.export.parquet", raising=False)
    out = tmp_path / "a.parquet"
    assert main(["export", "a", str(out), "--store", str(tmp_path / "none.db")]) == 2
    told = capsys.readouterr().err
    assert "pyarrow is missing: pip install 'pyarrow" in told
    assert not out.exists()
