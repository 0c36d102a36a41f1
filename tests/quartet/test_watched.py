"""Files that change: taken anew when they can be used, and said when they cannot."""

from pathlib import Path

import pytest

from quartet.errors import SettingsError
from quartet.watched import Watched


def watch(path: Path) -> Watched[int]:
    def read() -> int:
        try:
            return int(path.read_text())
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path}: no number") from error

    return Watched([str(path)], read)


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
    assert caplog.messages == [f"{path}: no number; the former one is used until that is mended"]
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
