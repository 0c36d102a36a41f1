"""What plain English forbids, and where people read our sentences: pages and messages."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.markdown import ROOT, pages, without_code

MOST_WORDS = 35

# Each with what to write in its place.
WORST = {
    r"anew": "again",
    r"so many": "number of",
    r"as ever": "as always, or nothing",
    r"(?:is|are|was|were) (?:said|told)": "who says it",
    r"(?:is|are|was|were) asked for": "who asks",
    r"(?:is|are|was|were) taken (?:up|in|anew)": "who reads, imports or reloads it",
    r"what (?:waits|expires|befalls|is revoked|was refused|it names)": "a noun",
    r"who (?:was|is) (?:refused|revoked)": "a noun",
    r"but for": "except",
    r"of which": "two sentences",
    r"go(?:es)? on|going on|went on": "continue",
    r"mend(?:s|ed|ing)?": "correct, repair",
    r"in vain": "without success",
    r", for (?:it|they|he|she|this|that|these|there|which|what|certificates|two|three)": "because",
    r"(?<!thing )else(?=[.,;:]| it| they| the)": "otherwise",
    r"so to speak|as it were|by and by|let it be": "nothing",
    r"(?<!there )is no (?!longer|more|need)\w+": "is not a",
    r"black box(?:es)?": "predictor",
    r"rebas(?:e|es|ed|ing)": "reset",
}
_WORST = {re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE): word for pattern, word in WORST.items()}

# Pages that explain a word, or that tell what was decided when it was the word.
_MAY_SAY = {
    "black box": {"README.md", "docs/glossary.md"},
}
_OLD = ("docs/decisions/", "CHANGELOG.md")

# A number in a message that stands before its noun must agree with it; quartet.plural does that.
_NUMBER = re.compile(
    r"(?:%d|\{\})(?= (?:samples|rows|agents|streams|files|sessions|records|certificates|frames"
    r"|readings|overruns|days|problems|warnings)\b(?! a second| in a row))"
)
_CODE = re.compile(r"`[^`]*`|'[^']*'|\"[^\"]*\"|<[^>]*>|\]\([^)]*\)|https?://\S+")


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text that people read, and where it is."""

    where: str
    text: str

    def slips(self) -> Iterator[str]:
        """What is wrong with it."""
        prose = _CODE.sub("X", self.text)
        page = self.where.partition(":")[0]
        for pattern, better in _WORST.items():
            for found in pattern.finditer(prose):
                if page not in _MAY_SAY.get(found[0].lower(), ()):
                    yield f"{self.where}: {found[0]!r}: write {better}"
        for sentence in _sentences(prose):
            if (words := len(sentence.split())) > MOST_WORDS:
                yield f"{self.where}: {words} words in a sentence: {sentence[:60]}..."


@dataclass(frozen=True, slots=True)
class Message(Text):
    """A text of the code, with {} where it has a value."""

    def slips(self) -> Iterator[str]:
        yield from Text.slips(self)
        if found := _NUMBER.search(self.text):
            noun = self.text[found.end() :].split()[0]
            yield f"{self.where}: a number of {noun}: use quartet.plural.counted()"


def prose() -> Iterator[Text]:
    """Each paragraph, list item and cell of each page."""
    for page in pages():
        if not page.startswith(_OLD):
            yield from _paragraphs(page)


def messages() -> Iterator[Message]:
    """Each string of agent, broker and quartet that is a sentence or a part of one."""
    for path in sorted(
        path
        for package in ("agent", "broker", "quartet")
        for path in ROOT.glob(f"{package}/**/*.py")
    ):
        yield from _strings(path)


def _paragraphs(page: str) -> Iterator[Text]:
    gathered: list[str] = []
    begun = 0
    for number, line in enumerate([*without_code(page).splitlines(), ""], 1):
        bare = line.strip()
        is_table = bare.startswith("|")
        if gathered and (not bare or is_table or re.match(r"[-*#>!]|\d+\.", bare)):
            yield Text(f"{page}:{begun}", " ".join(gathered))
            gathered = []
        if is_table:
            for cell in bare.strip("|").split("|"):
                yield Text(f"{page}:{number}", cell.strip())
        elif bare:
            begun = begun if gathered else number
            gathered.append(re.sub(r"^(?:[-*>]|\d+\.|#+) ", "", bare))


def _strings(path: Path) -> Iterator[Message]:
    tree = ast.parse(path.read_text("utf-8"))
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr | ast.JoinedStr)
        for part in (node.values if isinstance(node, ast.JoinedStr) else [node.value])
    }
    for node in ast.walk(tree):
        if id(node) not in inside and (text := _text(node)) and _is_prose(text):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            yield Message(where, text)


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        return "".join(map(str, parts))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _is_prose(text: str) -> bool:
    return len(re.findall(r"\b[a-z]{2,}\b", text)) >= 2 and not re.search(
        r"\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|FROM|WHERE)\b", text
    )


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+|\n", text)
