"""Standard input: a pipe, or a file that is redirected."""

import random
import subprocess
import sys
from pathlib import Path

_CHANCE = random.Random(19)  # noqa: S311 - the same each time


def rows(begin: str = "") -> str:
    """Rows of four sensors behind the number of each."""
    cells = [[f"{_CHANCE.gauss(20, 1):.2f}" for _ in range(4)] for _ in range(40)]
    return "".join(f"{begin.format(n=n)}{','.join(each)}\n" for n, each in enumerate(cells))


def test_a_file_that_is_redirected_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(rows())
    with path.open() as file:
        done = subprocess.run(
            [sys.executable, "-m", "broker", "evaluate", "-"],
            stdin=file,
            capture_output=True,
            text=True,
            check=False,
        )
    assert "rows              40" in done.stdout


def test_a_pipe_needs_columns_unless_it_has_four() -> None:
    def evaluate(text: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "broker", "evaluate", "-", *options],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    assert evaluate(rows()).returncode == 0
    with_id = rows("{n},")
    refused = evaluate(with_id)
    assert refused.returncode == 1
    assert "a pipe can be read only once" in refused.stderr
    assert "rows              40" in evaluate(with_id, "--columns", "2,3,4,5").stdout
