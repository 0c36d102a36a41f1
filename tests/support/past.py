"""A store that a test fills as it likes: samples at any time, explanations, agents that go."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from broker.recorder.opening import open_reader
from broker.recorder.reader import Reader
from broker.recorder.sqlite.checksums import SENSORS
from broker.recorder.sqlite.schema import MIGRATIONS
from quartet.channels import Values
from quartet.database import connect, transaction

S_NS = 10**9


class Taken(NamedTuple):
    """A sample that was recorded."""

    at_ns: int
    values: Values = (1.0, 2.0, 3.0, 4.0)
    prediction: bool = False
    said: str = ""


class Past:
    """Rows of a store, as a broker would have written them."""

    def __init__(self, path: Path, host: str = "1.2.3.4") -> None:
        """`host`: of all its agents."""
        self.path = path
        self.rows = connect(path, MIGRATIONS, "off")
        self.lines: dict[str, int] = {}
        self._host = host
        self._streams = 0
        self._position = 0

    def close(self) -> None:
        """Close the file."""
        self.rows.close()

    @property
    def reader(self) -> Reader:
        """As the console gets it."""
        return open_reader(self.path)

    def add(self, agent: str | None, samples: Iterable[Taken]) -> None:
        """Record samples behind all others; an agent that is None is a plain peer."""
        key = agent or "#"
        with transaction(self.rows):
            if key not in self.lines:
                self.lines[key] = 1 + len(self.lines)
                self._streams += 1
                self.rows.execute(
                    "INSERT INTO lines (line, agent_id, peer) VALUES (?, ?, ?)",
                    (self.lines[key], agent, f"{self._host}:{self._streams}"),
                )
            for taken in samples:
                self._add(self.lines[key], taken)

    def _add(self, line: int, taken: Taken) -> None:
        self._position += 1
        self.rows.execute(
            "INSERT INTO samples (position, line, session, id, sensors, sampled_at_ns,"
            " arrived_at_ns, prediction) VALUES (?, ?, 0, 0, ?, ?, ?, ?)",
            (
                self._position,
                line,
                SENSORS.pack(*taken.values),
                taken.at_ns,
                taken.at_ns,
                taken.prediction,
            ),
        )
        if taken.said:
            self.rows.execute(
                "INSERT INTO explanations VALUES (?, ?, 0, 0, ?)",
                (self._position, line, taken.said),
            )

    def prune(self, agent: str, before_ns: int) -> None:
        """Delete samples as retention does."""
        with transaction(self.rows):
            self.rows.execute(
                "DELETE FROM samples WHERE line = ? AND sampled_at_ns < ?",
                (self.lines[agent], before_ns),
            )

    def lose_newest(self, count: int) -> None:
        """Have the store end before its newest samples, as after a power cut."""
        with transaction(self.rows):
            self.rows.execute("DELETE FROM samples WHERE position > ?", (self._position - count,))
        self._position -= count

    def forget(self, agent: str) -> None:
        """Delete all of an agent, as `broker forget` does: its highest position is kept."""
        line = self.lines.pop(agent)
        with transaction(self.rows):
            self.rows.execute(
                "INSERT INTO commands (agent_id, name, at_ns, position)"
                " SELECT '', 'position', 0, max(position) FROM samples"
            )
            for table in ("samples", "explanations", "lines"):
                self.rows.execute(f"DELETE FROM {table} WHERE line = ?", (line,))  # noqa: S608
