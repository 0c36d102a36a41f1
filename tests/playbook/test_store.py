"""What becomes of a broker's store between two releases that know different schemas."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.playbook import FILES, script

from broker.recorder.sqlite.schema import MIGRATIONS
from quartet.database import connect

store = script("store")

_BACKUP = """#!/bin/sh
[ "$1 $2 $4" = "store backup --store" ] || exit 2
echo "{name}" >>"$(dirname "$0")/asked"
{python} -c 'import sqlite3, sys
sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))' "$5" "$3"
"""
_RESTORE = """#!/bin/sh
[ "$1 $2 $4" = "store restore --store" ] || exit 2
mv "$5" "$5.before-restore" && cp "$3" "$5" && echo "press-1: ids 5 to 9 are missing"
"""


class Plant:
    """A store with a configuration, and releases beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "state" / "broker.db"
        self.path.parent.mkdir()
        self.config = directory / "broker.toml"
        self.config.write_text(f"[recorder]\npath = {json.dumps(str(self.path))}\n")

    def release(self, schema: int | None, command: str = "") -> Path:
        """One that knows a schema, or cannot tell; `command` is its `broker`."""
        home = self.directory / f"release-{schema}"
        (home / "bin").mkdir(parents=True, exist_ok=True)
        answer = "exit 1" if schema is None else f"echo {schema}"
        for name, text in {"python": f"#!/bin/sh\n{answer}\n", "broker": command}.items():
            if text:
                (home / "bin" / name).write_text(text)
                (home / "bin" / name).chmod(0o755)
        return home

    def write(self, schema: int, rows: int) -> None:
        """What a release of that schema leaves: more rows beside those that are there."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = wal")
            database.execute("CREATE TABLE IF NOT EXISTS rows (x)")
            database.executemany("INSERT INTO rows VALUES (?)", [(schema,)] * rows)
            database.execute(f"PRAGMA user_version = {schema}")

    def call(
        self, verb: str, release: Path, former: Path | str = "", aside: str = ""
    ) -> dict[str, str]:
        ended = subprocess.run(
            [sys.executable, "-I", "-", verb, self.config, release, former, aside],
            input=(FILES / "store.py").read_text(),
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            return {"failed": ended.stderr}
        said: dict[str, str] = json.loads(ended.stdout)
        return said

    @property
    def backups(self) -> list[Path]:
        return sorted((self.path.parent / "backups").glob("*"))

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.path.parent.iterdir())


def rows(path: Path) -> tuple[int, int]:
    """The schema of a store, and how many rows it has."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as database:
        (schema,) = database.execute("PRAGMA user_version").fetchone()
        return schema, database.execute("SELECT count(*) FROM rows").fetchone()[0]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def test_a_release_tells_which_schema_it_knows() -> None:
    answer = subprocess.check_output([sys.executable, "-I", "-c", store.ASK], text=True)
    assert int(answer) == len(MIGRATIONS)


@pytest.mark.parametrize(
    ("recorder", "path"),
    [
        ("", "/var/lib/broker/broker.db"),
        ("[recorder]\nreplay = 5\n", "/var/lib/broker/broker.db"),
        ('[recorder]\npath = "my.db"\n', "/var/lib/broker/my.db"),
        ('[recorder]\npath = "/srv/my.db"\n', "/srv/my.db"),
    ],
)
def test_the_store_is_where_the_unit_has_it(recorder: str, path: str, plant: Plant) -> None:
    plant.config.write_text(recorder)
    assert store.Store(plant.config, plant.release(3), None).path == Path(path)


@pytest.mark.parametrize("has", [None, 3])
def test_without_a_newer_schema_there_is_nothing_to_do(has: int | None, plant: Plant) -> None:
    if has:
        plant.write(has, 5)
    before = plant.files
    for verb in ("look", "fit"):
        assert plant.call(verb, plant.release(3), plant.release(2))["action"] == "nothing"
    assert plant.files == before


def test_a_database_is_no_file_to_back_up(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file is still there that the broker had before."""
    plant.write(6, rows=3)
    plant.config.write_text('[recorder]\nurl = "postgresql://quartet@db1/quartet"\n')
    monkeypatch.setattr(store, "_STATE", plant.path.parent)
    of = store.Store(plant.config, plant.release(7), plant.release(6))
    assert (of.path, of.plan(None).action) == (plant.path, "nothing")


def test_a_look_changes_nothing(plant: Plant) -> None:
    plant.write(3, 5)
    assert plant.call("look", plant.release(4), plant.release(3))["action"] == "backup"
    assert plant.files == ["broker.db"]


@pytest.mark.parametrize("who", ["present", "new", "nobody"])
def test_before_a_newer_schema_the_store_is_backed_up(who: str, plant: Plant) -> None:
    plant.write(3, 5)
    of = {name: _BACKUP.format(name=name, python=sys.executable) for name in ("present", "new")}
    former = plant.release(3, of["present"] if who == "present" else "")
    release = plant.release(4, of["new"] if who != "nobody" else "")
    done = plant.call("fit", release, former)
    (backup,) = plant.backups
    assert done["action"] == "backup"
    assert str(backup) in done["said"]
    assert backup.name.startswith("broker.schema-3.")
    assert backup.stat().st_mode & 0o777 == 0o600
    assert rows(backup) == rows(plant.path) == (3, 5)
    asked = [each.read_text() for each in plant.directory.glob("release-*/bin/asked")]
    assert asked == ([] if who == "nobody" else [f"{who}\n"])


def test_a_log_that_a_killed_broker_left_is_in_the_backup(plant: Plant) -> None:
    plant.write(3, 5)
    with closing(sqlite3.connect(plant.path, isolation_level=None)) as killed:
        killed.execute("INSERT INTO rows VALUES (0)")
        killed.execute("PRAGMA wal_autocheckpoint = 0")
        files = {part.name: part.read_bytes() for part in plant.path.parent.iterdir()}
    for name, data in files.items():
        (plant.path.parent / name).write_bytes(data)
    assert "broker.db-wal" in files
    assert plant.call("fit", plant.release(4), plant.release(3))["action"] == "backup"
    assert rows(plant.backups[0]) == (3, 6)


def test_a_release_that_cannot_tell_is_taken_for_a_newer_one(plant: Plant) -> None:
    plant.write(3, 5)
    assert plant.call("fit", plant.release(None), plant.release(3))["action"] == "backup"


def test_the_last_two_backups_stay(plant: Plant) -> None:
    plant.write(3, 5)
    directory = plant.path.parent / "backups"
    directory.mkdir()
    old = [f"broker.schema-{n}.2026010{n}T000000Z.db" for n in (3, 2, 1)]
    for name in (*old, "mine.db", "broker.schema-3.20260101T000000Z.db.new"):
        (directory / name).write_bytes(b"")
    plant.call("fit", plant.release(4), plant.release(3))
    names = [path.name for path in plant.backups]
    assert old[0] in names
    assert "mine.db" in names
    assert len(names) == 3


def test_a_disk_without_room_for_a_backup_is_told_before(plant: Plant) -> None:
    plant.write(3, 5)
    os.truncate(plant.path, 1 << 43)  # without taking it from the disk
    look = plant.call("look", plant.release(4), plant.release(3))
    assert look["action"] == "refuse"
    assert "MB are free beside" in look["reason"]
    assert "MB are free beside" in plant.call("fit", plant.release(4), plant.release(3))["failed"]


@pytest.fixture
def migrated(plant: Plant) -> Iterator[Plant]:
    """Backed up at schema 3 with 5 rows; then of schema 4, with 7."""
    plant.write(3, 5)
    plant.call("fit", plant.release(4), plant.release(3))
    plant.write(4, 2)
    yield plant
    assert rows(plant.backups[0]) == (3, 5)


def test_a_return_restores_the_backup_and_keeps_the_store(migrated: Plant) -> None:
    done = migrated.call("fit", migrated.release(3), migrated.release(4))
    assert rows(migrated.path) == (3, 5)
    assert rows(Path(done["aside"])) == (4, 7)
    assert done["aside"] in done["said"]
    assert migrated.call("fit", migrated.release(3))["action"] == "nothing"


def test_what_the_restored_store_lacks_is_told_by_the_release_that_can(migrated: Plant) -> None:
    newer = migrated.release(4, _RESTORE)
    older = migrated.release(3, _RESTORE.replace("press-1", "nobody"))
    done = migrated.call("fit", older, newer)
    assert done["said"].startswith("press-1: ids 5 to 9 are missing. ")
    assert done["aside"] == f"{migrated.path}.before-restore"
    assert rows(migrated.path) == (3, 5)


def test_the_commands_of_the_broker_do_it(plant: Plant) -> None:
    former, release = plant.release(3), plant.release(len(MIGRATIONS))
    for name, program in {"python": "", "broker": "-m broker"}.items():
        (release / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
        (release / "bin" / name).chmod(0o755)
    connect(plant.path, MIGRATIONS[:3], "normal").close()
    plant.call("fit", release, former)
    with closing(connect(plant.path, MIGRATIONS, "normal")) as database:
        database.execute("INSERT INTO lines VALUES (1, 'press-1', '192.168.1.2:5', NULL)")
        database.execute(
            "INSERT INTO sessions VALUES (1, 1, ?, 0, 9, 10, 10, 0, 0, 0, 'd', 1, NULL)",
            ("0" * 32,),
        )
    done = plant.call("fit", former, release)
    assert "press-1" in done["said"]
    assert "not in the backup" in done["said"]
    assert store.schema_of(plant.path) == 3
    assert store.schema_of(Path(done["aside"])) == len(MIGRATIONS)
    assert "replaced" in done["aside"]  # as the command names it


def test_a_log_is_set_aside_with_its_store(migrated: Plant) -> None:
    with closing(sqlite3.connect(migrated.path, isolation_level=None)) as killed:
        killed.execute("INSERT INTO rows VALUES (0)")
        files = {
            part: part.read_bytes() for part in migrated.path.parent.iterdir() if part.is_file()
        }
    for path, data in files.items():
        path.write_bytes(data)
    done = migrated.call("fit", migrated.release(3), migrated.release(4))
    assert rows(Path(done["aside"])) == (4, 8)
    assert rows(migrated.path) == (3, 5)


def test_a_log_that_a_reader_holds_is_set_aside_as_well(migrated: Plant) -> None:
    with closing(sqlite3.connect(migrated.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM rows").fetchall()
        migrated.write(4, 1)
        aside = migrated.call("fit", migrated.release(3), migrated.release(4))["aside"]
        assert Path(f"{aside}-wal").stat().st_size
        with closing(sqlite3.connect(aside)) as database:
            assert database.execute("SELECT count(*) FROM rows").fetchone() == (8,)
        assert rows(migrated.path) == (3, 5)


def test_an_older_backup_than_the_last_serves_an_older_release(migrated: Plant) -> None:
    migrated.call("fit", migrated.release(5), migrated.release(4))
    migrated.write(5, 1)
    assert len(migrated.backups) == 2
    migrated.call("fit", migrated.release(3), migrated.release(5))
    assert rows(migrated.path) == (3, 5)


def test_without_a_backup_a_return_is_refused_and_changes_nothing(plant: Plant) -> None:
    plant.write(4, 5)
    look = plant.call("look", plant.release(3), plant.release(4))
    assert look["action"] == "refuse"
    assert "has schema 4, release-3 knows 3, and there is no backup" in look["reason"]
    assert "no backup" in plant.call("fit", plant.release(3), plant.release(4))["failed"]
    assert plant.files == ["broker.db"]


def test_a_return_from_a_return_has_the_store_that_was_set_aside(migrated: Plant) -> None:
    older, newer = migrated.release(3), migrated.release(4)
    aside = migrated.call("fit", older, newer)["aside"]
    migrated.write(3, 1)
    done = migrated.call("fit", newer, older, aside)
    assert done["action"] == "put back"
    assert rows(migrated.path) == (4, 7)
    (used,) = migrated.path.parent.glob("broker.schema-3.*.db")
    assert rows(used) == (3, 6)
    assert str(used) in done["said"]


def test_a_store_that_cannot_be_read_is_left_to_the_broker(plant: Plant) -> None:
    plant.path.write_bytes(b"my holiday pictures" * 1000)
    assert plant.call("fit", plant.release(4), plant.release(3))["action"] == "nothing"
