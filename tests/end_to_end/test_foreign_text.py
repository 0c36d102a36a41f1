"""Text that is not ours, at every place where it enters a message: nothing in it is obeyed.

A place that is new belongs into PLACES, and the way to feed it into `support/foreign`.
"""

import logging
import os
import sys
import types
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from support.foreign.documents import (
    address,
    agents_in_a_store,
    cell_of_a_table,
    database,
    header_of_a_table,
    incident_of_a_stranger,
    kind_of_a_source,
    ledger_of_a_broker,
    lock_file,
    name_in_a_certificate,
    name_in_a_request,
    name_of_a_setting,
    name_of_a_table,
    text_that_is_no_toml,
    value_of_a_setting,
)
from support.foreign.messages import (
    answer_of_a_mail_server,
    argument_of_an_entry,
    field_of_the_journal,
    finding_of_the_doctor,
    label_of_a_sensor,
    live_view,
    notice_for_systemd,
    notification,
    order_of_a_person,
    reason_of_an_alarm,
    title_of_an_evaluation,
)
from support.foreign.peers import (
    health_of_another_server,
    metadata_of_a_call,
    refusal_of_a_sample,
    status_of_a_broker,
    unavailable_broker,
)
from support.foreign.place import EVIL, Place
from support.foreign.predictors import (
    black_box_that_cannot_tell,
    black_box_that_raises,
    explanation_of_a_black_box,
    module_of_a_black_box,
    offline_black_box,
)
from support.processes import Agent, Broker

from agent import logs
from quartet.journal import LineFormatter

PLACES = [
    lock_file,
    *(cell_of_a_table, header_of_a_table, name_of_a_table),
    *(value_of_a_setting, name_of_a_setting, kind_of_a_source, text_that_is_no_toml, address),
    database,
    *(name_in_a_certificate, name_in_a_request),
    *(ledger_of_a_broker, agents_in_a_store),
    *(finding_of_the_doctor, notice_for_systemd, field_of_the_journal, argument_of_an_entry),
    *(order_of_a_person, live_view, reason_of_an_alarm, label_of_a_sensor, title_of_an_evaluation),
    *(explanation_of_a_black_box, black_box_that_cannot_tell, black_box_that_raises),
    *(module_of_a_black_box, offline_black_box, incident_of_a_stranger),
    metadata_of_a_call,
    *(notification, answer_of_a_mail_server),
    *(status_of_a_broker, unavailable_broker, refusal_of_a_sample, health_of_another_server),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    place = Place(tmp_path, monkeypatch)
    handler = logging.StreamHandler(place.log)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield place
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize("feed", PLACES)
async def test_foreign_text_is_seen_and_not_obeyed(
    feed: Callable[[Place], Awaitable[None] | None],
    place: Place,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fed = feed(place)
    if fed is not None:
        await fed
    printed = capsys.readouterr()
    texts = [*place.seen, place.log.getvalue(), printed.out, printed.err]
    assert any("see" in text for text in texts)
    for text in texts:
        for line in text.split("\n"):
            assert line.isprintable(), ascii(line)
            is_json = line.lstrip().startswith(("{", '"'))  # for programs, and whole
            assert len(line) < 2200 or is_json
            assert not line.startswith(("<0>", "2026-01-01"))


def test_two_programs_obey_nothing_that_a_black_box_says(tmp_path: Path, dataset: Path) -> None:
    (tmp_path / "evil_box.py").write_text(
        "class Box:\n    def predict(self, sample):\n"
        f"        if sample.id == 3: raise ValueError({EVIL!r})\n        return False\n"
    )
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    with (
        Broker("--predictor", "evil_box:Box", env=path) as broker,
        Agent("--simulate", str(dataset), "--broker", broker.address, "--rate", "100") as running,
    ):
        broker.wait_for(r"sample 3: the predictor raised ValueError: seen \\x1b\[31m")
        running.wait_for(r"sample 3 was refused \(INTERNAL: .*ValueError: seen \\x1b\[31m")
        running.stop()
        broker.stop()
    assert "Traceback" in broker.stderr
    for line in (broker.stderr + running.stderr + running.stdout).split("\n"):
        assert line.isprintable(), ascii(line)
        assert not line.startswith(("<0>", "2026-01-01"))


def test_each_way_to_log_has_the_last_line_of_defence(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = types.ModuleType("systemd.journal")
    journal.send = journal.sendv = print  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "systemd", types.ModuleType("systemd"))
    monkeypatch.setitem(sys.modules, "systemd.journal", journal)
    for handler in (logs.StderrLines(), logs.JournalHandler()):
        assert isinstance(handler.formatter, LineFormatter)
