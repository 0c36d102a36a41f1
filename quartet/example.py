"""A configuration file with a comment on each key, made from the code."""

import textwrap
from collections.abc import Iterator, Mapping

from quartet.keys import Key, Section, sections
from quartet.kinds import is_obvious
from quartet.settings import Table

_WIDTH = 100


def text(
    program: str, settings: type[Table], chosen: Mapping[str, str], left_out: tuple[str, ...] = ()
) -> str:
    """The text of a file whose keys are all commented out, with their defaults.

    `chosen` names the kind of a table that is there in several kinds, and is set. The tables
    below `left_out` are left to the documentation.
    """
    check = program if " " in program else f"{program} run"
    blocks = [
        f"# Configuration of the {program}, with all keys and their defaults.\n"
        '# Remove the "#" of a key, and that of its [table], to set it. "# " begins an'
        " explanation.\n"
        f"# Check a change before a restart: {check} --check --config FILE"
    ]
    for section in sections(settings):
        table = section.paths[0]
        is_other = section.kind is not None and chosen.get(table) != section.kind
        if is_other or table.partition(".")[0] in left_out:
            continue
        blocks.append("\n".join(_table(section)))
    blocks += [f"# docs/configuration.md describes [{table}]." for table in left_out]
    return "\n\n".join(blocks) + "\n"


def _table(section: Section) -> Iterator[str]:
    yield from _comment(section.meaning)
    is_off = section.optional and section.kind is None
    first, *alike = section.headers
    yield f"#{first}" if is_off else first
    if section.kind is not None:
        yield f'kind = "{section.kind}"'
    for key in section.keys:
        yield from _key(key)
    for number, header in enumerate(alike, 1):
        yield f"\n{header}"
        yield from (_unset(key, number) for key in section.keys)


def _key(key: Key) -> Iterator[str]:
    unit = f", in {key.unit}" if key.unit else ""
    yield from _comment(key.meaning)
    if not is_obvious(key.type):
        yield from _comment(f"Takes {key.type}{unit}.")
    yield _unset(key, 0)


def _unset(key: Key, number: int) -> str:
    """The key as it is written in the table of this number among those alike, from 0."""
    value = key.default or key.examples[number % len(key.examples)]
    return f"#{key.name} = {value}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")
