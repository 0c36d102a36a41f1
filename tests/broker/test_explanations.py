"""What black boxes say of their answers: logged, recorded beside them, and gone with them."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.chain import Chain
from support.clock import ManualClock
from support.store import OpenLines, full_disk, header, lines_in, sample, select, send

from broker.__main__ import main
from broker.errors import RecordError
from broker.model import Code, Sample
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.plain import PlainLines
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.records import SNAPSHOT_EVERY
from quartet.database import connect


class Telling(Chain):
    """True for every third id; has something to say of even ones."""

    def predict(self, sample: Sample) -> bool:
        super().predict(sample)
        self.id = sample.id
        return sample.id % 3 == 0

    def explain(self) -> object:
        return f"as {self.id} is even" if self.id % 2 == 0 else None


class Saying(Telling):
    """Says one thing, whatever it is; counts how often it is asked."""

    asked = 0

    def __init__(self, thing: Callable[[], object]) -> None:
        super().__init__()
        self._thing = thing

    def explain(self) -> object:
        Saying.asked += 1
        return self._thing()


@pytest.fixture(autouse=True)
def count() -> Iterator[None]:
    Saying.asked = 0
    yield
    logging.disable(logging.NOTSET)


def kept(path: Path) -> list[tuple[object, ...]]:
    """Agent, id and text of each explanation; each lies where its sample does."""
    placed = select(
        path,
        "SELECT agent_id, id, text FROM lines JOIN samples USING (line)"
        " JOIN explanations USING (position, line, session, id) ORDER BY position",
    )
    assert [(len(placed),)] == select(path, "SELECT count(*) FROM explanations")
    return placed


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The log, from informative on."""
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "broker.host"
    ]


# What is said


async def test_a_true_answers_reason_is_a_warning_and_a_false_ones_a_remark(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    lines = OpenLines(Telling)
    await send(lines, range(5), agent="press")
    with await lines.open(None) as stream:
        await stream.answer([sample(6)])
    assert said(caplog) == [
        ("WARNING", "press: sample 0: as 0 is even"),
        ("INFO", "press: sample 2: as 2 is even"),
        ("INFO", "press: sample 4: as 4 is even"),
        ("WARNING", "a client without agent metadata: sample 6: as 6 is even"),
    ]


async def test_rows_are_told_with_their_time_where_the_period_is_known(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with lines_in(path, lambda: Saying(lambda: "off over the last 27,000 rows")) as lines:
        for first, period_ns in ((0, 10**8), (1, 0)):
            with await lines.open(header(first, period_ns=period_ns)) as stream:
                await stream.answer([sample(first)])
    texts = ["off over the last 27,000 rows (45 min)", "off over the last 27,000 rows"]
    assert [text for _, _, text in kept(path)] == texts
    assert [text for _, text in said(caplog)] == [
        f"a: sample {id_}: {text}" for id_, text in enumerate(texts)
    ]


async def test_each_explanation_is_kept_at_the_position_of_its_sample(path: Path) -> None:
    with lines_in(path, Telling) as lines, await lines.open(None, "1.2.3.4") as plain:
        for first in (0, 3, 8):
            await asyncio.gather(
                send(lines, range(first, first + 3), agent="a"),
                send(lines, range(first, first + 3), agent="b"),
                plain.answer([sample(first)]),
            )
        rows = kept(path)
    for agent, ids in (("a", [0, 2, 4, 8, 10]), ("b", [0, 2, 4, 8, 10]), (None, [0, 8])):
        assert [id_ for name, id_, _ in rows if name == agent] == ids
    assert {text for _, id_, text in rows if id_ == 4} == {"as 4 is even"}


async def test_a_resent_sample_is_not_explained_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for last in (5, 9):
        with lines_in(path, Telling) as lines:
            await send(lines, range(last))
            await send(lines, range(2, last))
    assert [id_ for _, id_, _ in kept(path)] == [0, 2, 4, 6, 8]
    assert len(said(caplog)) == 5


@pytest.mark.parametrize("count", [50, SNAPSHOT_EVERY + 50])
async def test_a_replay_explains_nothing_again(
    count: int, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with lines_in(path, Telling) as lines:
        await send(lines, range(count))
    caplog.set_level(logging.INFO)
    caplog.clear()
    with lines_in(path, Telling) as lines:
        await send(lines, [count + 1])
    assert said(caplog) == []
    assert [id_ for _, id_, _ in kept(path)] == list(range(0, count, 2))


async def test_what_a_failed_commit_took_along_is_explained_when_it_is_sent_again(
    path: Path,
) -> None:
    with lines_in(path, Telling) as lines:
        await send(lines, range(3))
        with full_disk(path), pytest.raises(RecordError):
            await send(lines, range(3, 7))
        assert [id_ for _, id_, _ in kept(path)] == [0, 2]
        await send(lines, range(3, 7))
    assert [id_ for _, id_, _ in kept(path)] == [0, 2, 4, 6]


# What cannot be said


def fail() -> object:
    raise KeyError("reason")


def leave() -> object:
    raise SystemExit(1)


class Wordless:
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("thing", "reason"),
    [(fail, "KeyError: 'reason'"), (leave, "SystemExit: 1"), (Wordless, "ValueError: no words")],
)
async def test_a_black_box_that_cannot_explain_itself_is_asked_once_and_loses_no_sample(
    thing: Callable[[], object], reason: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with lines_in(path, lambda: Saying(thing)) as lines:
        answers, refusal = await send(lines, range(20))
        assert refusal is None
        assert [each.id for each in answers] == list(range(20))
        assert (await send(lines, range(15, 25)))[1] is None
    assert Saying.asked == 1
    assert [text for _, text in said(caplog)] == [
        f"a: its predictor cannot explain its answers ({reason}), and is not asked again"
    ]
    assert select(path, "SELECT answered, refused FROM sessions") == [(25, 0)]
    assert kept(path) == []


async def test_a_fresh_black_box_is_asked_again(path: Path) -> None:
    class Raising(Saying):
        def predict(self, sample: Sample) -> bool:
            if sample.id == 3:
                raise ArithmeticError
            return super().predict(sample)

    with lines_in(path, lambda: Raising(fail)) as lines:
        _, refusal = await send(lines, range(4))
        assert refusal.code is Code.INTERNAL
        await send(lines, range(4, 9))
    assert Saying.asked == 1 + 3 + 1  # of the replayed ones it is asked as well


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        ("", ""),
        (42, "42"),
        (("T2", 3.5), "('T2', 3.5)"),
        ("é 漢 😀", "é 漢 😀"),
        ("two\nlines\r\n\x1b[31mred\0end", "two lines   [31mred end"),
        ("half a character \udc80", "half a character ?"),
        ("x" * 10_000, "x" * 500),
        ("漢" * 600, "漢" * 500),
    ],
)
async def test_whatever_is_said_is_kept_as_one_line_of_text_within_bounds(
    thing: object, text: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with lines_in(path, lambda: Saying(lambda: thing)) as lines:
        assert (await send(lines, [1, 2]))[1] is None
    assert kept(path) == [("a", 1, text), ("a", 2, text)]
    assert said(caplog) == [("INFO", f"a: sample {id_}: {text}") for id_ in (1, 2)]


# How long it is kept


async def test_explanations_go_with_their_samples(path: Path) -> None:
    logging.disable(logging.WARNING)
    keeping = Keeping(replay=100, max_bytes=1 << 20)
    clock = ManualClock()
    with lines_in(path, Telling, keeping=keeping, clock=clock) as lines:
        for first in range(0, 24_000, 2000):
            clock.now_s += 1.0
            await send(lines, range(first, first + 2000))
    ids = [id_ for (id_,) in select(path, "SELECT id FROM samples")]
    assert 100 <= len(ids) < 23_000
    assert [id_ for _, id_, _ in kept(path)] == [id_ for id_ in ids if id_ % 2 == 0]  # type: ignore[operator]


async def test_explanations_of_plain_peers_go_with_their_lines_step_by_step(path: Path) -> None:
    logging.disable(logging.WARNING)
    with lines_in(path, lambda: Saying(lambda: "always")) as lines:
        with await lines.open(None) as plain:
            await plain.answer([sample(0)] * 2000)
        await send(lines, range(10))
    with contextlib.closing(connect(path, MIGRATIONS, "off")) as connection:
        plain_lines = PlainLines(connection, most=0, removed=lambda _: None)
        steps = 0
        more = True
        while more:
            before = connection.total_changes
            more = plain_lines.step()
            steps += 1
            # A commit waits behind it: 500 samples, what belongs to them, and the line.
            assert connection.total_changes - before <= 2 * 500 + 2
            kept(path)
        assert steps == 5
    assert [row[:2] for row in kept(path)] == [("a", id_) for id_ in range(10)]


# A store from before there were any


@pytest.fixture
def older(path: Path) -> Path:
    """A store of schema 1, with what it had."""
    with contextlib.closing(connect(path, MIGRATIONS[:1], "normal")) as connection:
        connection.executescript("""
            INSERT INTO lines VALUES (1, 'a', 'ipv4:1.2.3.4:5'),
                (2, 'b', 'ipv6:%5B::1%5D:5'), (3, NULL, 'unix:');
            INSERT INTO sessions VALUES (1, 1, hex(zeroblob(16)), 0, 3, 4, 4, 0, 0, 0, 'd1', 0);
            INSERT INTO samples VALUES (1, 1, 1, 0, zeroblob(16), 0, 0, 1),
                (2, 1, 1, 1, zeroblob(16), 0, 0, 0), (3, 1, 1, 2, zeroblob(16), 0, 0, 0),
                (4, 1, 1, 3, zeroblob(16), 0, 0, 1)
        """)
    return path


async def test_an_older_store_is_brought_up_to_date_and_goes_on(older: Path) -> None:
    with lines_in(older, Telling) as lines:
        answers, refusal = await send(lines, range(7))
        assert refusal is None
        assert [each.prediction for each in answers] == [id_ % 3 == 0 for id_ in range(7)]
        assert [each.answered for each in (await SqliteReader(older).accounts()).sessions] == [7]
    assert select(older, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    peers = select(older, "SELECT peer FROM lines ORDER BY line")
    assert peers == [("1.2.3.4:5",), ("[::1]:5",), ("unix:",)]
    assert kept(older) == [("a", 4, "as 4 is even"), ("a", 6, "as 6 is even")]


def test_the_ledger_of_an_older_store_says_what_to_do_and_touches_nothing(
    older: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = older.read_bytes()
    assert main(["ledger", "--store", str(older)]) == 1
    message = capsys.readouterr().err
    assert f"has schema 1, this version of quartet knows {len(MIGRATIONS)}: stop the old" in message
    assert older.read_bytes() == before
