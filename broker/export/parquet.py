"""An export as Parquet. Needs pyarrow."""

import json
import platform
from array import array
from collections.abc import Sequence
from itertools import chain
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from broker.export.rows import Rows
from broker.export.text import in_json
from quartet.channels import CHANNELS
from quartet.distribution import version
from wire.sensors import Sensors

_TIME = pa.timestamp("ns", tz="UTC")

_NAMED = "quartet"
"""The key of the metadata that is ours."""


class ParquetFile:
    """Writes an export as Parquet, a row group for each call. OSError where that fails."""

    def __init__(
        self,
        file: BinaryIO,
        names: Sequence[str],
        *,
        agent_id: str,
        sensors: Sensors | None,
        with_statistics: bool = False,
    ) -> None:
        self._with_statistics = with_statistics
        columns = [
            pa.field("time", _TIME, nullable=False),
            pa.field("session", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            pa.field("id", pa.int32(), nullable=False),
            *_sensor_fields(names, sensors),
            pa.field("prediction", pa.bool_(), nullable=False),
            pa.field("arrived", _TIME, nullable=False),
            pa.field("explanation", pa.string()),
        ]
        if with_statistics:
            columns.append(pa.field("statistics", pa.string()))
        told = {"agent": agent_id, "quartet": version(), "python": platform.python_version()}
        self._schema = pa.schema(columns, metadata={_NAMED: json.dumps(told)})
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, rows: Rows) -> None:
        """Write some rows."""
        samples = rows.samples
        values = array("f", chain.from_iterable(each.values for each in samples))
        said = rows.said
        columns = [
            _times([each.sampled_at_ns for each in samples]),
            pa.array([each.session_id for each in samples]).dictionary_encode(),
            pa.array([each.id for each in samples], pa.int32()),
            *(_floats(values[channel::CHANNELS]) for channel in range(CHANNELS)),
            pa.array([each.prediction for each in samples]),
            _times([each.arrived_at_ns for each in samples]),
            pa.array([said.get((each.session_id, each.id)) for each in samples], pa.string()),
        ]
        if self._with_statistics:
            told = rows.statistics or ()
            texts = [None if each is None else in_json(each) for each in told]
            columns.append(pa.array(texts, pa.string()))
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        """Write what comes behind the rows."""
        self._writer.close()


def _sensor_fields(names: Sequence[str], sensors: Sensors | None) -> list[pa.Field]:
    fields = []
    for number, name in enumerate(names, start=1):
        label = sensors[number - 1] if sensors else None
        told = {"channel": str(number)}
        if label:
            told |= {"name": label.name, "unit": label.unit}
        fields.append(pa.field(name, pa.float32(), nullable=False, metadata=told))
    return fields


def _times(at_ns: Sequence[int]) -> pa.Array:
    return pa.array(array("q", at_ns), pa.int64()).cast(_TIME)


def _floats(values: "array[float]") -> pa.Array:
    """Bit for bit: also what a NaN has besides."""
    return pa.Array.from_buffers(pa.float32(), len(values), [None, pa.py_buffer(values)])
