"""What a message suggests to install is what the extra requires."""

import re
import tomllib
from pathlib import Path

import pytest

from quartet.distribution import NAME, to_install, version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def names(requirements: list[str]) -> set[str]:
    """What is required, with the extras of ours among it resolved."""
    found = set()
    for each in requirements:
        name, extra = re.match(r"([\w-]+)(?:\[([\w,]+)\])?", each).groups()
        found |= (
            {name} if name != NAME else set().union(*(names(EXTRAS[of]) for of in extra.split(",")))
        )
    return found


def test_it_is_installed_by_its_name_and_has_its_version() -> None:
    assert PROJECT["name"] == NAME
    assert version() == PROJECT["version"]


@pytest.mark.parametrize("extra", ["broker", "journal", "live", "onnx", "pi", "plot", "tls"])
def test_the_requirements_of_an_extra_are_named_and_not_the_distribution(extra: str) -> None:
    command = to_install(extra)
    assert command.startswith("pip install '")
    named = re.findall(r"'([\w-]+)[^'\w-][^']*'", command)
    assert set(named) == names(EXTRAS[extra])
    assert NAME not in command


def test_no_message_tells_people_to_install_a_foreign_package() -> None:
    asked = re.compile(r"install [^\n]*\bquartet\[")
    for package in ("agent", "broker", "quartet"):
        for path in (ROOT / package).rglob("*.py"):
            assert not asked.search(path.read_text("utf-8")), path


def test_the_page_lists_each_extra_of_users() -> None:
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z]+)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(EXTRAS.keys() - {"dev", "bench", "e2e"})
