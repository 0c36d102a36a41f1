"""Scripts, styles and pages: what the content policy and foreign names forbid is in none."""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

import broker.console

_HOME = Path(broker.console.__file__).parent
_PAGES = sorted((_HOME / "pages").glob("*.html"))
_SCRIPTS = sorted((_HOME / "static").glob("*.js"))
_STYLES = sorted((_HOME / "static").glob("*.css"))

_MOST_LINES = 300

# A name that is not text but markup, and what the content policy refuses.
_FORBIDDEN = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "createContextualFragment",
    "DOMParser",
    "setHTMLUnsafe",
    "eval(",
    "new Function",
    "javascript:",
    'setAttribute("style"',
    "cssText",
]

# Names of namespaces, which nobody asks for.
_NAMESPACE = "http://www.w3.org/2000/svg"

_IMPORT = re.compile(r"""(?:from|import) "\./([a-z-]+\.js)"|new URL\("([a-z-]+\.js)\"""")


def _named(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


class _Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self._open: str = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open in ("script", "style") and data.strip():
            self.inline.append(data)

    def links(self) -> set[str]:
        attributes = [attrs for tag, attrs in self.tags if tag in ("script", "link", "img")]
        found = [attrs.get("src") or attrs.get("href") for attrs in attributes]
        return {each for each in found if each}


@pytest.mark.parametrize("script", _SCRIPTS, ids=_named(_SCRIPTS))
def test_no_script_makes_markup_of_text(script: Path) -> None:
    text = script.read_text()
    assert [word for word in _FORBIDDEN if word in text] == []


@pytest.mark.parametrize(
    "path", _SCRIPTS + _STYLES + _PAGES, ids=_named(_SCRIPTS + _STYLES + _PAGES)
)
def test_no_file_names_another_host(path: Path) -> None:
    text = path.read_text().replace(_NAMESPACE, "")
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text) == []
    assert path.suffix != ".css" or re.findall(r"@import|url\(", text) == []


@pytest.mark.parametrize("script", _SCRIPTS, ids=_named(_SCRIPTS))
def test_a_script_is_short_and_what_it_imports_is_there(script: Path) -> None:
    text = script.read_text()
    assert len(text.splitlines()) <= _MOST_LINES
    assert [name for name in _imports(text) if not script.with_name(name).is_file()] == []


def _imports(text: str) -> list[str]:
    return [one or other for one, other in _IMPORT.findall(text)]


def test_each_file_is_used() -> None:
    used = {Path(link).name for page in _PAGES for link in _Page(page).links()}
    for script in _SCRIPTS:
        used.update(_imports(script.read_text()))
    assert {path.name for path in _SCRIPTS + _STYLES} - used == set()


@pytest.mark.parametrize("path", _PAGES, ids=_named(_PAGES))
def test_a_page_has_a_language_a_title_one_heading_and_nothing_inline(path: Path) -> None:
    page = _Page(path)
    counts = Counter(tag for tag, _ in page.tags)
    assert (counts["title"], counts["h1"], counts["main"]) == (1, 1, 1)
    assert ("html", {"lang": "en"}) in page.tags
    assert page.inline == []
    names = {name for _, attrs in page.tags for name in attrs}
    assert {name for name in names if name == "style" or name.startswith("on")} == set()


@pytest.mark.parametrize("path", _PAGES, ids=_named(_PAGES))
def test_what_a_page_asks_for_is_there(path: Path) -> None:
    links = _Page(path).links()
    assert links
    assert [each for each in links if not each.startswith("/static/")] == []
    assert [each for each in links if not (_HOME / each.removeprefix("/")).is_file()] == []
