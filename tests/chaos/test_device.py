"""A ledger is asked to balance wherever it can; where not, a fault is named as the reason."""

import json
from pathlib import Path

import pytest

from agent.spool.directories import FILE
from chaos.device import Device
from chaos.disk import Disk
from chaos.ledgers import Entry, Ids
from chaos.role import Role

LOST = Ids(2, [(30, 31)])


def entry(**changes: object) -> Entry:
    """Of a session whose samples 35 to 39 wait in the RAM directory."""
    fields = {"sampled": 40, "answered": 33, "waiting": 5, "waiting_ids": [(35, 39)]}
    rest = {"fates": {"unknown (damaged file)": LOST}, "power_lost": False, "done_below": 30}
    return Entry("a" * 32, 1, **{**fields, **rest, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answered", "is_disk_there", "balances"),
    [
        (33, True, True),
        (32, True, False),
        (34, True, False),
        (33, False, True),
        (28, False, True),  # the disk has five that wait
        (27, False, False),  # six have no fate, and only five are older than what waits here
        (34, False, False),  # one has two fates
    ],
)
def test_a_ledger_without_the_disk_lacks_only_what_the_disk_can_have(
    answered: int, is_disk_there: bool, balances: bool
) -> None:
    asked = entry(answered=answered)
    assert asked.balances(is_disk_there=is_disk_there) == balances


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """An agent that has had one start, and whose ledger never balances."""
    text = {"session_id": "a" * 32, "sequence": 1, "sampled": 40, "answered": 39, "waiting": 0}
    session = {**text, "waiting_ids": [], "fates": {}, "power_lost": False, "done_below": 39}
    said = json.dumps({"balanced": False, "sessions": [session]})
    device = Device(
        *("press-1", tmp_path / "home", ["1,2,3,4"], 40),
        command=lambda *_: (1, said),
    )
    device.home.mkdir()
    device.logs.mkdir()
    device.hot, device.cold = Disk(device.home / "hot"), Disk(device.home / "cold")
    (device.cold.path / FILE).touch()
    device.agent = Role("agent", [], {}, device.logs, after_stop={0})
    device.agent.starts = 1
    return device


def test_a_ledger_that_does_not_balance_is_told_also_where_the_hot_file_is_away(
    device: Device,
) -> None:
    device.remember_ledger()
    assert "did not balance" in device.complaints[0]


def test_a_spoiled_file_is_excused_until_an_agent_has_opened_its_spool(device: Device) -> None:
    (device.logs / "agent-001.log").write_text("streaming to 127.0.0.1:1")
    device.note_spoiled()
    device.remember_ledger()
    device.agent.starts = 2
    (device.logs / "agent-002.log").write_text("")  # killed before it had come so far
    device.remember_ledger()
    assert device.complaints == []
    device.agent.starts = 3
    (device.logs / "agent-003.log").write_text("streaming to 127.0.0.1:1")
    device.remember_ledger()
    assert "did not balance" in device.complaints[0]
