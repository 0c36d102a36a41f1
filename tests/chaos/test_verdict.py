"""The verdict finds each way in which a promise can be broken, and excuses what the books name."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from chaos.evidence import Trail
from chaos.ledgers import AgentLedger, BrokerEntry, Difference, Ids, Loss
from chaos.records import Key, Logging, Taken
from chaos.trails import (
    COUNT,
    FIRST,
    ROWS,
    SECOND,
    as_logged,
    at_ns,
    changed,
    judge,
    kept,
    logged,
    swapped,
    with_first,
)

DAMAGED = "unknown (damaged file)"
CRASHED = "unknown (in memory alone at a crash)"

SOME = Key(FIRST, 7)
LATE = Key(FIRST, COUNT)


def test_a_run_that_kept_every_promise_is_not_accused() -> None:
    assert judge(kept()) == []


def test_a_prediction_may_be_logged_twice_if_it_is_the_same() -> None:
    trail = kept()
    assert judge(logged(trail, SOME, *(trail.logged[SOME] * 2))) == []


@pytest.mark.parametrize(
    ("broken", "accusation"),
    [
        (lambda e: logged(e, SOME), "1 of 40 samples without prediction"),
        (
            lambda e: logged(e, SOME, Logging(True, 7000, 0), Logging(False, 7000, 0)),
            "logged with different predictions",
        ),
        (
            lambda e: logged(
                e, SOME, as_logged(e, SOME, prediction=not e.logged[SOME][0].prediction)
            ),
            "logged otherwise than recorded",
        ),
        (lambda e: logged(e, SOME, as_logged(e, SOME, sampled_at_ns=10**9)), "another time"),
        (lambda e: logged(e, LATE, Logging(True, 0, 0)), "predictions of samples that were never"),
        (lambda e: logged(e, Key("c" * 32, 0), Logging(True, 0, 0)), "no ledger knows it"),
        (lambda e: replace(e, recorded=[*e.recorded, e.recorded[7]]), "recorded twice"),
        (lambda e: swapped(e, 3, 4), "not in rising order"),
        (lambda e: swapped(e, 3, 60), "otherwise than by a black box that saw all"),
        (lambda e: changed(e, 3, values=ROWS[4]), "other values than the CSV's"),
        (lambda e: changed(e, 3, prediction=not e.recorded[3].prediction), "a black box that saw"),
        (lambda e: with_first(e, waiting=1, waiting_ids=[(7, 7)]), "samples still wait"),
        (lambda e: with_first(e, fates={"unanswerable": Ids(1, [(7, 7)])}), "unanswerable"),
        (lambda e: with_first(e, fates={DAMAGED: Ids(1, [])}), "no fault hit their files"),
        (lambda e: replace(e, agent=AgentLedger(False, e.agent.sessions)), "does not balance"),
        (
            lambda e: replace(
                e, agent=AgentLedger(True, e.agent.sessions, [Difference(FIRST, "7", True)])
            ),
            "the ledgers contradict each other",
        ),
        (
            lambda e: replace(
                e, broker=[BrokerEntry("a", FIRST, 0, 39, 40, 40, 0, 1, [(7, 7)]), e.broker[1]]
            ),
            "40 samples are on record, 0 lost and 0 missing",
        ),
        (lambda e: replace(e, broker=e.broker[1:]), "is on record, and not in the broker's ledger"),
        (
            lambda e: replace(e, recorded=[r for r in e.recorded if r.key != SOME]),
            "not on record, and no fault took them",
        ),
    ],
)
def test_each_broken_promise_is_told(broken: Callable[[Trail], Trail], accusation: str) -> None:
    assert any(accusation in failure for failure in judge(broken(kept())))


def test_what_was_seen_on_the_way_is_told() -> None:
    assert judge(kept(), "broker 2 ended with 1") == ["broker 2 ended with 1"]


@pytest.mark.parametrize("runs", [[], [(7, 8)]])
def test_what_the_books_call_damaged_is_excused_and_no_more(runs: list[tuple[int, int]]) -> None:
    trail = replace(kept((SOME, Key(FIRST, 8))), robbed=True)
    assert judge(with_first(trail, fates={DAMAGED: Ids(2, runs)})) == []
    assert judge(with_first(trail, fates={CRASHED: Ids(2, runs)})) == []
    assert judge(with_first(trail, fates={DAMAGED: Ids(1, runs[:0])})) != []


HOMELESS = Key("c" * 32, 0)


@pytest.mark.parametrize(
    ("robbed", "homeless", "accused"),
    [(True, {3}, False), (True, {2}, True), (True, set(), True), (False, {3}, True)],
)
def test_a_session_without_trace_is_excused_by_its_own_agents_words_alone(
    robbed: bool, homeless: set[int], accused: bool
) -> None:
    trail = logged(kept(), HOMELESS, Logging(True, 0, 0, start=3))
    taken = [Taken(0, 0)]  # what it answered is on no record either
    trail = replace(trail, robbed=robbed, homeless=frozenset(homeless), taken=taken)
    assert any("no ledger knows it" in each for each in judge(trail)) == accused


def before(trail: Trail, *waiting: tuple[int, int]) -> Trail:
    """The same, of which a fault took the agent's books of the first session, with what waited."""
    first = msgspec.structs.replace(trail.agent.sessions[0], waiting_ids=list(waiting))
    return replace(trail, remembered={FIRST: first}, robbed=True)


def test_what_power_took_is_excused_if_it_waited_when_power_went() -> None:
    trail = kept((Key(FIRST, 38), Key(FIRST, 39)))
    cut = before(with_first(trail, sampled=20, power_lost=True), (38, 39))
    cut = replace(cut, remembered=before(trail, (38, 39)).remembered)
    assert judge(cut) == []
    assert judge(replace(cut, remembered=before(trail, (39, 39)).remembered)) != []
    assert judge(replace(cut, remembered={})) != []
    assert judge(logged(cut, SOME)) != []


def test_books_that_forget_samples_are_told_unless_power_went() -> None:
    trail = before(kept())
    assert judge(with_first(trail, sampled=20, power_lost=True)) == []
    accusations = judge(with_first(trail, sampled=20))
    assert any("know of 20 samples, once they knew of 40" in each for each in accusations)


def test_a_session_that_a_damaged_file_forgot_is_judged_by_what_was_known_before() -> None:
    trail = before(kept((Key(FIRST, 38), Key(FIRST, 39))), (38, 39))
    agent = AgentLedger(balanced=True, sessions=trail.agent.sessions[1:])
    forgotten = replace(trail, agent=agent)
    assert judge(forgotten) == []
    assert judge(logged(forgotten, SOME)) != []


def test_books_that_went_know_nothing_of_what_was_sampled_afterwards() -> None:
    trail = before(kept())
    trail.remembered[FIRST].sampled = 30  # when they were read; the agent went on
    assert judge(replace(trail, agent=AgentLedger(True, trail.agent.sessions[1:]))) == []
    assert judge(with_first(trail, sampled=30)) != []


def test_what_forgotten_books_called_unknown_is_excused() -> None:
    last = Key(FIRST, 39)
    trail = before(kept((last,)))
    trail = replace(trail, agent=AgentLedger(True, trail.agent.sessions[1:]))
    assert judge(trail) != []
    trail.remembered[FIRST].fates[DAMAGED] = Ids(1, [(39, 39)])
    assert judge(trail) == []


GONE = [Key(FIRST, id_) for id_ in range(30, COUNT)]
"""They were answered, and their records are gone with the store that had them."""

# The backup was made at the 30th sample, and its restoring known after the 39th.
RESTORED = Taken(at_ns(FIRST, 30), at_ns(FIRST, 39))


def restored() -> Trail:
    """Of a run in which a backup was restored, after which the second session began."""
    without, everything = kept(tuple(GONE)), kept()
    answered = {key: everything.logged[key] for key in GONE}
    named = Difference(FIRST, "10 answered here, but not recorded by the broker: 30..39", True)
    return replace(
        without,
        logged=without.logged | answered,
        agent=AgentLedger(True, without.agent.sessions, [named]),
        taken=[RESTORED],
    )


def test_records_that_a_restored_backup_lacks_are_excused_where_a_ledger_names_them() -> None:
    assert judge(restored()) == []


def test_what_both_sides_lost_by_two_faults_no_ledger_can_name() -> None:
    trail = restored()
    forgotten = msgspec.structs.replace(
        trail.agent.sessions[0], sampled=30, answered=30, power_lost=True
    )
    agent = AgentLedger(True, [forgotten, *trail.agent.sessions[1:]])
    assert judge(replace(before(trail), agent=agent)) == []


def test_a_sample_that_came_again_after_the_restoring_may_be_answered_anew() -> None:
    trail = restored()
    again = next(each for each in trail.recorded if each.key.session_id == SECOND)
    key, at = again.key, again.arrived_at_ns
    former = Logging(not again.prediction, again.sampled_at_ns, RESTORED.told_ns)
    latter = Logging(again.prediction, again.sampled_at_ns, at)
    assert judge(logged(trail, key, former, latter)) == []
    assert judge(logged(replace(trail, taken=[]), key, former, latter)) != []


@pytest.mark.parametrize(
    ("broken", "accusation"),
    [
        (lambda e: replace(e, taken=[]), "10 samples logged, and not on record"),
        (
            lambda e: replace(e, agent=AgentLedger(True, e.agent.sessions)),
            "10 samples gone from the record, and no ledger names them",
        ),
        # the backup was made later than what is missing
        (
            lambda e: replace(e, taken=[Taken(at_ns(SECOND, 20), at_ns(SECOND, 30))]),
            "not on record, and no fault took them",
        ),
        # the broker had said so long before: the answers left nevertheless
        (
            lambda e: replace(e, taken=[Taken(0, at_ns(FIRST, 10))]),
            "not on record, and no fault took them",
        ),
    ],
)
def test_an_answer_that_is_nowhere_is_told(
    broken: Callable[[Trail], Trail], accusation: str
) -> None:
    assert any(accusation in failure for failure in judge(broken(restored())))


def repaired() -> Trail:
    """Of a store from which a repair has lost some records, and named them; nothing else changed.

    The black box has seen them.
    """
    whole = kept()
    lost = set(GONE[:5])
    taken = [Taken(0, at_ns(SECOND, 39))]
    return replace(
        whole,
        recorded=[each for each in whole.recorded if each.key not in lost],
        losses=[Loss("a", FIRST, 30, 34, at_ns(SECOND, 39))],
        taken=taken,
    )


def test_records_that_a_repair_could_not_read_are_excused_where_its_ledger_names_them() -> None:
    assert judge(repaired()) == []
    assert judge(replace(repaired(), losses=[])) != []
    assert judge(replace(repaired(), losses=[Loss("a", FIRST, 30, 33, at_ns(SECOND, 39))])) != []


def test_a_repair_may_name_what_was_never_sent_together_with_what_is_lost_if_it_says_so() -> None:
    lost = set(GONE[:5])
    whole = kept((SOME,))
    entry = msgspec.structs.replace(whole.broker[0], missing=[])
    at = at_ns(SECOND, 39)
    jumped = Loss("a", FIRST, 7, 7, at, "damaged; the agent left out 1 of them")
    trail = with_first(
        replace(
            whole,
            recorded=[each for each in whole.recorded if each.key not in lost],
            broker=[entry, whole.broker[1]],
            losses=[jumped, Loss("a", FIRST, 30, 34, at)],
            taken=repaired().taken,
            robbed=True,
        ),
        fates={CRASHED: Ids(1, [(7, 7)])},
    )
    assert judge(trail) == []
    silent = msgspec.structs.replace(jumped, why="damaged")
    assert judge(replace(trail, losses=[silent, trail.losses[1]])) != []
    miscounted = msgspec.structs.replace(entry, gaps=2)
    assert judge(replace(trail, broker=[miscounted, whole.broker[1]])) != []


def test_a_sample_that_came_again_without_its_record_may_be_unanswerable() -> None:
    trail = with_first(repaired(), fates={"unanswerable": Ids(1, [(30, 30)])})
    assert judge(logged(trail, GONE[0])) == []
    assert judge(logged(replace(trail, taken=[]), GONE[0])) != []
    never_seen = kept((SOME,))
    never_seen = with_first(never_seen, fates={"unanswerable": Ids(1, [(7, 7)])})
    assert judge(replace(never_seen, taken=repaired().taken)) != []


def test_losses_of_which_nobody_can_tell_the_ids_are_told_as_such() -> None:
    assert (
        judge(replace(repaired(), losses=[Loss(None, None, None, None, at_ns(SECOND, 39))])) == []
    )
