"""Put the list of agents that may stream into a broker.toml that has another one.

agents.py CONFIG BROUGHT OVERWRITE AGENTS: BROUGHT has the checksums of all configurations that the
playbook brought; one that a person edited keeps its own list, unless OVERWRITE is "true". AGENTS
is JSON. Prints "changed" where it did something; exit 1, with the reason, where it cannot.
"""

import hashlib
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

_KEY = re.compile(r"^\s*(?P<key>access\s*\.\s*agents|agents|access)\s*=")
_HEADER = re.compile(r"^\s*\[\s*access\s*\]")


def with_agents(text: str, agents: list[str]) -> str:
    """The same configuration with this list; ValueError where the text has an unusual form."""
    former = tomllib.loads(text)
    wanted = {**former, "access": {**former.get("access", {}), "agents": agents}}
    if former == wanted:
        return text
    for candidate in _candidates(text.splitlines(keepends=True), json.dumps(agents)):
        if _parsed(candidate) == wanted:
            return candidate
    raise ValueError("its list of agents cannot be replaced: write it as 'agents = [...]'")


def _candidates(lines: list[str], value: str) -> Iterator[str]:
    """Texts that may be the wanted one: the key replaced, else added to its table or at the end."""
    for first, line in enumerate(lines):
        if found := _KEY.match(line):
            key = found["key"]
            assignment = (
                f"{key} = {{agents = {value}}}\n" if key == "access" else f"{key} = {value}\n"
            )
            behind = first + _height(lines[first:])
            yield "".join([*lines[:first], assignment, *lines[behind:]])
    for at, line in enumerate(lines, 1):
        if _HEADER.match(line):
            yield "".join(
                [*lines[: at - 1], line.rstrip("\r\n"), f"\nagents = {value}\n", *lines[at:]]
            )
    yield "".join([*lines, f"\n\n[access]\nagents = {value}\n"])


def _height(lines: list[str]) -> int:
    """How many lines the assignment takes that the first one begins."""
    for count in range(1, len(lines) + 1):
        if _parsed("".join(lines[:count])) is not None:
            return count
    return 1


def _parsed(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _sum(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()  # as Ansible's stat


def main(config: Path, brought: Path, overwrite: str, agents: str) -> str | None:
    """Do it; an error for a person, or nothing."""
    if not config.exists():
        return None
    text = config.read_text()
    is_brought = brought.exists() and _sum(text) in brought.read_text().split()
    if not is_brought and overwrite != "true":
        return None
    try:
        latest = with_agents(text, json.loads(agents))
    except ValueError as error:
        return f"{config}: {error}"
    if latest == text:
        return None
    if is_brought:
        with brought.open("a") as sums:
            sums.write(f"{_sum(latest)}\n")
    new = config.with_name(f".{config.name}.new")
    new.write_text(latest)
    shutil.copymode(config, new)
    new.replace(config)
    print("changed")  # noqa: T201
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]))
