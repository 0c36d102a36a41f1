"""A device that reads its sensors loads nothing of what reads files."""

import subprocess
import sys
from pathlib import Path

import pytest

HARDWARE = "agent.__main__ agent.commandline agent.app agent.check.doctor agent.check.files"


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_an_agent_with_hardware_imports_no_reader_of_recordings() -> None:
    modules = loaded("\n".join(f"import {module}" for module in HARDWARE.split()))
    assert "agent.sources.opening" in modules
    found = {name for name in modules if name.startswith(("quartet.recording", "dateutil"))}
    assert found == set()


@pytest.mark.parametrize(
    ("time", "needs"), [("2024-05-01 12:00", False), ("1.5.2024 1 PM", False), ("1 Mai 2024", True)]
)
def test_dateutil_is_imported_for_months_in_words_alone(
    time: str, needs: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"time,a,b,c,d\n{time},1,2,3,4\n{time},1,2,4,4\n")
    code = (
        "from pathlib import Path\nfrom quartet.recording import Recording\n"
        f"rows = list(Recording(Path({str(path)!r})))"
    )
    assert ("dateutil" in loaded(code)) is needs
