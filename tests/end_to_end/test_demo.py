"""What `make demo` runs."""

import os
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "dataset" / "demo.sh"


def test_it_shows_the_alarm_and_the_next_step_in_a_few_lines_without_a_terminal() -> None:
    commands = Path(sys.executable).parent
    done = subprocess.run(
        ["sh", str(DEMO)],
        env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "RATE": "max"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "predictions       982 (True 338, False 644)" in done.stdout
    assert "sample 644: alarm: MEWMA" in done.stdout
    assert f"\n  . {commands}/activate\n  broker evaluate FILE --plot" in done.stdout
    assert done.stderr.count(": False ") == 1
