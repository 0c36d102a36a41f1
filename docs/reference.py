"""Make what is made from the code: two pages of the reference, man pages, example files.

Run by `make reference`; with --check, exit with 1 if one of the files is not fresh.
"""

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import agent.commandline
import agent.config
import broker.commandline
import broker.config
import broker.console.commandline
import broker.console.config
import broker.mqtt.commandline
import broker.mqtt.config
import broker.notify.commandline
import broker.notify.config
from agent.__main__ import example as agent_example
from broker.__main__ import example as broker_example
from broker.console.commands import example as console_example
from broker.mqtt.commands import example as mqtt_example
from broker.notify.commands import example as notify_example
from quartet.commandline import Parser
from quartet.keys import Key, Section, sections
from quartet.settings import Table

DOCS = Path(__file__).parent

_MADE = "This page is made from the code: `make reference` makes it again."

# Programs beside the broker, each with the configuration that it reads by default.
_BESIDE: dict[str, tuple[Path, type[Table]]] = {
    "console": (broker.console.commandline.CONFIG, broker.console.config.ConsoleSettings),
    "notify": (broker.notify.commandline.CONFIG, broker.notify.config.Settings),
    "mqtt": (broker.mqtt.commandline.CONFIG, broker.mqtt.config.MqttSettings),
}
_PROGRAMS: dict[str, tuple[Callable[[], Parser], type[Table]]] = {
    "agent": (agent.commandline.parser, agent.config.Settings),
    "broker": (broker.commandline.parser, broker.config.Settings),
}


def main(arguments: list[str]) -> int:
    """Write all files, or name those that are not fresh."""
    stale = []
    for path, text in _files():
        if path.exists() and path.read_text("utf-8") == text:
            continue
        if "--check" in arguments:
            stale.append(str(path.relative_to(DOCS.parent)))
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
    if stale:
        print(f"not fresh: {', '.join(stale)}: run 'make reference'", file=sys.stderr)
    return 1 if stale else 0


def _files() -> Iterator[tuple[Path, str]]:
    yield DOCS / "configuration.md", _lines(_configuration())
    yield DOCS / "cli.md", _lines(_command_line())
    yield DOCS / "examples" / "agent.example.toml", agent_example()
    yield DOCS / "examples" / "broker.example.toml", broker_example()
    yield DOCS / "examples" / "console.example.toml", console_example()
    yield DOCS / "examples" / "notify.example.toml", notify_example()
    yield DOCS / "examples" / "mqtt.example.toml", mqtt_example()
    for program, (parser, _) in _PROGRAMS.items():
        yield DOCS / "man" / f"{program}.1", _lines(_man(parser()))


# The configuration


def _configuration() -> Iterator[str]:
    yield "# Configuration"
    yield ""
    yield _MADE
    yield ""
    yield "Both programs read a TOML file: `agent run --config agent.toml`. Without `--config` the"
    yield f"agent reads `{agent.commandline.CONFIG}` and the broker `{broker.commandline.CONFIG}`,"
    yield "if the file exists. The agent never reads it with `--simulate` or `--virtual`. The log"
    yield "names the file that was read."
    yield ""
    yield "- All tables and keys may be left out, except the keys marked as required."
    yield "- Options on the command line override the file."
    yield "- Relative paths start at the directory in which the program is started."
    yield "- `agent config --example` and `broker config --example` print a file with all keys."
    yield "- `agent run --check` and `broker run --check` check a file and the files that it names."
    yield "- Each program beside the broker has a file of its own. Without `--config` it reads,"
    yield "  if it exists:"
    for name, (path, _) in _BESIDE.items():
        yield f"  `{path}` for `broker {name}`{'.' if name == [*_BESIDE][-1] else ','}"
    files: dict[str, type[Table]] = {
        program: settings for program, (_, settings) in _PROGRAMS.items()
    }
    files |= {name: settings for name, (_, settings) in _BESIDE.items()}
    for name, settings in files.items():
        yield ""
        yield f"## {name}.toml"
        yield from _tables(settings)


def _tables(settings: type[Table]) -> Iterator[str]:
    for section in sections(settings):
        yield ""
        yield f"### {_title(section)}"
        yield ""
        yield section.meaning
        if section.keys:
            yield ""
            yield "| key | type | default | unit | meaning |"
            yield "| --- | --- | --- | --- | --- |"
            yield from map(_row, section.keys)


def _title(section: Section) -> str:
    headers = [f"`{header}`" for header in section.headers]
    title = headers[0] if len(headers) == 1 else f"{headers[0]} to {headers[-1]}"
    return f'{title} with `kind = "{section.kind}"`' if section.kind else title


def _row(key: Key) -> str:
    default = "required" if key.required else f"`{key.default}`" if key.default else ""
    cells = (f"`{key.name}`", key.type, default, key.unit, key.meaning)
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# The command line


def _command_line() -> Iterator[str]:
    yield "# Command line"
    yield ""
    yield _MADE
    yield ""
    yield "`agent COMMAND --help` shows the same on a terminal, and so does `man agent` where the"
    yield "man pages are installed. `python -m agent` and `python -m broker` work as well."
    yield ""
    yield "A command that cannot write its output, on a full disk for example, says so in one line"
    yield "and exits with 1. If a reader such as `head` ends first, it says nothing."
    for program, (parser, _) in _PROGRAMS.items():
        for command in _walk(parser()):
            level = "##" if command.prog == program else "###"
            yield ""
            yield f"{level} `{command.prog}`"
            yield ""
            yield command.description or ""
            yield ""
            yield "```"
            yield from textwrap.wrap(_synopsis(command), 96, subsequent_indent="    ")
            yield "```"
            if rows := [*_arguments(command), *_commands(command)]:
                yield ""
                yield "| argument | meaning |"
                yield "| --- | --- |"
                yield from (f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows)
            if command.examples:
                yield ""
                yield "```sh"
                yield from command.examples
                yield "```"


def _walk(parser: Parser) -> Iterator[Parser]:
    yield parser
    for command in parser.commands.values():
        yield from _walk(command)


def _synopsis(command: Parser) -> str:
    words = [command.prog]
    for argument in command.arguments:
        if argument.option_strings == ["-h", "--help"]:
            continue
        name = _name(argument)
        words.append(name if argument.required else f"[{name}]")
    if command.commands:
        words.append("COMMAND ..." if command.needs_command else "[COMMAND ...]")
    return " ".join(words)


def _arguments(command: Parser) -> Iterator[tuple[str, str]]:
    for argument in command.arguments:
        yield _name(argument), (argument.help or "") % {"prog": command.prog}


def _commands(command: Parser) -> Iterator[tuple[str, str]]:
    yield from command.summaries.items()


def _name(argument: argparse.Action) -> str:
    value = argument.metavar or "|".join(argument.choices or ())
    if not argument.option_strings:
        return f"{value} ..." if argument.nargs == "+" else str(value)
    names = ", ".join(argument.option_strings)
    takes = argument.nargs != 0
    return f"{names} {value or argument.dest.upper()}" if takes else names


# Man pages


def _man(program: Parser) -> Iterator[str]:
    name = program.prog
    yield f'.TH {name.upper()} 1 "" "Quartet" "User Commands"'
    yield ".SH NAME"
    yield f"{name} \\- {_roff(program.description or '')}"
    yield ".SH SYNOPSIS"
    yield f".B {name}"
    yield "COMMAND [OPTION]..."
    yield ".SH OPTIONS"
    yield from _man_arguments(program)
    yield ".SH COMMANDS"
    for command in list(_walk(program))[1:]:
        yield f".SS {command.prog}"
        yield _roff(_synopsis(command))
        yield ".PP"
        yield _roff(command.description or "")
        yield from _man_arguments(command)
    yield ".SH EXAMPLES"
    for command in _walk(program):
        for example in command.examples:
            yield ".PP"
            yield f".B {_roff(example)}"
    yield ".SH FILES"
    yield ".TP"
    yield f".B /etc/{name}/{name}.toml"
    yield "The configuration that is read if no other is named."
    if name == "broker":
        for beside, (path, _) in _BESIDE.items():
            yield ".TP"
            yield f".B {path}"
            yield f"The configuration of \\fBbroker {beside}\\fR that is read if no other is named."
    yield ".SH SEE ALSO"
    yield ".BR agent (1)," if name == "broker" else ".BR broker (1),"
    yield "docs/configuration.md"


def _man_arguments(command: Parser) -> Iterator[str]:
    for argument, text in _arguments(command):
        yield ".TP"
        yield f".B {_roff(argument)}"
        yield _roff(text)


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("\n\n", "\n.PP\n")
    return "\n".join(f"\\&{line}" if line.startswith("'") else line for line in escaped.split("\n"))


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
