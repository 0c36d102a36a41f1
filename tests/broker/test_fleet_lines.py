"""Lines that several brokers share: an agent goes from one to another at any moment."""

import contextlib
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Chain
from support.postgres import Server
from support.store import OpenLines, expected, header, sample, send_on

from broker.errors import RecordError
from broker.model import Answer
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.stream import Stream

BROKERS = 3

moves = st.tuples(
    st.integers(0, BROKERS - 1),  # to which broker the agent goes
    st.integers(1, 40),  # how many samples it sends there
    st.integers(0, 30),  # how many of the last it sends again
    st.booleans(),  # whether its former stream is left open, as that of a frozen broker is
    st.integers(0, BROKERS - 1),  # who of the brokers goes on with a stream that it has open
)


@dataclasses.dataclass
class Left:
    """A stream that an agent has left, and what its broker would do with it."""

    stream: Stream
    next_id: int


@settings(derandomize=True, deadline=None, max_examples=15)
@given(st.lists(moves, max_size=14))
async def test_an_agent_gets_the_same_predictions_wherever_it_goes(
    postgres: Server, script: list[tuple[int, int, int, bool, int]]
) -> None:
    database = await postgres.emptied()
    async with contextlib.AsyncExitStack() as stack:
        fleet = []
        for _ in range(BROKERS):
            recorder = PostgresRecorder(database.url, "d1", FleetKeeping(), tick_s=0.01)
            await stack.enter_async_context(recorder)
            fleet.append(OpenLines(Chain, recorder, snapshot_every=25))
        box = Chain()
        answered: list[Answer] = []
        left: dict[int, Left] = {}
        owner = None
        for to, count, again, stays, late in script:
            first = max(0, len(answered) - again)
            wanted = range(first, len(answered) + count)
            stream = (await fleet[to].open(header(first))).__enter__()
            answers, refusal = await send_on(stream, [sample(id_) for id_ in wanted])
            assert refusal is None
            answered += expected(box, wanted[len(answered) - first :])
            assert answers == answered[first:]
            owner = to
            if former := left.pop(to, None):
                former.stream.__exit__()
            if stays:
                left[to] = Left(stream, len(answered))
            else:
                stream.__exit__()
            if late != owner and late in left:  # it wakes up, and knows of nothing
                waking = left.pop(late)
                with pytest.raises(RecordError):
                    await waking.stream.answer([sample(waking.next_id)])
                waking.stream.__exit__()
        for each in left.values():
            each.stream.__exit__()
    rows = await database.select("SELECT id, prediction, position FROM samples ORDER BY position")
    assert rows == [(each.id, each.prediction, each.id + 1) for each in answered]
    counts = await database.select("SELECT answered, gaps, refused, last_id FROM sessions")
    assert counts == ([(len(answered), 0, 0, len(answered) - 1)] if answered else [])
