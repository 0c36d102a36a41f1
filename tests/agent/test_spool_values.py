"""Values and times are given back as they were taken, bit for bit, from either tier."""

import struct
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.spools import EPOCH_NS, Device, home_in_ram

from agent.model import Sample

few = settings(derandomize=True, deadline=None, max_examples=40)

FLOATS = struct.Struct("<4f")
YEAR_2099_NS = 4_070_908_800 * 10**9

# Each kind of a float32 at its bounds: zeros, subnormals, normal ones, infinities, quiet NaNs.
SPECIAL = (
    *(0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x7F7FFFFF),
    *(0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7FC00001, 0x7FFFFFFF, 0xFFD5A5A5),
)
STAMPS = (0, 1, -1, EPOCH_NS, YEAR_2099_NS, -(2**63), 2**63 - 1)


def is_signalling(bits: int) -> bool:
    """No float of Python is a NaN of this kind: the processor makes it a quiet one."""
    return bits & 0x7F800000 == 0x7F800000 and 0 < bits & 0x7FFFFF < 0x400000


bits_ = st.one_of(
    st.sampled_from(SPECIAL),
    st.integers(0, 2**32 - 1).filter(lambda bits: not is_signalling(bits)),
)
stamps = st.one_of(st.sampled_from(STAMPS), st.integers(-(2**63), 2**63 - 1))
readings = st.lists(st.tuples(st.tuples(*[bits_] * 4), stamps), min_size=1, max_size=60)


@pytest.mark.parametrize("tier", ["memory", "hot", "cold"])
@few
@given(given_readings=readings)
@example(given_readings=[((bits,) * 4, at_ns) for bits in SPECIAL for at_ns in STAMPS])
async def test_values_and_times_survive_bit_for_bit(
    tier: Literal["memory", "hot", "cold"],
    given_readings: list[tuple[tuple[int, int, int, int], int]],
) -> None:
    with home_in_ram() as home:
        device = Device(home, clock=ManualClock())
        device.start()
        session = device.begin_session()
        device.step()
        for id_, (bits, at_ns) in enumerate(given_readings):
            values = FLOATS.unpack(struct.pack("<4I", *bits))
            device.queue.append(Sample(session, id_, values, at_ns), is_noted=False)
        device.step()
        if tier == "hot":
            device.kill()
            device.start()
        elif tier == "cold":
            device.close()
            device.start()
        device.step()
        samples = await device.drain()
        device.tiers.close()
    assert [sample.session for sample in samples] == [session] * len(given_readings)
    assert [sample.id for sample in samples] == [*range(len(given_readings))]
    taken = [(struct.unpack("<4I", FLOATS.pack(*s.values)), s.sampled_at_ns) for s in samples]
    assert taken == given_readings


async def test_a_session_keeps_its_place_its_id_its_cadence_and_its_start() -> None:
    with home_in_ram() as home:
        device = Device(home, clock=ManualClock())
        sessions = []
        for _ in range(3):
            device.start()
            device.keep(2)
            sessions += [sample.session for sample in device.append(1)]
            device.close()
        device.start()
        samples = await device.drain()
        device.tiers.close()
    assert [s.session for s in samples] == [session for session in sessions for _ in range(3)]
    assert [session.sequence for session in sessions] == [1, 2, 3]
