"""What a repair says of samples that it cannot bring back, and how it ends."""

import json
import shutil
from pathlib import Path

import pytest
from support.chain import Chain
from support.store import lines_in, select, send

from broker.recorder.sqlite.upkeep import SqliteUpkeep
from broker.recorder.sqlite.upkeep.pages import Pages
from broker.store import run

SESSIONS, END = 3, 300
ANSWERED = SESSIONS * END


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in order, with some sessions of one agent."""
    return tmp_path_factory.mktemp("sound") / "broker.db"


@pytest.fixture(scope="module", autouse=True)
async def _make(sound: Path) -> None:
    with lines_in(sound, Chain, snapshot_every=100) as lines:
        for session in range(SESSIONS):
            for begin in range(0, END, 60):
                await send(lines, range(begin, begin + 60), session, "press-1")


def test_a_repair_counts_what_is_missing_and_never_denies_a_large_loss(
    sound: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All samples are gone, and no index tells of them: the counters still do."""
    shutil.copy(sound, path)
    erase(path, "samples", "samples_by_id", "samples_by_line", "gaps")
    assert run("check", SqliteUpkeep(path), None, as_json=False) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "the samples cannot be counted: 1 problem"
    assert run("repair", SqliteUpkeep(path), None, as_json=False) == 1
    said = capsys.readouterr().out
    assert f"{ANSWERED} samples of agents counted as answered, 0 recorded, {ANSWERED} " in said
    assert "no sample was lost" not in said


def test_a_repair_says_in_json_how_many_samples_are_missing(
    sound: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(sound, path)
    select(path, "DELETE FROM samples WHERE session = 1 AND id BETWEEN 100 AND 149")
    assert run("repair", SqliteUpkeep(path), None, as_json=True) == 1
    done = json.loads(capsys.readouterr().out)
    assert (done["answered"], done["missing"]) == (done["on_record"] + 50, 50)
    erase(path, "snapshots")
    assert run("repair", SqliteUpkeep(path), None, as_json=False) == 0  # those were booked before
    said = capsys.readouterr().out
    assert "50 deleted or lost (50 lost earlier)\nno sample was lost\n" in said


@pytest.mark.parametrize(
    ("table", "note"),
    [("sessions", "others may be missing"), ("losses", "earlier losses may be")],
)
def test_a_repair_says_which_books_it_could_not_read(
    table: str, note: str, sound: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(sound, path)
    erase(path, table)
    assert run("repair", SqliteUpkeep(path), None, as_json=False) == 1
    assert note in capsys.readouterr().out


def test_losses_that_were_booked_outlive_the_samples(sound: Path, path: Path) -> None:
    shutil.copy(sound, path)
    select(path, "DELETE FROM samples WHERE session = 1 AND id BETWEEN 100 AND 149")
    SqliteUpkeep(path).repair()
    booked = SqliteUpkeep(path).check().losses
    erase(path, "samples", "samples_by_id", "samples_by_line", "gaps")
    done = SqliteUpkeep(path).repair()
    assert (done.booked, done.on_record, done.missing) == (50, 0, done.answered)
    assert booked
    assert SqliteUpkeep(path).check().losses[: len(booked)] == booked


def test_a_session_whose_name_is_lost_keeps_its_samples_and_is_told_so(
    sound: Path, path: Path
) -> None:
    shutil.copy(sound, path)
    erase(path, "sessions", "sqlite_autoindex_sessions_1")
    done = SqliteUpkeep(path).repair()
    kept = f"the name of their session is lost; the samples themselves are kept ({END} samples)"
    assert str(done.losses[-1]).endswith(kept)


def erase(path: Path, *names: str) -> None:
    """Zero all pages of some tables and indexes."""
    roots = dict(select(path, "SELECT name, rootpage FROM sqlite_schema"))
    with Pages(path) as pages:
        erased = {page for name in names for page in pages.tree(int(str(roots[name])))}
    data = bytearray(path.read_bytes())
    for page in erased:
        data[(page - 1) * 4096 : page * 4096] = bytes(4096)
    path.write_bytes(data)
