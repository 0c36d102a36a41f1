"""What it costs to bring a large store up to date: counted in steps and pages, not in time."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from broker.recorder.sqlite.schema import MIGRATIONS
from quartet.database import connect

_ROWS = 300_000
# The schema's own page, and a root page for each table and index that is new.
_MOST_PAGES = 32
# SQLite looks at the whole schema at each ALTER TABLE. One step a row is 300,000.
_MOST_STEPS = 20_000
_STEPS_AT_ONCE = 1_000

# As a plant of ten agents leaves them: samples, and snapshots of 64 kB that are not inline.
_FILL = f"""
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {_ROWS})
    INSERT INTO samples SELECT i, i % 10, i % 10, i / 10, zeroblob(16), i, i, 0, 0 FROM n;
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
    INSERT INTO lines SELECT i, 'press-' || i, '192.168.1.2:5', 0 FROM n;
    INSERT INTO snapshots SELECT line, {_ROWS}, 'd', zeroblob(65536), 0, 0, 0
        FROM lines;
    INSERT INTO explanations SELECT position, line, session, id, 'T2 at 23.1' FROM samples;
"""  # noqa: S608 - constants


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the schema before the last one."""
    path = tmp_path_factory.mktemp("large") / "broker.db"
    with closing(connect(path, MIGRATIONS[:-1], "off")) as connection:
        connection.executescript(f"BEGIN; {_FILL}; COMMIT")
    return path


def test_the_last_migration_writes_no_more_pages_in_a_large_store(large: Path) -> None:
    page_bytes = 4096
    assert large.stat().st_size > 5_000 * page_bytes
    copy = large.with_name("pages.db")
    copy.write_bytes(large.read_bytes())
    with closing(connect(copy, MIGRATIONS, "off")) as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (page_bytes,)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        written = copy.with_name("pages.db-wal").stat().st_size // page_bytes
    assert 0 < written <= _MOST_PAGES


def test_the_last_migration_reads_no_rows(large: Path) -> None:
    copy = large.with_name("steps.db")
    copy.write_bytes(large.read_bytes())
    rounds = 0

    def count() -> None:
        nonlocal rounds
        rounds += 1

    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.set_progress_handler(count, _STEPS_AT_ONCE)
        connection.executescript(f"BEGIN; {MIGRATIONS[-1]}; COMMIT")
    assert rounds * _STEPS_AT_ONCE < _MOST_STEPS
