"""`broker export`, from records of either kind."""

import asyncio
import csv
import os
import resource
import signal
from pathlib import Path

import pytest
from support.chain import Chain
from support.read import Place, Site
from support.store import header, sample, send_on

from broker.config import PredictorSettings
from broker.errors import CommandError, OutputError
from broker.export.commands import interruptible
from broker.export.export import Export, Exported, export
from broker.export.formats import Format
from broker.export.rows import rows, rows_with_statistics
from broker.predictors import BlackBox
from broker.recorder.reader import Span
from broker.whole import check, written
from quartet.channels import as_float32
from quartet.errors import SettingsError, StoreError

CHART = PredictorSettings()


class Measured(Chain):
    """Tells a number that depends on all that it has seen."""

    def statistics(self) -> dict[str, tuple[float, float]]:
        return {"chain": (float(self.state[1]), 100.0)}


async def exported(site: Site, path: Path, span: Span = Span(), agent: str = "a") -> Exported:  # noqa: B008
    wanted = Export(agent, span, Format.CSV, path)
    return await export(site.reader, wanted, lambda *_: None)


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


async def test_an_export_has_all_of_a_span_with_its_explanations(
    site: Site, tmp_path: Path
) -> None:
    await site.stream("a", 0, 0, 700, 0)
    await site.stream("a", 1, 0, 700, 7000)
    await site.stream("b", 2, 0, 10, 0)
    path = tmp_path / "a.csv"
    assert (await exported(site, path, Span(100, 12_000))).samples == 1190
    found = read(path)
    assert [(int(row[1], 16), int(row[2])) for row in found] == [
        (session, id_)
        for agent, session, id_, at_ns in site.sent
        if agent == "a" and 100 <= at_ns < 12_000
    ]
    assert [as_float32(map(float, row[3:7])) for row in found] == [
        sample(int(row[2])).values for row in found
    ]
    assert all(row[7] == str(int(int(row[2]) % 2 == 0)) for row in found)
    said = {row[2]: row[9] for row in found if row[9]}
    assert said == {str(id_): f"as {id_} says" for id_ in range(0, 700, 10)}
    assert names(tmp_path) == ["a.csv"]


async def test_an_unknown_agent_is_told_and_leaves_no_file(site: Site, tmp_path: Path) -> None:
    await site.stream("a", 0, 0, 1, 0)
    with pytest.raises(CommandError, match=r"no agent nobody; it has a$"):
        await exported(site, tmp_path / "a.csv", agent="nobody")
    assert names(tmp_path) == []


async def test_a_disk_that_fills_leaves_no_file(site: Site, tmp_path: Path) -> None:
    await site.stream("a", 0, 0, 3000, 0)
    path = tmp_path / "a.csv"
    path.write_text("the former one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(OutputError, match=r"a\.csv: cannot be written: File too large"):
            await exported(site, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "the former one"
    assert names(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_link_stays_and_the_file_that_it_leads_to_is_written(
    is_there: bool, site: Site, tmp_path: Path
) -> None:
    await site.stream("a", 0, 0, 3, 0)
    (tmp_path / "shared").mkdir()
    target, link = tmp_path / "shared" / "latest.csv", tmp_path / "a.csv"
    link.symlink_to(Path("shared", "latest.csv"))
    if is_there:
        target.write_text("the former one")
    await exported(site, link)
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 4
    assert sorted(names(tmp_path)) == ["a.csv", "shared"]
    assert names(target.parent) == ["latest.csv"]


@pytest.mark.parametrize(
    ("leads_to", "said"),
    [("b.csv", "leads back to itself"), ("none/b.csv", "no directory /.*none$")],
)
def test_a_link_to_nowhere_is_told_before_anything_is_read(
    leads_to: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").symlink_to(leads_to)
    (tmp_path / "b.csv").symlink_to("a.csv")
    with pytest.raises(SettingsError, match=said):
        check(tmp_path / "a.csv", overwrite=True)
    assert (tmp_path / "a.csv").is_symlink()


async def test_statistics_are_those_of_a_predictor_that_was_never_interrupted(
    place: Place,
) -> None:
    box = BlackBox(Measured, "d1")
    for first in range(0, 120, 40):
        async with place.lines(Measured, snapshot_every=25) as lines:
            with await lines.open(header(first, at_ns=10 * first, period_ns=10)) as stream:
                await send_on(stream, [sample(id_) for id_ in range(first, first + 40)])
    whole = Measured()
    expected = {}
    for id_ in range(120):
        whole.predict(sample(id_))
        expected[id_] = whole.statistics()
    for span in (Span(), Span(600, 1100), Span(130, 140)):
        found = [each async for each in rows_with_statistics(place.reader, "a", span, box)]
        plain = [each async for each in rows(place.reader, "a", span)]
        samples = [each for some in found for each in some.samples]
        assert samples == [each for some in plain for each in some.samples]
        told = [each for some in found for each in some.statistics or ()]
        assert told == [expected[each.id] for each in samples]


# A clock that is an hour ahead and is set right, and one that is behind at first. In ns.
CLOCKS = {
    "ahead for a while": ((0, 100, 0), (100, 1300, 10**9), (1300, 1400, 13_000)),
    "ahead, and set back": ((0, 700, 13_000), (700, 2700, 0)),
    "behind at first": ((0, 700, 13_000), (700, 800, 0), (800, 1500, 13_500)),
}


@pytest.mark.parametrize("clock", CLOCKS)
async def test_a_clock_that_was_wrong_costs_no_rows_of_the_statistics(
    place: Place, clock: str
) -> None:
    async with place.lines(Measured, snapshot_every=25) as lines:
        for session, (first, end, at_ns) in enumerate(CLOCKS[clock]):
            opened = header(first, session, at_ns=at_ns, period_ns=10)
            with await lines.open(opened) as stream:
                await send_on(stream, [sample(id_) for id_ in range(first, end)])
    box = BlackBox(Measured, "d1")
    for span in (Span(), Span(0, 10**6), Span(13_000, 14_000), Span(15_000, 16_000)):
        plain = [each async for some in rows(place.reader, "a", span) for each in some.samples]
        found = [
            each
            async for some in rows_with_statistics(place.reader, "a", span, box)
            for each in some.samples
        ]
        assert found == plain


async def test_numbers_of_another_predictor_are_left_out_and_told(
    site: Site, tmp_path: Path
) -> None:
    await site.stream("a", 0, 0, 5, 0)
    path = tmp_path / "a.csv"
    wanted = Export("a", Span(), Format.CSV, path, CHART)
    done = await export(site.reader, wanted, lambda *_: None)
    assert (done.samples, done.with_statistics) == (5, 0)
    assert "another predictor than the one that answered" in done.remark
    assert [row[10] for row in read(path)] == [""] * 5


def test_a_file_is_never_overwritten_by_mistake(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(SettingsError, match="exists already: give --overwrite"):
        check(path, overwrite=False)
    check(path, overwrite=True)
    with pytest.raises(SettingsError, match="is a directory"):
        check(tmp_path, overwrite=True)
    with pytest.raises(SettingsError, match="there is no directory"):
        check(tmp_path / "none" / "a.csv", overwrite=False)


def test_a_file_has_the_rights_that_a_person_expects_and_is_gone_after_an_error(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.csv"
    before = os.umask(0o027)
    try:
        with written(path) as file:
            file.write(b"all")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    path.unlink()
    for error in (KeyboardInterrupt(), StoreError("the store is damaged")):
        with pytest.raises(type(error)) as raised:
            _fails(path, error)
        assert raised.value is error
    assert names(tmp_path) == []


def test_a_name_may_be_as_long_as_a_directory_takes(tmp_path: Path) -> None:
    path = tmp_path / f"{'日' * 83}.csv"
    with written(path) as file:
        file.write(b"all")
    assert path.read_bytes() == b"all"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_leaves_no_file(number: signal.Signals, tmp_path: Path) -> None:
    async def work() -> None:
        with written(tmp_path / "a.csv") as file:
            file.write(b"half")
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(interruptible(work()))
    assert names(tmp_path) == []


def _fails(path: Path, error: BaseException) -> None:
    with written(path) as file:
        file.write(b"half")
        raise error
