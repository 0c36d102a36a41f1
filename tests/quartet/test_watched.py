"""Files that change: taken anew when they can be used, and said when they cannot."""

import logging
import time
from pathlib import Path

import pytest
from support.clock import ManualClock

from quartet.clock import Clock
from quartet.errors import SettingsError
from quartet.watched import Watched


def watch(path: Path, clock: Clock = time) -> Watched[int]:
    def read() -> int:
        try:
            return int(path.read_text())
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path}: no number") from error

    return Watched([str(path)], read, clock)


def test_a_change_is_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("1")
    watched = watch(path)
    assert not watched.refresh()
    path.write_text("23")
    assert watched.refresh()
    assert watched.value == 23
    assert not watched.refresh()


@pytest.mark.parametrize("content", ["oops", None])
def test_what_cannot_be_used_is_said_once_while_the_former_value_stays(
    content: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "file"
    path.write_text("1")
    watched = watch(path)
    path.write_text(content) if content else path.unlink()
    assert not watched.refresh()
    assert not caplog.messages  # the other file of a pair may be on its way
    for _ in range(3):
        assert not watched.refresh()
    assert caplog.messages == [f"{path}: no number; the old one stays in use"]
    assert watched.value == 1
    path.write_text("42")
    assert watched.refresh()
    assert watched.value == 42
    path.unlink()
    watched.refresh()
    watched.refresh()
    assert len(caplog.messages) == 2


def test_a_file_that_cannot_be_used_at_first_raises(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no number"):
        watch(tmp_path / "missing")


@pytest.mark.parametrize("mended", [True, False])
def test_each_mistake_is_logged_and_its_end_with_its_length(
    mended: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "quartet.watched")
    path, clock = tmp_path / "file", ManualClock()
    path.write_text("1")
    watched = watch(path, clock)
    kept = path.rename(tmp_path / "kept")
    for mistake in ("oops", "still oops"):
        path.write_text(mistake)
        for _ in range(3):
            watched.refresh()
            clock.advance(1.0)
    path.write_text("23") if mended else kept.rename(path)
    assert watched.refresh() is mended  # what comes back as it was is nothing new
    wrong = (logging.ERROR, f"{path}: no number; the old one stays in use")
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        wrong,
        wrong,
        (logging.INFO, f"{path} can be used again, after 5.0 s"),
    ]
    watched.refresh()
    assert len(caplog.records) == 3
