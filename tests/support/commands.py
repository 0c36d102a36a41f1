"""Command lines in the documentation: which ones are ours, and whether they are understood."""

import argparse
import shlex
from collections.abc import Iterator
from pathlib import PurePath

from agent.__main__ import _parser as agent_parser
from broker.__main__ import _parser as broker_parser

_PARSERS = {"agent": agent_parser, "broker": broker_parser}
_SEPARATORS = {"|", "&&", "||", ";", "&"}


def commands(script: str) -> Iterator[list[str]]:
    """Each simple command of a block, as words, without comments."""
    line = ""
    for part in script.replace("\\\n", " ").splitlines():
        line += f"{part}\n"
        try:
            yield from _split(line)
        except ValueError:  # a quoted text goes on in the next line
            continue
        line = ""


def _split(line: str) -> list[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if word in _SEPARATORS:
            found.append([])
        else:
            found[-1].append(word)
    return [words for words in found if words]


def programs(script: str) -> Iterator[list[str]]:
    """Those of agent and broker, from the program on, without redirections."""
    for words in commands(script):
        named = [at for at, word in enumerate(words) if PurePath(word).name in _PARSERS]
        if named and _is_run(words[: named[0]]):
            ours = words[named[0] :]
            end = next((at for at, word in enumerate(ours) if set(word) <= {"<", ">"}), len(ours))
            yield ours[:end]


def parse(words: list[str]) -> None:
    """Raise where a command line of ours is not understood."""
    if "--version" not in words and words[-1] != "...":
        try:
            _PARSERS[PurePath(words[0]).name]().parse_args(words[1:])
        except SystemExit:
            raise argparse.ArgumentError(None, f"not understood: {shlex.join(words)}") from None


def _is_run(before: list[str]) -> bool:
    """Whether what stands before a word runs it: nothing, or sudo with its options."""
    return not before or (before[0] == "sudo" and (len(before) == 1 or before[1].startswith("-")))
