"""What is made from the code: examples of a configuration, the reference, man pages."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import fields
from support.processes import Running

import agent.__main__
import agent.commandline
import agent.config
import broker.__main__
import broker.commandline
import broker.config
from agent.config.source import SensorSettings
from quartet import distribution
from quartet.commandline import Parser
from quartet.completion import script
from quartet.errors import QuartetError
from quartet.keys import sections
from quartet.settings import differences, load

ROOT = Path(__file__).parents[2]
KINDS = {"agent": agent.config.Settings, "broker": broker.config.Settings}
EXAMPLES = {"agent": agent.__main__.example, "broker": broker.__main__.example}
PARSERS = {"agent": agent.commandline.parser, "broker": broker.commandline.parser}


def commands(parser: Parser) -> list[Parser]:
    return [parser, *(each for command in parser.commands.values() for each in commands(command))]


def test_what_is_made_from_the_code_is_fresh(tmp_path: Path) -> None:
    made = [sys.executable, str(ROOT / "docs" / "reference.py"), "--check"]
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # A copy whose page was edited is found.
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    with (docs / "cli.md").open("a") as page:
        page.write("more\n")
    stale = [sys.executable, str(docs / "reference.py"), "--check"]
    done = subprocess.run(stale, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "not fresh: docs/cli.md: run 'make reference'\n",
    )


@pytest.mark.parametrize("program", KINDS)
def test_each_key_has_a_meaning_and_a_default_or_an_example(program: str) -> None:
    for section in sections(KINDS[program]):
        assert section.meaning.endswith("."), section.paths
        for key in section.keys:
            assert key.meaning.endswith("."), (section.paths, key.name)
            assert key.default or key.examples or section.kind or section.repeated, key.name


@pytest.mark.parametrize("program", KINDS)
def test_an_example_is_right_as_printed_and_with_each_key_that_it_has(
    program: str, tmp_path: Path
) -> None:
    kind, text = KINDS[program], EXAMPLES[program]()
    path = tmp_path / "some.toml"
    path.write_text(text)
    assert load(path, kind).log == kind().log
    full = re.sub(r"^#(?=[\[a-z])", "", text, flags=re.MULTILINE)
    path.write_text(full)
    read = load(path, kind)
    assert set(differences(kind(), read)) <= {  # of no default, or none that is always the same
        *("agent", "tls", "source", "spool.directory", "spool.hot_directory", "outputs.alarm"),
        *(
            "outputs.status",
            "outputs.mqtt",
            "access.agents",
            "limits.new_lines_per_minute",
            "predictor.options",
        ),
        *("predictor.threads", "recorder.path", "recorder.url", "agent.id", "broker.proxy"),
        "metrics.listen",
    }


def test_the_example_has_each_sensor_with_its_own_pin_and_its_keys() -> None:
    text = EXAMPLES["agent"]()
    for number in (1, 2, 3, 4):
        table = text.partition(f"\n[source.sensor{number}]\n")[2].partition("\n[")[0]
        keys = re.findall(r"^#(\w+) = ", table, re.MULTILINE)
        assert keys == [field.encode_name for field in fields(SensorSettings)]
        assert f"#input = {number - 1}\n" in table


def test_the_examples_keys_are_all_keys() -> None:
    for program, kind in KINDS.items():
        text = EXAMPLES[program]()
        for section in sections(kind):
            left_out = section.paths[0].startswith("virtual") or section.kind in (
                *("replay", "virtual"),
            )
            if not left_out:
                assert section.headers[0] in text
                assert all(f"\n#{key.name} = " in text for key in section.keys)


@pytest.mark.parametrize("program", PARSERS)
def test_each_command_and_option_is_described(program: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    manual = (ROOT / "docs" / "man" / f"{program}.1").read_text("utf-8").replace("\\-", "-")
    for command in commands(PARSERS[program]()):
        assert command.description, command.prog
        assert f"# `{command.prog}`\n" in page
        for argument in command.arguments:
            assert argument.help, (command.prog, argument.dest)
            for option in argument.option_strings:
                assert option in page
                assert option in manual


def test_the_defaults_in_the_help_are_those_of_the_settings() -> None:
    text = PARSERS["agent"]().commands["run"].format_help()
    settings = agent.config.Settings()
    assert f"(default: {settings.sampling.rate_hz:g})" in text
    assert settings.broker.address in text
    text = " ".join(PARSERS["broker"]().commands["run"].format_help().split())
    assert broker.config.Settings().listen.address in text
    assert f"(default: {broker.config.Settings().predictor.use})" in text


# The command line


@pytest.mark.parametrize(
    ("arguments", "usage", "reason"),
    [
        (["agent", "run", "--foo"], "agent run ", "agent run: error: unknown argument: --foo"),
        (["agent", "check", "x", "y"], "agent check ", "agent check: error: unknown argument: y"),
        (
            ["agent", "run", "--rate", "0"],
            "agent run ",
            "expected 'max', 'recorded' or samples per second",
        ),
        (["agent", "calibrate", "5"], "agent calibrate ", "expected a number from 1 to 4, got '5'"),
        (["agent", "config"], "agent config ", "the following arguments are required: --example"),
        (["broker", "store", "check", "-x"], "broker store check ", "unknown argument: -x"),
        (["broker", "pki"], "broker pki ", "required: COMMAND"),
        (["broker", "ledger"], "broker ledger ", "broker ledger: error: no store: give --store"),
    ],
)
def test_an_error_shows_the_usage_of_its_command(
    arguments: list[str], usage: str, reason: str
) -> None:
    with Running(arguments, env={"STATE_DIRECTORY": ""}) as run:
        assert run.wait() == 2
    assert run.stderr.startswith(f"usage: {usage}")
    assert reason in run.stderr


def test_both_programs_print_the_version_by_the_name_of_the_distribution() -> None:
    for program in KINDS:
        with Running([program, "--version"]) as run:
            assert run.wait() == 0
        assert run.stdout == f"{distribution.NAME} {distribution.version()}\n"


def test_both_programs_print_their_example_and_it_passes_its_check(tmp_path: Path) -> None:
    for program in KINDS:
        with Running([program, "config", "--example"]) as run:
            assert run.wait() == 0
        path = tmp_path / f"{program}.toml"
        path.write_text(run.stdout)
        with Running([program, "run", "--check", "--config", str(path)]) as run:
            assert run.wait() == 0, run.stderr
        assert f"the configuration is right ({path})" in run.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", PARSERS)
def test_a_shell_completes_commands_and_options(program: str, shell: str, tmp_path: Path) -> None:
    with Running([program, "completion", shell]) as run:
        assert run.wait() == 0
    for word in ("ledger", "--check", "--config" if shell != "fish" else "-l config"):
        assert word.removeprefix("--") in run.stdout
    if shell == "bash":
        path = tmp_path / "script"
        path.write_text(run.stdout)
        ask = (
            f"source {path}; COMP_WORDS=({program} le); COMP_CWORD=1; COMP_LINE='{program} le'; "
            f"$(complete -p {program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); echo ${{COMPREPLY[@]}}"
        )
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["ledger"], done.stderr


def test_without_shtab_a_person_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(QuartetError, match="shtab is missing"):
        script(PARSERS["agent"](), "bash")
