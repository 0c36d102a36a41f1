"""Recordings of any logger: which columns are the sensors, and their rows.

with Recording(path) as recording:
    print(recording.binding)
    for row in recording:
        print(row.line, row.at_ns, row.values)
"""

from quartet.recording.binding import Binding, Choice
from quartet.recording.column import Column
from quartet.recording.reader import Recording, Row
from quartet.recording.text import MAX_LINE_BYTES, STDIN

__all__ = ["MAX_LINE_BYTES", "STDIN", "Binding", "Choice", "Column", "Recording", "Row"]
