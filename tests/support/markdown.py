"""Reads what this project writes in Markdown: headings, links, fenced blocks and prose."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MADE = {ROOT / "build", ROOT / "dist"}

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL
)
_SAVED_AS = re.compile(r"(?:Save this as|Write)\s+`([\w.]+)`[^`]*\Z")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `saved_as` names the file, where the sentence before it does."""

    page: str
    line: int
    kind: str
    text: str
    saved_as: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """README, CONTRIBUTING, and what is in docs/, as paths from the root."""
    found: list[str] = []
    for folder, names, files in os.walk(ROOT):
        here = Path(folder)
        names[:] = [name for name in names if not _is_foreign(here / name)]
        found += [str((here / file).relative_to(ROOT)) for file in files if file.endswith(".md")]
    return sorted(found)


def _is_foreign(folder: Path) -> bool:
    """Whether it is made by a tool or a target of make, such as a virtual environment."""
    return folder.name.startswith(".") or folder in _MADE or (folder / "pyvenv.cfg").exists()


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, in order, without their indentation."""
    whole = text(page)
    return [
        Block(
            page,
            whole[: fence.start()].count("\n") + 1,
            fence["kind"],
            re.sub(rf"^{fence['indent']}", "", fence["text"], flags=re.MULTILINE),
            saved[1] if (saved := _SAVED_AS.search(whole[: fence.start()].rstrip())) else None,
        )
        for fence in _FENCE.finditer(whole)
    ]


def without_code(page: str) -> str:
    """The page with its fenced blocks as empty lines, so that line numbers stay."""
    return _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text(page))


def anchors(page: str) -> set[str]:
    """What `#...` may name on a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: str) -> list[str]:
    """The targets of all links and pictures, except those that leave the project."""
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", without_code(page)))
    return [target for target in found if "://" not in target]
