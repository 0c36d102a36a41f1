"""The list of agents in a broker.toml that comes back, replaced by the newest."""

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.playbook import FILES, script

agents = script("agents")

_FORMS = [
    'agents = ["press-1", "press-2"]',
    'agents=[ "press-1",\n  # the old one\n  "press-2",\n]  # both',
    "agents = []",
    "",
]
_FORMER = [
    *(f"{{before}}[access]\n{form}\n{{after}}" for form in _FORMS),
    '{before}[ access ]  # who\nagents = ["a"]\n{after}',
    'access.agents = ["a"]\n{before}{after}',
    'access = {{ agents = ["a"] }}\n{before}{after}',
    "{before}{after}",
    "{before}{after}[access]",
]
_BEFORE = ["", "# [access]\n", '[predictor]\nuse = "odd:Odd"\noptions = {agents = ["x"]}\n']
_AFTER = [
    "",
    '[log]\nlevel = "debug"\n',
    '[predictor.options]\nagents = [\n"x",\n]\ntext = """\n[access]\nagents = 1\n"""\n',
]


@given(
    st.sampled_from(_FORMER),
    st.sampled_from(_BEFORE),
    st.sampled_from(_AFTER),
    st.sampled_from(["\n", "\r\n"]),
    st.lists(st.from_regex(r"[A-Za-z0-9._-]{1,9}", fullmatch=True), max_size=3),
)
@settings(derandomize=True, deadline=None, max_examples=300)
def test_the_list_is_replaced_and_nothing_else(
    form: str, before: str, after: str, end: str, latest: list[str]
) -> None:
    if "[predictor]" in before and "[predictor.options]" in after:
        before = ""
    text = form.format(before=before, after=after).replace("\n", end)
    wanted = tomllib.loads(text)
    wanted["access"] = {"agents": latest}
    assert tomllib.loads(agents.with_agents(text, latest)) == wanted


def test_one_that_is_the_same_stays_as_it_is_written() -> None:
    text = 'access.agents=["a",]'
    assert agents.with_agents(text, ["a"]) == text


def test_a_form_that_it_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be replaced"):
        agents.with_agents('[access]\n"agents" = ["a"]\n', ["b"])


class Files:
    """A configuration and the checksums of those that were brought."""

    def __init__(self, directory: Path, *, edited: bool) -> None:
        self.config, self.brought = directory / "broker.toml", directory / "brought"
        self.config.write_text('[access]\nagents = ["a"]\n')
        self.config.chmod(0o640)
        self.brought.write_text(f"{'0' * 40}\n{'1' * 40 if edited else self.sum()}\n")

    def sum(self) -> str:
        return hashlib.sha1(self.config.read_bytes(), usedforsecurity=False).hexdigest()

    def run(self, latest: str, *, overwrite: bool = False) -> subprocess.CompletedProcess[str]:
        arguments = [self.config, self.brought, str(overwrite).lower(), latest]
        return subprocess.run(
            [sys.executable, "-I", "-", *arguments],
            input=(FILES / "agents.py").read_text(),
            capture_output=True,
            text=True,
            check=False,
        )


def test_what_the_playbook_brought_stays_what_it_brought(tmp_path: Path) -> None:
    files = Files(tmp_path, edited=False)
    assert files.run('["b"]').stdout == "changed\n"
    assert files.config.read_text() == '[access]\nagents = ["b"]\n'
    assert files.config.stat().st_mode & 0o777 == 0o640
    assert files.sum() in files.brought.read_text().split()
    assert files.run('["b"]').stdout == ""


def test_one_that_was_edited_keeps_its_list_unless_it_is_overwritten(tmp_path: Path) -> None:
    files = Files(tmp_path, edited=True)
    assert files.run('["b"]').stdout == ""
    assert '"a"' in files.config.read_text()
    assert files.run('["b"]', overwrite=True).stdout == "changed\n"
    assert '"b"' in files.config.read_text()
    assert files.sum() not in files.brought.read_text().split()


def test_a_form_that_it_does_not_know_is_told_and_kept(tmp_path: Path) -> None:
    files = Files(tmp_path, edited=True)
    files.config.write_text(text := '[access]\n"agents" = ["a"]\n')
    ended = files.run('["b"]', overwrite=True)
    assert (ended.returncode, files.config.read_text()) == (1, text)
    assert ended.stderr == (
        f"{files.config}: its list of agents cannot be replaced: write it as 'agents = [...]'\n"
    )


def test_a_first_run_has_no_configuration(tmp_path: Path) -> None:
    files = Files(tmp_path, edited=False)
    files.config.unlink()
    assert files.run('["b"]').returncode == 0
    assert not files.config.exists()
