"""Command lines in the documentation: which ones are ours, and whether they are understood."""

import argparse
import shlex
from collections.abc import Iterator
from pathlib import PurePath

from agent.commandline import parser as agent_parser
from broker.commandline import parser as broker_parser

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
    """Those of agent and broker, from the program on, without sudo and redirections."""
    for words in commands(script):
        ours = _without_sudo(words)
        if ours and PurePath(ours[0]).name in _PARSERS:
            end = next((at for at, word in enumerate(ours) if set(word) <= {"<", ">"}), len(ours))
            yield ours[:end]


def parse(words: list[str]) -> None:
    """Raise where a command line of ours is not understood."""
    if "--version" not in words and words[-1] != "...":
        try:
            _PARSERS[PurePath(words[0]).name]().parse_args(words[1:])
        except SystemExit:
            raise argparse.ArgumentError(None, f"not understood: {shlex.join(words)}") from None


def _without_sudo(words: list[str]) -> list[str]:
    if words[0] != "sudo":
        return words
    return words[3:] if words[1] == "-u" else words[1:]
