"""What the checksums of samples cost a store: their share of the time of its commits."""

import tempfile
import time
from pathlib import Path

from broker.model import Answer, Sample
from broker.recorder.sqlite.checksums import SENSORS, sample_checksum
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.tables import Tables
from broker.records import Batch
from quartet.database import connect
from wire.metadata import StreamHeader

_COMMITS = 200
_SAMPLES = 100  # a commit of a busy broker: of so many streams


def share() -> float:
    """Of the CPU time of commits, in one run."""
    with tempfile.TemporaryDirectory() as folder:
        connection = connect(Path(folder, "broker.db"), MIGRATIONS, "normal")
        tables = Tables(connection, "digest", Keeping(), time)
        claim = tables.claim(StreamHeader("a", "0" * 32, 0, 0, 1000), "peer")
        values = (1.0, 2.0, 3.0, 4.0)
        began_s = time.process_time()
        for number in range(_COMMITS):
            ids = range(number * _SAMPLES, (number + 1) * _SAMPLES)
            samples = [Sample(id_, values) for id_ in ids]
            tables.write([Batch(claim, samples, [Answer(id_, False) for id_ in ids])])
        written_s = time.process_time() - began_s
        connection.close()
    sensors = SENSORS.pack(*values)
    began_s = time.process_time()
    for number in range(_COMMITS * _SAMPLES):
        sample_checksum(number, 1, 1, number, sensors, number, number, 0)
    return (time.process_time() - began_s) / written_s
