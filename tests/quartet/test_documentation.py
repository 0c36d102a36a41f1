"""Links, names and examples in the documentation are right."""

import re
from pathlib import Path

import pytest
from support.commands import commands, parse, programs
from support.markdown import ROOT, Block, anchors, blocks, links, pages

import agent.config
import broker.config
import broker.console.config
import broker.mqtt.config
import broker.notify.config
from quartet.settings import Table, load

_BROKERS = ("[listen]", "[recorder]", "[predictor]")
_OURS = ("ansible/", "broker/", "dataset/", "docs/", "proto/", "systemd/")


def _blocks(kind: str) -> list[Block]:
    return [block for page in pages() for block in blocks(page) if block.kind == kind]


def _target(page: str, link: str) -> tuple[Path, str]:
    path, _, anchor = link.partition("#")
    return (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page, anchor


@pytest.mark.parametrize("page", pages())
def test_each_link_leads_to_a_file(page: str) -> None:
    missing = [link for link in links(page) if not _target(page, link)[0].exists()]
    assert not missing


@pytest.mark.parametrize("page", pages())
def test_each_link_into_a_page_leads_to_a_heading(page: str) -> None:
    there = [(link, *_target(page, link)) for link in links(page)]
    missing = [
        link
        for link, path, anchor in there
        if anchor and path.exists() and anchor not in anchors(str(path.relative_to(ROOT)))
    ]
    assert not missing


def test_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 130
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("block", _blocks("toml"), ids=str)
def test_each_example_of_a_configuration_is_right(block: Block, tmp_path: Path) -> None:
    text = block.text
    if re.search(r"^\[source\.sensor", text, re.MULTILINE) and "[source]" not in text:
        text = '[source]\nkind = "ads1115"\n' + text
    path = tmp_path / "some.toml"
    path.write_text(text)
    load(path, _settings(text))


def _settings(text: str) -> type[Table]:
    if text.startswith(_BROKERS):
        return broker.config.Settings
    if text.startswith(("[notify]", "[[webhook]]", "[mail]")):
        return broker.notify.config.Settings
    if text.startswith("[mqtt]"):
        return broker.mqtt.config.MqttSettings
    is_console = text.startswith("[console]")
    return broker.console.config.ConsoleSettings if is_console else agent.config.Settings


@pytest.mark.parametrize("block", _blocks("sh"), ids=str)
def test_each_command_of_ours_is_one(block: Block) -> None:
    for words in programs(block.text):
        parse(words)


@pytest.mark.parametrize("block", _blocks("sh"), ids=str)
def test_each_file_and_target_that_a_command_names_exists(block: Block) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(block.text):
        assert [word for word in words if word.startswith(_OURS) and not _exists(word)] == []
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets


def _exists(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/"))) if "[" not in path else True
