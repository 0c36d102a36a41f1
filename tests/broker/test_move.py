"""A store that moves from a file to a database, and back: all goes on as if it had stayed."""

import io
import itertools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.moves import Plant, Step, moved, served
from support.postgres import Database, Server
from support.read import File, Tables
from support.store import change, select

from broker.move import Progress, move, told
from broker.recorder.moving import Milestones, MovedSample
from broker.recorder.opening import open_to_move
from broker.recorder.reader import Reader, Span
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from broker.records import EventKind

steps = st.builds(
    Step,
    st.sampled_from(["send", "send", "send", "again", "gap", "session", "plain"]),
    st.sampled_from("ab"),
    st.integers(1, 20),
)
# A broker with this predictor, and what it serves.
brokers = st.tuples(
    st.sampled_from(["d1", "d1", "d2"]),
    st.sampled_from(["", "", "a"]),
    st.lists(steps, min_size=1, max_size=8),
)


async def everything(reader: Reader) -> dict[str, Any]:
    """What people can ask."""
    accounts = await reader.accounts()
    found: dict[str, Any] = {"accounts": accounts, "lines": await reader.lines()}
    for agent in sorted({each.agent_id for each in accounts.sessions}):
        begin = await reader.snapshot(agent, 0)
        found[agent] = (
            [each async for some in reader.samples(agent, Span()) for each in some],
            await reader.explanations(agent, Span()),
            await reader.events(agent, Span()),
            [(each.name, each.is_applied) for each in await reader.commands(agent)],
            begin and (begin.digest, begin.state, begin.is_fresh),
        )
    return found


@pytest.fixture
async def database(postgres: Server) -> AsyncIterator[Database]:
    database = await postgres.create()
    yield database
    await database.drop()


class Tour:
    """A store that is a file at first, and moves after each broker."""

    def __init__(self, folder: Path, server: Server) -> None:
        self._folder = folder
        self._server = server
        self._count = 0
        self._database: Database | None = None
        self.place: Any = self._new_file()

    async def move(self) -> None:
        former = self.place
        if isinstance(former, File):
            self._database = await self._server.create()
            self.place = Tables(self._database)
            await moved(former.path, self._database.url)
        else:
            await former.close()
            self.place = self._new_file()
            await moved(former.database.url, self.place.path)
            await former.database.drop()

    async def close(self) -> None:
        await self.place.close()
        if self._database:
            await self._database.drop()

    def _new_file(self) -> File:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        return File(folder)


@settings(
    derandomize=True,
    deadline=None,
    max_examples=5,
    phases=[Phase.explicit, Phase.generate],  # an example takes a second
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(brokers, min_size=2, max_size=5))
@example(
    [
        ("d1", "", [Step("send", "a", 20), Step("send", "b", 5)]),
        ("d2", "", [Step("send", "a", 9)]),
        ("d1", "a", [Step("send", "b", 20), Step("send", "a", 20)]),
        ("d2", "", [Step("again", "a", 8), Step("send", "b", 8)]),
    ]
)
async def test_predictions_and_records_are_those_of_a_store_that_stayed(
    postgres: Server,
    tmp_path_factory: pytest.TempPathFactory,
    lives: list[tuple[str, str, list[Step]]],
) -> None:
    stayed = File(tmp_path_factory.mktemp("stayed"))
    tour = Tour(tmp_path_factory.mktemp("tour"), postgres)
    one, other = Plant(), Plant()
    try:
        for life in lives:
            await one.live(stayed, *life)
            await other.live(tour.place, *life)
            assert other.answers == one.answers
            await tour.move()
            assert await everything(tour.place.reader) == await everything(stayed.reader)
        if isinstance(tour.place, File):
            assert SqliteUpkeep(tour.place.path).check().problems == []
    finally:
        await tour.close()


@pytest.mark.parametrize("digest", ["d1", "d2"])
async def test_what_was_deleted_before_a_move_is_missing_behind_it(
    digest: str, database: Database, tmp_path: Path
) -> None:
    """A state of d1 went aside with sample 14; of the samples behind it, some are gone."""
    file, former = File(tmp_path), Plant()
    send = [Step("send", "a", 20), Step("send", "b", 10)]
    for each in ("d1", "d2"):
        await former.live(file, each, "", send)
    await file.behead(41)
    copy = File(tmp_path / "stayed")
    copy.path.parent.mkdir()
    shutil.copy(file.path, copy.path)
    await moved(file.path, database.url)
    back = File(tmp_path / "back")
    back.path.parent.mkdir()
    there = Tables(database)
    await there.close()
    await moved(database.url, back.path)
    told, predictions = [], []
    for place in (copy, back, there):
        plant = Plant()
        plant.clock.advance(10_000.0)
        plant.next_id["a"] = 40
        await plant.live(place, digest, "", [Step("send", "a", 9)])
        events = await place.reader.events("a", Span())
        told.append([each.text for each in events if each.kind is not EventKind.OPENED])
        predictions.append(plant.answers)
        accounts = await place.reader.accounts()
        assert accounts == await copy.reader.accounts()
    await there.close()
    assert predictions == [predictions[0]] * 3
    assert told == [told[0]] * 3
    assert await there.select(
        "SELECT min(position), max(position) FROM samples JOIN lines USING (line)"
        " WHERE agent_id = 'a'"
    ) == [(32, 49)]


async def test_who_follows_a_database_finds_what_comes_behind_a_move(
    database: Database, tmp_path: Path
) -> None:
    """Also where more samples moved than the server has seen transactions."""
    ((number,),) = await database.select(
        "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    )
    file, there = File(tmp_path), Tables(database)
    plant = await served(file, number + 500)
    await moved(file.path, database.url)
    tail = await there.reader.tail()
    assert (await there.reader.news(tail, 10)).samples == []
    await plant.live(there, "d1", "", [Step("send", "a", 3)])
    new = (await there.reader.news(tail, 10)).samples
    assert [each.id for each in new] == [number + 500, number + 501, number + 502]
    await there.close()


async def test_losses_rehearsals_and_waiting_commands_move(
    database: Database, tmp_path: Path
) -> None:
    file = File(tmp_path)
    await served(file)
    change(file.path, "INSERT INTO losses VALUES ('a', ?, 3, 5, 'torn', 7)", "0" * 32)
    change(file.path, "INSERT INTO losses VALUES (NULL, NULL, NULL, NULL, 'torn', 8)")
    change(file.path, "INSERT INTO commands (agent_id, name, at_ns) VALUES ('a', 'rehearsal', 1)")
    await file.reader.command_rebase("a")
    await moved(file.path, database.url)
    there = Tables(database)
    assert await everything(there.reader) == await everything(file.reader)
    await there.close()
    await moved(database.url, tmp_path / "back.db")
    back = File(tmp_path)
    back.path = tmp_path / "back.db"
    assert select(back.path, "SELECT name, position FROM commands ORDER BY command") == [
        ("rebase", None),
        ("rehearsal", None),
    ]
    assert select(back.path, "SELECT * FROM losses") == select(file.path, "SELECT * FROM losses")


async def test_a_line_that_is_being_erased_stays_behind(database: Database, tmp_path: Path) -> None:
    file = File(tmp_path)
    await served(file)
    await served(file, agent="b")
    change(
        file.path,
        "UPDATE lines SET agent_id = NULL, peer = 'nobody', checksum = NULL WHERE agent_id = 'a'",
    )
    progress = await moved(file.path, database.url)
    assert progress.counts[MovedSample] == 20
    assert await database.select("SELECT agent_id FROM lines") == [("b",)]


# In between


@given(st.lists(st.integers(1, 3), min_size=1, max_size=2000), st.data())
@settings(derandomize=True, deadline=None, max_examples=50)
def test_a_milestone_is_never_behind_what_it_marks(steps: list[int], data: st.DataObject) -> None:
    positions = [*itertools.accumulate(steps)]
    milestones = Milestones()
    for position in positions:
        milestones.add(1, position)
    asked = data.draw(st.integers(0, positions[-1] + 3))
    rank, at, is_dense = milestones.before(1, asked)
    between = asked - at if is_dense else sum(at < each <= asked for each in positions)
    assert (rank + between if rank else 0) == sum(each <= asked for each in positions)
    wanted = data.draw(st.integers(1, len(positions)))
    rank, at, _ = milestones.up_to(1, wanted)
    assert rank <= wanted < rank + 256
    assert positions[rank - 1] == at


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_a_terminal_shows_how_far_a_move_has_come(database: Database, tmp_path: Path) -> None:
    file, out, clock = File(tmp_path), Terminal(), ManualClock()
    await served(file)
    progress = Progress(out, clock)
    async with open_to_move(file.path, database.url) as (source, target):
        await move(source, target, progress)
    assert "moving: 1 line" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")
    said = told(progress, file.path, database.url)
    assert said.startswith("moved 1 agent, 1 session, 20 samples, ")
