"""The order of brokers, and whose turn it is."""

import random
from collections import Counter

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.turn import STEADY_S, Turn, ranked
from quartet.address import Address
from quartet.backoff import Backoff

many = settings(derandomize=True, deadline=None, max_examples=100)

hosts = st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True)
brokers = st.lists(st.builds(Address, hosts, st.integers(1, 65535)), min_size=1, unique=True)
agent_ids = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)

FLEET = [Address(f"b{number}", 8061) for number in range(5)]
AGENTS = [f"press-{number}" for number in range(2000)]


@many
@given(agent_ids, brokers, st.randoms(use_true_random=False))
def test_an_order_has_each_broker_once_whatever_the_order_of_the_list(
    agent_id: str, listed: list[Address], chance: random.Random
) -> None:
    order = ranked(agent_id, listed)
    assert sorted(order, key=str) == sorted(listed, key=str)
    chance.shuffle(listed)
    assert ranked(agent_id, listed) == order


@many
@given(agent_ids, brokers, st.data())
def test_without_one_broker_the_others_keep_their_order(
    agent_id: str, listed: list[Address], data: st.DataObject
) -> None:
    assume(len(listed) > 1)
    gone = data.draw(st.sampled_from(listed))
    without = [broker for broker in listed if broker != gone]
    assert ranked(agent_id, without) == tuple(
        broker for broker in ranked(agent_id, listed) if broker != gone
    )


def test_agents_spread_over_the_brokers_and_so_do_those_of_one_that_is_gone() -> None:
    orders = [ranked(agent_id, FLEET) for agent_id in AGENTS]
    homes = Counter(order[0] for order in orders)
    fair = len(AGENTS) / len(FLEET)
    assert all(0.85 * fair < homes[broker] < 1.15 * fair for broker in FLEET)
    for gone in FLEET:
        seconds = Counter(order[1] for order in orders if order[0] == gone)
        assert all(
            0.6 * fair / 4 < seconds[broker] < 1.4 * fair / 4 for broker in FLEET if broker != gone
        )


def test_the_order_is_the_same_in_each_release() -> None:
    # Agents of two releases in one plant would otherwise have other homes, and move at an update.
    assert [each.host for each in ranked("press-1", FLEET)] == ["b4", "b0", "b3", "b2", "b1"]


def turn(count: int) -> Turn:
    return Turn(FLEET[:count], Backoff(8.0, 8.0, Last()))


class Last(random.Random):
    """Chance that always falls on the end of the range."""

    def random(self) -> float:
        return 1.0


def failures(of: Turn, count: int) -> list[tuple[str, float]]:
    """Where each failure leads, and after how long a wait."""
    waits = [(of.broken(0.0), of.present.host) for _ in range(count)]
    return [(host, wait_s) for wait_s, host in waits]


def test_one_broker_alone_is_tried_again_after_a_wait() -> None:
    assert failures(turn(1), 3) == [("b0", 8.0)] * 3


def test_all_are_tried_at_once_before_each_wait() -> None:
    assert failures(turn(3), 7) == [
        *(("b1", 0.0), ("b2", 0.0), ("b0", 8.0)),
        *(("b1", 0.0), ("b2", 0.0), ("b0", 8.0)),
        ("b1", 0.0),
    ]


def test_a_link_that_has_been_steady_breaks_into_a_whole_round_without_a_wait() -> None:
    of = turn(3)
    failures(of, 2)
    of.answered()
    assert of.broken(STEADY_S) == 0.0
    assert [wait_s for _, wait_s in failures(of, 2)] == [0.0, 8.0]


@many
@given(st.integers(1, 5), st.lists(st.booleans(), min_size=20))
def test_brokers_that_answer_once_and_break_are_not_tried_in_a_loop_without_a_wait(
    count: int, answers: list[bool]
) -> None:
    of = turn(count)
    waits = []
    for answer in answers:
        if answer:
            of.answered()
        waits.append(of.broken(0.9 * STEADY_S if answer else 0.0))
    assert waits == [0.0 if number % count else 8.0 for number in range(1, len(answers) + 1)]


def test_home_that_refuses_is_left_again_for_the_one_that_was_left() -> None:
    of = turn(3)
    of.broken(60.0)
    of.answered()
    of.go_home()
    assert of.present == of.home
    assert of.go_back()
    assert of.present.host == "b1"
    assert not of.go_back()


def test_home_that_has_answered_is_not_left_for_a_refusal() -> None:
    of = turn(3)
    of.broken(60.0)
    of.go_home()
    of.answered()
    assert not of.go_back()
    assert of.present == of.home


def test_home_that_breaks_before_its_answer_is_a_broken_link() -> None:
    of = turn(3)
    failures(of, 2)
    of.answered()
    assert not of.is_homecoming
    of.go_home()
    assert of.is_homecoming
    assert of.broken(60.0) == 0.0
    assert of.present.host == "b1"
    assert not of.is_homecoming
    assert not of.go_back()
