"""What an agent and a broker said last, and what they took back, is told apart."""

from pathlib import Path

import pytest

from chaos.words import brokers_words, first_since, homeless_starts

UNNOTED = (
    "2026-01-01 00:00:00,100 ERROR   /hot/spool.ids: cannot be written: Read-only file system; if"
    " the agent is killed now, the ledger does not tell how many samples were taken"
)
NOTED = "2026-01-01 00:00:05,100 INFO    /hot/spool.ids: can be written again, after 5.0 s"
UNKEPT = (
    "2026-01-01 00:00:00,200 ERROR   neither directory of the spool can be written; they are kept"
    " in memory alone until one can be written"
)
UP = "2026-01-01 00:00:00,150 INFO    streaming to 127.0.0.1:1"
KEPT = "2026-01-01 00:00:05,200 INFO    samples are stored safely again, after 5.0 s"


@pytest.mark.parametrize(
    ("said", "homeless"),
    [
        ([UNNOTED, UNKEPT], True),
        ([UNNOTED, UP, UNKEPT], True),
        ([UP, UNNOTED, UNKEPT], False),  # its first ids were noted
        ([UNNOTED, UNKEPT, KEPT, UNKEPT], False),
        ([UNKEPT], False),  # its ids are on file
        ([UNNOTED], False),
        ([UNNOTED, UNKEPT, KEPT], False),  # what it took was on file in the end
        ([UNNOTED, UNKEPT, NOTED], False),
        ([], False),
    ],
)
def test_an_agent_is_homeless_that_says_from_begin_to_end_that_nothing_is_on_file(
    said: list[str], homeless: bool, tmp_path: Path
) -> None:
    (tmp_path / "agent-007.log").write_text("\n".join(said))
    (tmp_path / "agent-008.log").write_text("")
    assert homeless_starts(tmp_path) == ({7} if homeless else set())


def test_a_rebuilding_is_the_first_since_damage_was_told(tmp_path: Path) -> None:
    restored = "INFO    press-1: predictor restored, 3 samples replayed"
    (tmp_path / "broker-001.log").write_text(
        f"2026-01-01 00:00:01,000 {restored}\n"
        "2026-01-01 00:00:02,000 ERROR   press-1: 2 of its recorded samples are damaged\n"
        f"2026-01-01 00:00:03,000 {restored}\n"
        f"2026-01-01 00:00:04,000 {restored}\n"
    )
    words = brokers_words(tmp_path)
    every_ns = words.restored_ns("press-1")
    assert first_since(words.damage_ns, every_ns) == [*words.damage_ns, every_ns[1]]
    assert words.restored_ns("press-2") == []
