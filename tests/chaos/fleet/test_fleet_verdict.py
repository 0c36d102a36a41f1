"""A fleet that has kept its promises is not accused, and each broken one is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from chaos.evidence import Evidence
from chaos.fleet.evidence import FleetEvidence
from chaos.fleet.verdict import judge_fleet
from chaos.records import Key
from chaos.trails import FIRST, kept

KEY = Key(FIRST, 3)


def evidence(**changes: Any) -> FleetEvidence:
    """Of a run of one agent in which nothing was wrong, with what is changed."""
    trail = kept()
    count = len(trail.recorded)
    undisturbed = {each.key: each.prediction for each in trail.recorded}
    whole = FleetEvidence(
        Evidence([trail], []), {"a": [*range(1, count + 1)]}, {"a": count}, {}, [], undisturbed
    )
    return replace(whole, **{name: change(whole) for name, change in changes.items()})


def test_what_is_as_in_an_undisturbed_run_is_not_accused() -> None:
    assert judge_fleet(evidence()).accusations == []
    assert judge_fleet(evidence(woken=lambda _: [("broker-2", "a", True)])).accusations == []


def without(whole: FleetEvidence, key: Key) -> Evidence:
    (trail,) = whole.common.trails
    logged = {each: found for each, found in trail.logged.items() if each != key}
    return Evidence([replace(trail, logged=logged)], [])


def with_gap(whole: FleetEvidence) -> Evidence:
    (trail,) = whole.common.trails
    entries = [msgspec.structs.replace(entry, gaps=1) for entry in trail.broker]
    return Evidence([replace(trail, broker=entries)], [])


@pytest.mark.parametrize(
    ("part", "change", "accusation"),
    [
        (
            "undisturbed",
            lambda whole: whole.undisturbed | {KEY: not whole.undisturbed[KEY]},
            "a: 1 samples answered otherwise than in an undisturbed run: aaaaaaaa 3",
        ),
        ("common", lambda whole: without(whole, KEY), "without an answer, which an undisturbed"),
        ("common", lambda whole: Evidence(whole.common.trails, ["it broke"]), "it broke"),
        ("common", with_gap, "a: session aaaaaaaa: the broker counts 1 gaps"),
        (
            "positions",
            lambda whole: {"a": whole.positions["a"][1:]},
            "ends at 80, and the 79 positions are not",
        ),
        (
            "positions",
            lambda whole: {"a": [1, *whole.positions["a"]]},
            "ends at 80, and the 81 positions",
        ),
        ("heads", lambda whole: {"a": whole.heads["a"] + 1}, "ends at 81, and the 80 positions"),
        ("heads", lambda whole: whole.heads | {"b": 1}, "b is in the store, and is no agent"),
        ("strays", lambda _: {"gaps": 2}, "2 gaps in the store"),
        (
            "woken",
            lambda _: [("broker-2", "a", False)],
            "broker-2 woke, and was not refused the line",
        ),
    ],
)
def test_what_is_otherwise_is_accused(
    part: str, change: Callable[[FleetEvidence], object], accusation: str
) -> None:
    accusations = judge_fleet(evidence(**{part: change})).accusations
    assert any(accusation in each for each in accusations), accusations
