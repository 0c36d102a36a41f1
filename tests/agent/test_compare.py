import json
from pathlib import Path

import pytest

from agent.errors import LedgerError
from agent.spool.account import Fate, Ids
from agent.spool.compare import BrokerEntry, BrokerLedger, compare, load
from agent.spool.ledger import Entry, Ledger
from agent.spool.runs import Runs, size

SESSION = "5e55" * 8


def ours(
    sampled: int,
    *,
    waiting: Runs | None = None,
    fates: dict[Fate, Ids] | None = None,
    ended: bool = True,
    power_lost: bool = False,
    session_id: str = SESSION,
) -> Ledger:
    waiting, fates = waiting or [], fates or {}
    answered = sampled - size(waiting) - sum(ids.count for ids in fates.values())
    counts = {"sampled": sampled, "answered": answered, "waiting": size(waiting)}
    state = {"waiting_ids": waiting, "fates": fates, "ended": ended, "power_lost": power_lost}
    entry = Entry(session_id=session_id, sequence=1, started_at_ns=0, **counts, **state)
    return Ledger(balanced=True, sessions=[entry])


def theirs(first_id: int, last_id: int, missing: Runs | None = None) -> BrokerLedger:
    return BrokerLedger(1, [BrokerEntry("press-4", SESSION, first_id, last_id, missing or [])])


def told(mine: Ledger, other: BrokerLedger) -> list[tuple[str, bool]]:
    return [(each.text, each.contradiction) for each in compare("press-4", mine, other)]


def test_nothing_is_told_where_both_sides_say_the_same() -> None:
    dropped = {Fate.FULL: Ids(3, [(2, 4)]), Fate.UNANSWERABLE: Ids(1, [(7, 7)])}
    assert told(ours(10), theirs(0, 9)) == []
    assert told(ours(10, fates=dropped), theirs(0, 9, [(2, 4), (7, 7)])) == []
    assert told(ours(10, waiting=[(8, 9)]), theirs(0, 7)) == []
    assert told(ours(0), BrokerLedger(1, [])) == []


def test_what_a_broker_lost_with_its_power_is_named() -> None:
    expected = [("4 answered here, but not recorded by the broker: 3, 7..9", True)]
    assert told(ours(10), theirs(0, 6, [(3, 3)])) == expected
    assert told(ours(4), BrokerLedger(1, [])) == [
        ("4 answered here, but not recorded by the broker: 0..3", True)
    ]


def test_what_a_running_session_has_sampled_since_the_broker_was_asked_is_no_contradiction() -> (
    None
):
    assert told(ours(10, ended=False), theirs(0, 6)) == [
        ("3 answered here, but not recorded by the broker: 7..9", False)
    ]
    assert told(ours(10, ended=False), theirs(0, 6, [(3, 3)]))[0][1]


def test_what_was_unknown_for_want_of_power_is_resolved_by_the_broker() -> None:
    assert told(ours(10, power_lost=True), theirs(0, 4119)) == [
        ("4110 unknown here (power), but answered by the broker: 10..4119", False)
    ]


def test_what_the_broker_has_beyond_a_session_that_ended_in_order_is_a_contradiction() -> None:
    assert told(ours(10), theirs(0, 11)) == [
        ("2 never sampled here, but answered by the broker: 10..11", True)
    ]


def test_what_the_broker_answered_and_is_without_prediction_here_is_named() -> None:
    mine = ours(10, waiting=[(8, 9)], fates={Fate.FULL: Ids(2, [(0, 1)])})
    assert told(mine, theirs(1, 8)) == [
        ("1 waiting here, but answered by the broker: 8", False),
        ("1 without prediction here, but answered by the broker: 1", False),
    ]


def test_what_a_damaged_file_took_along_without_its_ids_excuses_as_many() -> None:
    assert told(ours(10, fates={Fate.DAMAGED: Ids(3, [])}), theirs(0, 6)) == []
    assert told(ours(10, fates={Fate.DAMAGED: Ids(2, [])}), theirs(0, 6)) == [
        ("3 answered here, but not recorded by the broker: 7..9", True)
    ]


def test_a_session_that_only_the_broker_knows_is_named_and_other_agents_are_left_out() -> None:
    other = BrokerEntry("press-5", "0" * 32, 0, 5, [])
    foreign = BrokerLedger(1, [BrokerEntry("press-4", "a" * 32, 0, 5, []), other])
    differences = compare("press-4", Ledger(balanced=True, sessions=[]), foreign)
    assert [(d.session_id, d.contradiction) for d in differences] == [("a" * 32, True)]
    folded = ours(100, session_id="earlier")
    assert [d.contradiction for d in compare("press-4", folded, foreign)] == [False]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not what 'broker ledger --json' prints"),
        ("[]", "is not what 'broker ledger --json' prints"),
        ('{"schema": 1}', "missing required field `sessions`"),
        (json.dumps({"schema": 2, "sessions": []}), "has schema 2, known is 1"),
    ],
)
def test_a_file_that_is_no_brokers_ledger_is_refused(
    text: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "broker.json"
    path.write_text(text)
    with pytest.raises(LedgerError, match=reason):
        load(path)
    with pytest.raises(LedgerError, match="cannot be read: No such file"):
        load(tmp_path / "nothing.json")
