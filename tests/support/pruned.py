"""A store's tables without a broker, to be filled by hand and pruned."""

from dataclasses import replace
from pathlib import Path

from support.clock import ManualClock
from support.store import header, sample

from broker.recorder.sqlite.census import Census
from broker.recorder.sqlite.checksums import snapshot_checksum
from broker.recorder.sqlite.erasing import Eraser
from broker.recorder.sqlite.keeping import REHEARSAL, Keeping
from broker.recorder.sqlite.retention import Retention
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.tables import Tables
from broker.records import Batch, Claim, Lease
from quartet.database import connect


class Bench:
    """A store's tables that a test fills by hand, and prunes."""

    def __init__(self, folder: Path, *, replay: int = 10, **limits: float) -> None:
        self.clock = ManualClock()
        self.connection = connect(folder / "broker.db", MIGRATIONS, "off")
        keeping = Keeping(replay=replay, **{"max_age_days": 1e6, "max_bytes": 1 << 50, **limits})
        tables = Tables(self.connection, "d", keeping, self.clock)
        self.keeping, self.tables = keeping, tables
        self.gone: set[int] = set()
        self.claims: dict[int, Claim] = {}
        self.live: set[int] = set()
        self.restart()

    def restart(self) -> None:
        """Have all that prunes begin anew."""
        self.census = Census(self.connection, self.clock)
        self.retention = Retention(
            *(self.connection, self.keeping, self.clock, self.tables.needed_from),
            census=self.census,
            eraser=Eraser(self.connection, self.clock),
            fail_lease=self.tables.fail_lease,
        )

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def line(self, line: int, agent_id: str | None, *, is_rehearsal: bool = False) -> None:
        """A line begins, with one session."""
        if is_rehearsal:
            self.connection.execute(
                "INSERT INTO commands (agent_id, name, at_ns) VALUES (?, ?, 0)",
                (agent_id, REHEARSAL),
            )
        self.connection.execute("INSERT INTO lines VALUES (?, ?, '', NULL)", (line, agent_id))
        now_ns = self.clock.time_ns()
        self.connection.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 'd', ?, NULL)",
            (line, line, agent_id and f"{line:032x}", now_ns),
        )
        self.claims[line] = Claim(
            *(
                replace(header(agent=agent_id), is_rehearsal=is_rehearsal) if agent_id else None,
                *("", Lease(1), None),
            ),
            has_records=False,
            keeps_state=True,
        )

    def stream(self, line: int, *, live: bool) -> None:
        """An agent's stream is open from now on, or no more."""
        if live and line not in self.live:
            self.census.claimed(self.claims[line])
            self.live.add(line)
        elif not live and line in self.live:
            self.census.released(self.claims[line], line)
            self.live.remove(line)

    def samples(self, line: int, count: int, at_s: float | None = None) -> None:
        """Add samples that arrive now, or by a clock that says something else."""
        at_ns = self.clock.time_ns() if at_s is None else int(at_s * 1e9)
        self.connection.executemany(
            "INSERT INTO samples VALUES (NULL, ?, ?, 0, zeroblob(16), 0, ?, 0, NULL)",
            [(line, line, at_ns)] * count,
        )
        batch = Batch(self.claims[line], samples=[sample(0)] * count, arrived_at_ns=at_ns)
        self.census.added(line, batch, self.newest())

    def snapshot(self, line: int) -> None:
        """The line's black box tells its state now."""
        (position,) = self.connection.execute("SELECT max(position) FROM samples").fetchone()
        self.connection.execute(
            "INSERT INTO snapshots VALUES (?, ?, 'd', x'', 0, 0, ?)",
            (line, position, snapshot_checksum(line, position, b"d", b"", 0)),
        )

    def snapshots(self, line: int) -> list[int]:
        rows = self.connection.execute("SELECT position FROM snapshots WHERE line = ?", (line,))
        return [position for (position,) in rows]

    def prune(self, hours: float = 2.0, most: int = 500) -> int:
        """Let time go by, by the minute, and give the thread its turns; the most in one step."""
        largest = 0
        before_all = self.positions()
        for _ in range(round(hours * 60)):
            self.clock.now_s += 60.0
            before = self.rows()
            while self.retention.step(most):
                largest = max(largest, before - self.rows())
                before = self.rows()
        self.gone |= before_all - self.positions()
        return largest

    def positions(self) -> set[int]:
        return {row[0] for row in self.connection.execute("SELECT position FROM samples")}

    def needed(self, line: int) -> list[int]:
        """What an agent's black box would be rebuilt from."""
        states = self.snapshots(line)
        floor = max(states) if states else self.tables.needed_from(line)
        return [at for at in self.kept(line) if at > floor]

    def newest(self) -> int:
        newest: int = self.connection.execute("SELECT max(position) FROM samples").fetchone()[0]
        return newest

    def rows(self) -> int:
        """How many samples there are."""
        rows: int = self.connection.execute("SELECT count(*) FROM samples").fetchone()[0]
        return rows

    def is_within(self, max_bytes: int) -> bool:
        used, free = (
            self.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count")
        )
        return bool((used - free) * 4096 <= max_bytes)

    def kept(self, line: int) -> list[int]:
        rows = self.connection.execute(
            "SELECT position FROM samples WHERE line = ? ORDER BY position", (line,)
        )
        return [position for (position,) in rows]
