"""Who is trusted by files of the control node: none that is revoked on the machine already."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.playbook import FILES

from broker.pki.authority import Authority


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    authority = Authority.init(tmp_path, ["localhost"])
    for name in ("press-1", "press-2"):
        authority.issue_agent(name)
    return tmp_path


def revoke(pki: Path, name: str) -> bytes:
    Authority(pki).revoke(name)
    return (pki / "crl.pem").read_bytes()


def check(pki: Path, there: bytes = b"", *names: str) -> str:
    """What is wrong with the files, where the machine has that list."""
    files = [pki / name for name in names or ("ca.pem", "crl.pem")]
    ended = subprocess.run(
        [sys.executable, "-I", "-c", (FILES / "trust.py").read_text(), *files],
        input=there,
        capture_output=True,
        check=False,
    )
    assert bool(ended.stderr) == bool(ended.returncode)
    return ended.stderr.decode()


def test_a_list_may_grow_and_not_shrink(pki: Path) -> None:
    empty = (pki / "crl.pem").read_bytes()
    one = revoke(pki, "press-1")
    assert check(pki) == check(pki, empty) == check(pki, one) == ""
    two = revoke(pki, "press-2")
    assert check(pki, one) == check(pki, two) == ""
    (pki / "crl.pem").write_bytes(one)
    (revoked,) = [each for each in Authority(pki).issued() if "press-2" in each.certificate.names]
    assert f"which revokes {revoked.certificate.serial:x} as well" in check(pki, two)


@pytest.mark.parametrize("there", [b"", b"nothing"])
def test_without_a_list_on_the_machine_any_will_do(there: bytes, pki: Path) -> None:
    assert check(pki, there) == ""


def test_a_list_of_an_authority_that_goes_is_no_obstacle(pki: Path, tmp_path: Path) -> None:
    there = revoke(pki, "press-1")
    Authority.init(tmp_path / "new", ["localhost"])
    assert check(tmp_path / "new", there) == ""


@pytest.mark.parametrize("name", ["ca.pem", "crl.pem"])
def test_a_file_that_cannot_be_used_is_told(name: str, pki: Path) -> None:
    (pki / name).write_text("nothing")
    assert f"{pki / name}: contains no " in check(pki)


def test_an_agent_has_no_list(pki: Path) -> None:
    assert check(pki, b"", "ca.pem") == ""
