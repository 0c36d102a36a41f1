"""The verdict finds each way in which a promise can be broken, and excuses what the books name."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from chaos.evidence import VALUES, Evidence, Key, Logging, Recorded
from chaos.ledgers import (
    CRASHED,
    DAMAGED,
    AgentLedger,
    BrokerEntry,
    BrokerLedger,
    Difference,
    Entry,
    Ids,
)
from chaos.predictors import Forgetful
from chaos.verdict import judge

FIRST, SECOND = "a" * 32, "b" * 32
COUNT = 40
ROWS = [VALUES.pack(n, -n, n / 7, 0.0) for n in range(30)]


def entry(session_id: str, sequence: int) -> Entry:
    return Entry(session_id, sequence, COUNT, COUNT, 0, [], {}, power_lost=False)


def answered(black_box: Forgetful, session_id: str, id_: int) -> Recorded:
    values = ROWS[id_ % len(ROWS)]
    prediction = black_box.predict(SimpleNamespace(id=id_, values=VALUES.unpack(values)))
    return Recorded(Key(session_id, id_), values, 1000 * id_, prediction)


def broker_entry(recorded: list[Recorded], session_id: str) -> BrokerEntry:
    ids = {each.key.id for each in recorded if each.key.session_id == session_id}
    missing = [(id_, id_) for id_ in range(max(ids) + 1) if id_ not in ids]
    return BrokerEntry(session_id, 0, len(ids), len(ids), 0, len(missing), missing)


def kept(skipped: tuple[Key, ...] = ()) -> Evidence:
    """Of a run in which every promise was kept, though these samples never came."""
    black_box = Forgetful()
    recorded = [
        answered(black_box, session_id, id_)
        for session_id, id_ in itertools.product((FIRST, SECOND), range(COUNT))
        if Key(session_id, id_) not in skipped
    ]
    return Evidence(
        rows=ROWS,
        logged={each.key: [Logging(each.prediction, each.sampled_at_ns)] for each in recorded},
        recorded=recorded,
        agent=AgentLedger(balanced=True, sessions=[entry(FIRST, 1), entry(SECOND, 2)]),
        broker=BrokerLedger([broker_entry(recorded, id_) for id_ in (FIRST, SECOND)]),
        remembered={},
        complaints=[],
    )


def with_first(evidence: Evidence, **changes: object) -> Evidence:
    first = msgspec.structs.replace(evidence.agent.sessions[0], **changes)
    sessions = [first, *evidence.agent.sessions[1:]]
    return replace(evidence, agent=msgspec.structs.replace(evidence.agent, sessions=sessions))


def swapped(evidence: Evidence, one: int, other: int) -> Evidence:
    recorded = list(evidence.recorded)
    recorded[one], recorded[other] = recorded[other], recorded[one]
    return replace(evidence, recorded=recorded)


def changed(evidence: Evidence, at: int, **changes: Any) -> Evidence:
    recorded = list(evidence.recorded)
    recorded[at] = recorded[at]._replace(**changes)
    return replace(evidence, recorded=recorded)


def logged(evidence: Evidence, key: Key, *loggings: Logging) -> Evidence:
    rest = {each: found for each, found in evidence.logged.items() if each != key}
    return replace(evidence, logged=rest | ({key: list(loggings)} if loggings else {}))


SOME = Key(FIRST, 7)
LATE = Key(FIRST, COUNT)


def test_a_run_that_kept_every_promise_is_not_accused() -> None:
    assert judge(kept()) == []


def test_a_prediction_may_be_logged_twice_if_it_is_the_same() -> None:
    evidence = kept()
    assert judge(logged(evidence, SOME, *(evidence.logged[SOME] * 2))) == []


@pytest.mark.parametrize(
    ("broken", "accusation"),
    [
        (lambda e: logged(e, SOME), "1 of 40 samples without prediction"),
        (lambda e: logged(e, SOME, Logging(True, 7000), Logging(False, 7000)), "different"),
        (
            lambda e: logged(e, SOME, Logging(not e.logged[SOME][0].prediction, 7000)),
            "logged otherwise than recorded",
        ),
        (lambda e: logged(e, SOME, Logging(e.logged[SOME][0].prediction, 10**9)), "another time"),
        (lambda e: logged(e, LATE, Logging(True, 0)), "predictions of samples that were never"),
        (lambda e: logged(e, Key("c" * 32, 0), Logging(True, 0)), "session that no ledger knows"),
        (lambda e: replace(e, recorded=[*e.recorded, e.recorded[7]]), "recorded twice"),
        (lambda e: swapped(e, 3, 4), "not in rising order"),
        (lambda e: swapped(e, 3, 60), "otherwise than by a black box that saw all"),
        (lambda e: changed(e, 3, values=ROWS[4]), "other values than the CSV's"),
        (lambda e: changed(e, 3, prediction=not e.recorded[3].prediction), "a black box that saw"),
        (lambda e: with_first(e, waiting=1, waiting_ids=[(7, 7)]), "samples still wait"),
        (lambda e: with_first(e, fates={"unanswerable": Ids(1, [(7, 7)])}), "unanswerable"),
        (lambda e: replace(e, complaints=["broker 2 ended with 1"]), "broker 2 ended with 1"),
        (lambda e: replace(e, agent=AgentLedger(False, e.agent.sessions)), "does not balance"),
        (
            lambda e: replace(
                e, agent=AgentLedger(True, e.agent.sessions, [Difference(FIRST, "7", True)])
            ),
            "the ledgers contradict each other",
        ),
        (
            lambda e: replace(
                e, broker=BrokerLedger([BrokerEntry(FIRST, 0, 40, 40, 0, 1, [(7, 7)])])
            ),
            "40 samples are on record, and 0 missing",
        ),
    ],
)
def test_each_broken_promise_is_told(
    broken: Callable[[Evidence], Evidence], accusation: str
) -> None:
    assert any(accusation in failure for failure in judge(broken(kept())))


@pytest.mark.parametrize("runs", [[], [(7, 8)]])
def test_what_the_books_call_damaged_is_excused_and_no_more(runs: list[tuple[int, int]]) -> None:
    evidence = kept((SOME, Key(FIRST, 8)))
    assert judge(with_first(evidence, fates={DAMAGED: Ids(2, runs)})) == []
    assert judge(with_first(evidence, fates={CRASHED: Ids(2, runs)})) == []
    assert judge(with_first(evidence, fates={DAMAGED: Ids(1, runs[:0])})) != []


def before(evidence: Evidence, *waiting: tuple[int, int]) -> Evidence:
    """The same, of which a fault took the agent's books of the first session, with what waited."""
    first = msgspec.structs.replace(evidence.agent.sessions[0], waiting_ids=list(waiting))
    return replace(evidence, remembered={FIRST: first})


def test_what_power_took_is_excused_if_it_waited_when_power_went() -> None:
    evidence = kept((Key(FIRST, 38), Key(FIRST, 39)))
    cut = before(with_first(evidence, sampled=20, power_lost=True), (38, 39))
    cut = replace(cut, remembered=before(evidence, (38, 39)).remembered)
    assert judge(cut) == []
    assert judge(replace(cut, remembered=before(evidence, (39, 39)).remembered)) != []
    assert judge(replace(cut, remembered={})) != []
    assert judge(logged(cut, SOME)) != []


def test_books_that_forget_samples_are_told_unless_power_went() -> None:
    evidence = before(kept())
    assert judge(with_first(evidence, sampled=20, power_lost=True)) == []
    accusations = judge(with_first(evidence, sampled=20))
    assert any("know of 20 samples, once they knew of 40" in each for each in accusations)


def test_a_session_that_a_damaged_file_forgot_is_judged_by_what_was_known_before() -> None:
    evidence = before(kept((Key(FIRST, 38), Key(FIRST, 39))), (38, 39))
    agent = AgentLedger(balanced=True, sessions=evidence.agent.sessions[1:])
    forgotten = replace(evidence, agent=agent)
    assert judge(forgotten) == []
    assert judge(logged(forgotten, SOME)) != []
