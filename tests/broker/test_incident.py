"""Incident files from records of either kind, and their replay."""

import asyncio
from pathlib import Path
from zipfile import ZipFile

import pytest
from support.chain import Chain
from support.patience import PATIENCE_S
from support.read import Place
from support.store import OpenLines, header, sample, send_on

from broker.config import PredictorSettings
from broker.errors import CommandError
from broker.incident.archive import opened
from broker.incident.capture import Bounds, Capture, capture
from broker.incident.manifest import Around, Event, Manifest
from broker.incident.replay import Comparison, Difference, replay
from broker.incident.sought import sample_of
from broker.incident.words import result
from broker.model import Sample
from broker.predictors import BlackBox
from broker.records import MAX_NS

PARITY = PredictorSettings("parity")


class Talking(Chain):
    """Says what it has come to with each True."""

    def explain(self) -> str | None:
        return f"state {self.state[0]}" if self.state[0] % 2 == 0 else None


class Contrary(Chain):
    """Says the contrary at one sample."""

    def predict(self, sample: Sample) -> bool:
        return super().predict(sample) is not (sample.id == 57)


class Failing(Chain):
    """Raises at one sample."""

    def predict(self, sample: Sample) -> bool:
        if sample.id == 57:
            raise ZeroDivisionError("57")
        return super().predict(sample)


BOX = BlackBox(Talking, "d1")


async def stream(lines: OpenLines, first: int, end: int, session: int = 0) -> None:
    """Samples of which one is taken each 10 ns."""
    with await lines.open(header(first, session, at_ns=10 * first, period_ns=10)) as opened:
        await send_on(opened, [sample(id_) for id_ in range(first, end)])


async def reset(place: Place, lines: OpenLines) -> None:
    """Reset the predictor, and wait until the broker has heard of it."""
    await place.reader.command_rebase("a")
    claim = await lines.recorder.claim(header(), "")
    async with asyncio.timeout(PATIENCE_S):
        while not lines.recorder.pending_rebase(claim):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    lines.recorder.release(claim)


@pytest.fixture
async def filled(place: Place) -> Place:
    """Records of 120 samples in three runs of a broker, with a snapshot after each 25."""
    for first in range(0, 120, 40):
        async with place.lines(Talking, snapshot_every=25) as lines:
            await stream(lines, first, first + 40)
    return place


async def captured(
    place: Place,
    path: Path,
    since_ns: int,
    until_ns: int,
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
) -> Manifest:
    around = Around(since_ns, since_ns, until_ns)
    with path.open("xb") as file:
        wanted = Capture("a", around, PARITY, bounds)
        return await capture(place.reader, wanted, file, lambda _: None)


def replayed(path: Path, box: BlackBox = BOX) -> Comparison:
    with opened(path) as incident:
        return replay(incident, box)


def ids(path: Path) -> list[int]:
    with opened(path) as incident:
        return [row.id for row in incident.rows()]


async def test_an_incident_leads_from_the_state_before_it_and_is_replayed_bit_for_bit(
    filled: Place, tmp_path: Path
) -> None:
    path = tmp_path / "i.zip"
    manifest = await captured(filled, path, 900, 1000)
    (state,) = manifest.states
    first = ids(path)[0]
    assert state.member
    assert 0 < first <= 90
    assert ids(path) == list(range(first, 100))
    found = replayed(path)
    assert (found.is_exact, found.is_same, found.compared) == (True, True, 100 - first)
    assert [*result("chain", found)] == [
        f"bit-exact: all {100 - first} predictions, {found.true} of them True"
    ]
    whole = Chain()
    for id_ in range(first):
        whole.predict(sample(id_))
    with opened(path) as incident:
        assert incident.state(state.member) == whole.state
        said = {row.id: row.said for row in incident.rows() if row.said}
    assert said
    assert all(text.startswith("state ") for text in said.values())


async def test_a_reset_in_the_range_is_replayed_at_its_place(place: Place, tmp_path: Path) -> None:
    async with place.lines(Talking, snapshot_every=10) as lines:
        await stream(lines, 0, 35)
        await reset(place, lines)
        await stream(lines, 35, 60)
    path = tmp_path / "i.zip"
    manifest = await captured(place, path, 200, 600)
    assert [each.is_fresh for each in manifest.states][1:] == [True]
    assert "begun" in {each.kind for each in manifest.events}
    found = replayed(path)
    assert found.is_exact
    assert found.compared == len(ids(path))


async def test_what_lies_before_the_oldest_state_is_not_replayable(
    filled: Place, tmp_path: Path
) -> None:
    await filled.behead(1)
    for position in ("25", "65"):
        await filled.select(f"DELETE FROM snapshots WHERE position < {position}")  # noqa: S608
    path = tmp_path / "i.zip"
    manifest = await captured(filled, path, 0, 1200)
    first = manifest.states[0].row + 1  # sample 0 is deleted
    assert ids(path) == list(range(1, 120))
    found = replayed(path)
    assert found.is_exact
    assert (found.skipped, found.compared) == (first - 1, 120 - first)
    left_out = f"{first - 1} samples are left out"
    assert next(result("chain", found)) == (
        f"not replayable before sample {first} of session 00000000 at"
        f" 1970-01-01T00:00:00.000000Z: {left_out}"
    )


async def test_without_any_state_another_predictor_can_be_tried(
    filled: Place, tmp_path: Path
) -> None:
    await filled.behead(1)
    await filled.select("DELETE FROM snapshots")
    path = tmp_path / "i.zip"
    manifest = await captured(filled, path, 0, 1200)
    assert manifest.states == []
    found = replayed(path)
    assert (found.is_same, found.is_exact, found.compared) == (False, False, 119)


async def test_a_state_too_many_samples_before_is_left_out(filled: Place, tmp_path: Path) -> None:
    await captured(filled, tmp_path / "first.zip", 900, 1000)
    since = ids(tmp_path / "first.zip")[0] + 4
    for before, states in ((4, 1), (3, 0)):
        path = tmp_path / f"{before}.zip"
        manifest = await captured(filled, path, 10 * since, 1000, Bounds(before=before))
        assert len(manifest.states) == states
        assert ids(path) == list(range(since - 4 * states, 100))
    with pytest.raises(CommandError, match="more than 10 samples: give less --minutes"):
        await captured(filled, tmp_path / "j.zip", 0, 1200, Bounds(rows=10))


async def test_without_samples_in_the_range_those_on_record_are_told(
    filled: Place, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match="a: no samples were taken from 1970-") as raised:
        await captured(filled, tmp_path / "i.zip", 10**9, 2 * 10**9)
    assert str(raised.value) == (
        "a: no samples were taken from 1970-01-01T00:00:01.000000Z to 1970-01-01T00:00:02.000000Z;"
        " those on record were taken from 1970-01-01T00:00:00.000000Z to"
        " 1970-01-01T00:00:00.000001Z. A time without Z or an offset is local time"
    )


async def test_the_readme_of_an_incident_names_its_members(filled: Place, tmp_path: Path) -> None:
    await captured(filled, tmp_path / "with.zip", 900, 1000)
    await filled.behead(1)
    await filled.select("DELETE FROM snapshots")
    await captured(filled, tmp_path / "without.zip", 0, 1200)
    for name in ("with", "without"):
        with ZipFile(tmp_path / f"{name}.zip") as archive:
            text = archive.read("README.txt").decode()
            has_states = any(each.startswith("states/") for each in archive.namelist())
        assert has_states == (name == "with") == ("states/" in text)


async def test_the_first_difference_is_told(filled: Place, tmp_path: Path) -> None:
    path = tmp_path / "i.zip"
    await captured(filled, path, 400, 700)
    found = replayed(path, BlackBox(Contrary, "d1"))
    assert found.first
    row = found.first.row
    assert (row.id, found.first.now, found.differing) == (57, not row.prediction, 1)
    assert next(result("chain", found)) == (
        f"first difference: sample 57 of session 00000000 at 1970-01-01T00:00:00.000000Z:"
        f" recorded {row.prediction}, now {not row.prediction}"
    )
    events = [Event(at_ns, "begun", f"for reason {at_ns}") for at_ns in (0, 1, 2**62)]
    (told,) = [each for each in result("chain", found, events) if "before it" in each]
    assert told.endswith("the predictor was started again: for reason 1")
    assert not [each for each in result("chain", found) if "explanation" in each]
    found.first = Difference(row, found.first.now, "too high")
    said = [each.split(": ") for each in result("chain", found) if "explanation" in each]
    assert [words.strip() for _, words in said] == ["none", "too high"]
    other = replayed(path, BlackBox(Chain, "d2"))
    assert not other.is_same
    assert other.compared == len(ids(path))
    assert "starts fresh at the first sample" in next(result("chain", other))
    failed = replayed(path, BlackBox(Failing, "d1"))
    assert not failed.is_exact
    assert failed.raised == "ZeroDivisionError: 57"
    assert "at sample 57 of session" in next(result("chain", failed))


async def test_samples_of_another_predictor_are_left_out(place: Place, tmp_path: Path) -> None:
    async with place.lines(Talking, snapshot_every=10) as lines:
        await stream(lines, 0, 30)
    async with place.lines(Contrary, digest="d2", snapshot_every=10) as lines:
        await stream(lines, 30, 45, session=1)
        await stream(lines, 45, 60, session=1)
    path = tmp_path / "i.zip"
    manifest = await captured(place, path, 0, 600)
    assert {each.digest for each in manifest.states} == {"d1", "d2"}
    found = replayed(path, BlackBox(Contrary, "d2"))
    assert found.is_exact
    assert found.skipped >= 30
    former = replayed(path)
    assert former.is_exact
    assert (former.compared, former.skipped_later) == (30, 30)
    told = "\n".join(result("chain", former))
    assert "30 later samples are left out: these answers were made by another model" in told


async def test_a_sample_is_found_by_its_id(place: Place) -> None:
    async with place.lines(Talking) as lines:
        for session in (1, 2):
            with await lines.open(header(5, session, at_ns=session * 1000, period_ns=10)) as opened:
                await send_on(opened, [sample(id_) for id_ in range(5, 20)])
    reader = place.reader
    assert (await sample_of(reader, "a", 7, "")).sampled_at_ns == 2020
    assert (await sample_of(reader, "a", 7, f"{1:032x}")).sampled_at_ns == 1020
    with pytest.raises(CommandError, match="several sessions begin with 0000"):
        await sample_of(reader, "a", 7, "0000")
    with pytest.raises(CommandError, match="no sample 4 in a session: 'broker ledger' lists"):
        await sample_of(reader, "a", 4, "")
    with pytest.raises(CommandError, match="no agent b; it has a"):
        await sample_of(reader, "b", 4, "")


async def test_a_clock_that_was_wrong_hides_no_incident(place: Place, tmp_path: Path) -> None:
    """It was ahead for more samples than are read at a time, and is right again."""
    async with place.lines(Talking, snapshot_every=25) as lines:
        await stream(lines, 0, 50)
        with await lines.open(header(50, 1, at_ns=10**9, period_ns=10)) as ahead:
            await send_on(ahead, [sample(id_) for id_ in range(50, 1250)])
        await stream(lines, 1250, 1300, 2)
    path = tmp_path / "i.zip"
    await captured(place, path, 12_600, 12_700)
    assert ids(path)[-10:] == list(range(1260, 1270))
    assert replayed(path).is_exact


async def test_a_sample_of_a_time_beyond_all_clocks_is_taken_along(
    place: Place, tmp_path: Path
) -> None:
    async with place.lines(Talking, snapshot_every=25) as lines:
        await stream(lines, 0, 10)
        with await lines.open(header(10, 1, at_ns=MAX_NS)) as opened:
            await send_on(opened, [sample(10)])
        await stream(lines, 11, 20, 2)
    path = tmp_path / "i.zip"
    await captured(place, path, 0, 1000)
    assert ids(path) == list(range(20))


async def test_what_no_replay_would_read_is_not_written(
    filled: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.incident.capture.MOST_MANIFEST", 100)
    with pytest.raises(CommandError, match="too many sessions and events: give less --minutes"):
        await captured(filled, tmp_path / "i.zip", 900, 1000)
