"""A chart that is cut at every row, against one that is not."""

import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import FAILED, NAN, at, moved, noise, told, warm

from broker.model import Sample
from broker.predictors.chart.charts import Chart
from broker.predictors.chart.scale import Phase
from quartet.channels import FLOAT32_MAX, Values

few = settings(derandomize=True, deadline=None, max_examples=25)

# Of four scales.
MOST_BYTES = 4 * 3000


@dataclass(frozen=True)
class Part:
    """So many rows of one kind."""

    kind: str
    rows: int
    spreads: float = 0.0
    channel: int = 1


def samples(parts: Iterable[Part]) -> Iterator[Sample]:
    """The samples of a line to which all that happens in turn."""
    id_ = 0
    source = noise(100_000, seed=3)
    for part in parts:
        if part.kind == "session":
            id_ = 0
        for number in range(part.rows):
            yield Sample(id_, _made(part, number, next(source)))
            id_ += 1


def _made(part: Part, number: int, row: Values) -> Values:
    if part.kind == "failed":
        return FAILED
    if part.kind == "ramp":
        return moved(row, part.channel, part.spreads * number / part.rows)
    if part.kind == "rough":
        return moved(row, part.channel, part.spreads * (-1) ** number)
    return moved(row, part.channel, part.spreads)


def phase_of(chart: Chart) -> Phase:
    """Of the scale of rows: behind what a snapshot says of a chart and of its scales."""
    return Phase(chart.snapshot()[10 + 3])


def cut_everywhere(script: Iterable[Sample], *, settle: int = 300) -> set[Phase]:
    """Compare a chart with one that is restored before each row; the phases it went through."""
    whole, cut = Chart(settle=settle), Chart(settle=settle)
    phases = set()
    for sample in script:
        state = cut.snapshot()
        cut = Chart(settle=settle)
        cut.restore(state)
        assert cut.snapshot() == state
        assert cut.predict(sample) == whole.predict(sample)
        assert cut.explain() == whole.explain()
        assert cut.snapshot() == whole.snapshot()
        assert cut.statistics() == whole.statistics()
        assert len(state) <= MOST_BYTES
        phases.add(phase_of(whole))
    return phases


LIFE = [
    *(Part("level", 400), Part("level", 20, 9.0), Part("level", 60), Part("level", 400, 7.0)),
    *(Part("failed", 5), Part("session", 60, 7.0), Part("level", 100), Part("level", 700, -7.0)),
    *(Part("rough", 300, 20.0), Part("level", 1500, 30.0), Part("level", 60, -7.0)),
    *(Part("ramp", 100, 5.0), Part("session", 100)),
]


def test_a_life_through_all_phases_is_the_same_cut_at_every_row() -> None:
    assert cut_everywhere(samples(LIFE)) == set(Phase)


parts = st.builds(
    Part,
    st.sampled_from(["level", "ramp", "rough", "failed", "session"]),
    st.integers(1, 100),
    st.sampled_from([0.0, 2.5, 7.0, -9.0, 40.0]),
    st.integers(0, 3),
)


@few
@given(st.lists(parts, max_size=5), st.lists(parts, max_size=12))
def test_whatever_happens_it_is_the_same_cut_at_every_row(
    early: list[Part], late: list[Part]
) -> None:
    script = [*early, Part("level", 300), *late, Part("level", 60)]
    cut_everywhere(samples(script), settle=30)


def _states() -> list[bytes]:
    """Of charts that learn, are quiet, are in alarm with their rows gathered, shifted, far off."""
    states = [Chart().snapshot()]
    chart = warm(quiet=50)
    states.append(chart.snapshot())
    for spreads, rows in ((8.0, 100), (8.0, 500), (30.0, 900)):
        told(chart, [moved(row, 1, spreads) for row in noise(rows, seed=rows)], 1000)
        states.append(chart.snapshot())
    return states


STATES = _states()
# Where the parts of a state begin: the scales, the first of them, its numbers.
SCALES, FIRST, NUMBERS = 10, 10 + 3, 10 + 3 + 22
damage = st.tuples(
    st.integers(0, 600),
    st.one_of(
        st.binary(min_size=1, max_size=3),
        st.sampled_from([NAN, 0.0, -1.0]).map(struct.Struct("<d").pack),
    ),
)


def damaged(state: bytes, *damages: tuple[int, bytes]) -> bytes:
    changed = bytearray(state)
    for wanted, patch in damages:
        place = wanted % (len(state) - len(patch))
        changed[place : place + len(patch)] = patch
    return bytes(changed)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.sampled_from(STATES), st.lists(damage, min_size=1, max_size=3), st.integers(0, 9))
def test_a_damaged_state_is_refused_or_works(
    state: bytes, damages: list[tuple[int, bytes]], cut: int
) -> None:
    chart = Chart()
    try:
        chart.restore(damaged(state, *damages)[: len(state) - cut])
    except (struct.error, ValueError):
        return
    told(chart, [*[FAILED] * 5, *noise(60, seed=8)], 10_000)
    chart.statistics()
    assert len(chart.snapshot()) <= MOST_BYTES


def parts_of(state: bytes) -> list[bytes]:
    """What is before the scales, and each scale without the points that wait behind it."""
    place, found = SCALES, [state[:SCALES]]
    while place < len(state):
        size, points = struct.unpack_from("<HB", state, place)
        found.append(struct.pack("<HB", size, 0) + state[place + 3 : place + 3 + size])
        place += 3 + size + points * 32
    return found


FRESH, QUIET = parts_of(STATES[0]), parts_of(STATES[1])
WAITING = damaged(QUIET[1], (2, b"\x1e")) + bytes(30 * 32)


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(damaged(STATES[1], (1, b"\4")), id="more failed rows than are counted"),
        pytest.param(damaged(STATES[2], (FIRST + 3, b"\0")), id="no patience"),
        pytest.param(damaged(STATES[2], (FIRST + 1, b"\xff")), id="a counter beyond its end"),
        pytest.param(damaged(STATES[2], (FIRST + 6, b"\1")), id="rows seen that are not kept"),
        pytest.param(damaged(STATES[0], (FIRST + 6, b"\1")), id="the same while it learns"),
        pytest.param(damaged(STATES[1], (NUMBERS, struct.pack("<d", NAN))), id="NaN, a level"),
        pytest.param(damaged(STATES[1], (NUMBERS + 32, bytes(8))), id="no spread"),
        pytest.param(damaged(STATES[1], (NUMBERS + 64, struct.pack("<d", -1.0))), id="no form"),
        pytest.param(damaged(STATES[1], (NUMBERS + 28 * 8 + 40, bytes(8))), id="a limit of 0"),
        pytest.param(b"".join([QUIET[0], WAITING, *QUIET[2:]]), id="points that are no mean yet"),
        pytest.param(b"".join([*FRESH[:2], QUIET[1], *FRESH[3:]]), id="slow ones learned before"),
        pytest.param(STATES[1] + b"\0", id="a byte more"),
    ],
)
def test_a_state_that_cannot_be_is_refused(state: bytes) -> None:
    with pytest.raises((struct.error, ValueError)):
        Chart().restore(state)


def test_a_chart_that_is_switched_off_goes_on_after_a_cut() -> None:
    chart, other = Chart(t2_limit=math.inf), Chart(t2_limit=math.inf)
    told(chart, list(noise(400)))
    other.restore(chart.snapshot())
    assert other.statistics() == chart.statistics()
    assert chart.statistics()["T2"][1] == math.inf


def test_the_largest_numbers_are_the_same_cut_at_every_row() -> None:
    huge = [
        at(row, channel, sign * FLOAT32_MAX)
        for channel, sign in ((1, 1), (2, -1))
        for row in noise(400)
    ]
    cut_everywhere(Sample(n, row) for n, row in enumerate([*noise(330), *huge]))
