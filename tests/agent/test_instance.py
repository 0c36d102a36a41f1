"""Several agents on one computer: whose a configuration is, and what two of them share."""

from pathlib import Path

import pytest

from agent.__main__ import main
from agent.check.findings import Outcome
from agent.check.neighbours import check_neighbours
from agent.config import Settings
from agent.instance import Instance, with_places
from quartet.settings import load


@pytest.fixture(autouse=True)
def no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """As /etc/agent: two agents, and files that are no agent's."""
    for name in ("agent", "oil", "agent.example", "-x", "a b"):
        (tmp_path / f"{name}.toml").write_text("")
    (tmp_path / "oil.toml~").write_text("")
    return tmp_path


def places(settings: Settings) -> tuple[str | None, str | None]:
    return settings.spool.directory, settings.spool.hot_directory


def test_a_file_beside_the_default_is_of_the_agent_that_it_names(etc: Path) -> None:
    default = etc / "agent.toml"
    oil = Instance.of(etc / "oil.toml", default)
    assert (oil.name, oil.unit, oil.command("check")) == ("oil", "agent@oil", "agent check oil")
    assert dict(oil.beside) == {default: ""}
    first = Instance.of(default, default)
    assert (first.name, first.unit, first.command("check")) == ("", "agent", "agent check")
    assert dict(first.beside) == {etc / "oil.toml": "oil"}


@pytest.mark.parametrize("name", ["agent.example.toml", "oil.toml~", "none.toml", "x/oil.toml"])
def test_any_other_file_is_no_named_agents(name: str, etc: Path) -> None:
    instance = Instance.of(etc / name, etc / "agent.toml")
    assert instance == Instance(apart_from=etc)
    (finding,) = check_neighbours(Settings(), instance)
    assert finding.outcome is Outcome.SKIPPED
    assert f"is of no agent in {etc}, and is not compared with those" in finding.detail
    assert Instance.of(etc / name, etc / "none" / "agent.toml") == Instance()
    assert Instance.of(None, etc / "agent.toml") == Instance()


def test_a_named_agent_has_directories_of_its_own_below_those_of_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert places(with_places(Settings(), Instance())) == (None, None)
    oil = Instance("oil")
    assert places(with_places(Settings(), oil)) == ("/var/lib/agent/oil", "/run/agent/oil")
    monkeypatch.setenv("STATE_DIRECTORY", "/srv/oil")
    assert places(with_places(Settings(), oil)) == (None, "/run/agent/oil")


def test_the_first_agent_is_refused_as_one_more(
    etc: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As agent@agent.service, and as the name in a command."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/agent/agent")
    config = etc / "agent.toml"
    assert main(["run", "--config", str(config)], config=config) == 2
    assert "use 'systemctl start agent', or give this one another name" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["status", "agent"], config=config)
    assert "agent is agent.service's: leave the name out" in capsys.readouterr().err


def test_the_configuration_names_directories_before_anyone(etc: Path) -> None:
    (etc / "oil.toml").write_text('[spool]\ndirectory = "/a"\nhot_directory = "/b"\n')
    assert places(with_places(load(etc / "oil.toml", Settings), Instance("oil"))) == ("/a", "/b")


@pytest.mark.real
def test_a_command_with_a_name_asks_the_agent_of_that_name(
    etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    default = etc / "agent.toml"
    assert main(["status", "oil"], config=default) == 1
    where = "/run/agent/oil and /var/lib/agent/oil"
    assert f"no agent runs with the spool in {where}" in capsys.readouterr().out
    assert main(["status", "--config", str(etc / "oil.toml")], config=default) == 1
    assert where in capsys.readouterr().out
    assert main(["status", "water"], config=default) == 2
    assert f"{etc / 'water.toml'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["status", "oil", "--config", "x.toml"], "NAME and --config both name a configuration"),
        (["check", "oil.toml"], "expected 1 to 32 letters, digits, - and _"),
    ],
)
def test_a_name_that_is_none_is_refused(
    arguments: list[str], reason: str, etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments, config=etc / "agent.toml")
    assert reason in capsys.readouterr().err


OWN = """
[agent]
id = "press-4"
[source]
kind = "ads1115"
[spool]
directory = "/var/lib/agent"
[outputs.alarm]
pin = 17
"""

SHARED = {
    'id = "press-4"': "press-4 at 127.0.0.1:8061 is also agent.id",
    'kind = "ads1115"': "the chip at 0x48 on bus 1 is also source.address",
    'directory = "/var/lib/agent"': "/var/lib/agent is also spool.directory",
    "pin = 17": "GPIO17 is also outputs.alarm.pin",
}

OTHERS = {
    'id = "press-4"': 'id = "press-4-oil"',
    'kind = "ads1115"': 'kind = "ads1115"\naddress = 0x49',
    'directory = "/var/lib/agent"': "",
    "pin = 17": "pin = 18",
}


def checked(etc: Path, *same: str) -> Instance:
    """Two agents that have all of their own, but for these lines."""
    text = OWN
    for line, other in OTHERS.items():
        if line not in same:
            text = text.replace(line, other)
    (etc / "agent.toml").write_text(OWN)
    (etc / "oil.toml").write_text(text)
    return Instance.of(etc / "agent.toml", etc / "agent.toml")


def test_a_chip_is_one_chip_however_its_address_is_written(etc: Path) -> None:
    (etc / "agent.toml").write_text('[source]\nkind = "ads1115"\naddress = "0x4A"\n')
    (etc / "oil.toml").write_text('[source]\nkind = "ads1115"\naddress = 0x4a\n')
    instance = Instance.of(etc / "oil.toml", etc / "agent.toml")
    details = [each.detail for each in check_neighbours(load(etc / "oil.toml", Settings), instance)]
    chip = "source.address: the chip at 0x4a on bus 1 is also source.address"
    assert f"{chip} in {etc / 'agent.toml'}" in details


@pytest.mark.parametrize("line", SHARED)
def test_what_two_configurations_name_is_found_by_check_and_told_before_a_start(
    line: str, etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instance = checked(etc, line)
    (finding,) = check_neighbours(load(etc / "agent.toml", Settings), instance)
    assert finding.outcome is Outcome.FAILED
    assert f"{SHARED[line]} in {etc / 'oil.toml'}" in finding.detail
    arguments = ["run", "--check", "--config", str(etc / "agent.toml")]
    assert main(arguments, config=etc / "agent.toml") == 0
    said = [each for each in capsys.readouterr().err.splitlines() if "only one of" in each]
    assert len(said) == 1
    assert f"{SHARED[line]} in {etc / 'oil.toml'}: only one of the two agents" in said[0]


def test_agents_that_share_nothing_pass_and_one_alone_is_told_nothing(etc: Path) -> None:
    instance = checked(etc)
    settings = load(etc / "agent.toml", Settings)
    (finding,) = check_neighbours(settings, instance)
    assert (finding.outcome, finding.detail) == (
        Outcome.PASSED,
        "nothing is shared with oil.toml",
    )
    assert list(check_neighbours(settings, Instance())) == []


def test_a_neighbour_that_is_wrong_is_left_to_its_own_check(etc: Path) -> None:
    instance = checked(etc)
    (etc / "oil.toml").write_text("[agent\n")
    (finding,) = check_neighbours(load(etc / "agent.toml", Settings), instance)
    assert finding.outcome is Outcome.PASSED
