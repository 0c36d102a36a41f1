"""Each attack, a little of it: an agent is served through all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from attack.attacks import ATTACKS, Attack
from attack.plant import UnderAttack, under_attack

# Of the long run's; but connections that are held are not fewer for being held shorter.
_SHARE = 50


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Iterator[UnderAttack]:
    with under_attack(tmp_path_factory.mktemp("plant"), dataset, seed=1) as plant:
        yield plant


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_agent_is_served_through(attack: Attack, plant: UnderAttack) -> None:
    outcome = plant.attack(attack, max(10, ATTACKS[attack] // _SHARE))
    assert outcome.answered >= 40
