"""What pages must not contain: ways to turn foreign text into markup, and other hosts."""

import re
from pathlib import Path

import pytest

CONSOLE = Path(__file__).parents[2] / "broker" / "console"
FILES = [*CONSOLE.glob("static/*"), *CONSOLE.glob("pages/*")]

FORBIDDEN = {
    "markup from text": r"(inner|outer)HTML|insertAdjacentHTML|document\.write|srcdoc|DOMParser"
    r"|createContextualFragment|setHTML",
    "code from text": r"\beval\b|\bnew Function\b|\bFunction\(|set(Timeout|Interval)\(\s*['\"`]",
    "a style that the policy forbids": r"<style|\bstyle\s*=\s*['\"`]|setAttribute\(\s*['\"`]style"
    r"|cssText",
    "a handler in markup": r"<[^>]*\son[a-z]+\s*=",
    "a script in markup": r"<script(?![^>]*\bsrc=)",
    "another host": r"https?://(?!www\.w3\.org/2000/svg)|['\"`(]//",
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_page_has_no_way_to_run_what_somebody_wrote_and_no_foreign_address(file: Path) -> None:
    text = file.read_text("utf-8")
    found = [
        f"line {text.count(chr(10), 0, match.start()) + 1}: {what}: {match[0]}"
        for what, pattern in FORBIDDEN.items()
        for match in re.finditer(pattern, text)
    ]
    assert found == []


def test_there_are_pages_to_look_at() -> None:
    assert {"fleet.js", "agent.js"} <= {file.name for file in FILES}
