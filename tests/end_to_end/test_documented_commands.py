"""Each block of commands in the documentation that can run here, runs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.markdown import Block, blocks, pages
from support.ports import kept_port
from support.shell import Reader, can_run

# The examples of docs/cli.md are those of the help: each stands alone, with a file of the reader.
# Those of docs/fleet.md need two servers of a database, and kill programs by number.
_ELSEWHERE = ("docs/cli.md", "docs/fleet.md")
_FOLLOWED = [
    page
    for page in pages()
    if page == "README.md" or (page.startswith("docs/") and page not in _ELSEWHERE)
]


def _runs(block: Block) -> bool:
    return block.kind == "sh" and can_run(block)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with kept_port() as port:
        yield Reader(tmp_path, port)


@pytest.mark.parametrize("page", [page for page in _FOLLOWED if any(map(_runs, blocks(page)))])
def test_a_reader_can_run_the_commands_of_a_page_in_their_order(page: str, reader: Reader) -> None:
    for block in blocks(page):
        reader.save(block)
        if _runs(block):
            reader.run(block)


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_each_predictor_of_the_first_hour_meets_the_requirements(page: str, reader: Reader) -> None:
    (saved,) = (block for block in blocks(page) if block.kind == "python" and block.saved_as)
    reader.save(saved)
    said = reader.run(replace(saved, text="broker check-predictor vibration:Rising\n"))
    assert "passed  failed readings" in said


def test_the_first_hour_is_run() -> None:
    run = [block for block in blocks("docs/getting-started.md") if _runs(block)]
    assert len(run) >= 5
