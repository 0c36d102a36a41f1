"""An incident file may come from anybody, and be anything: a clear refusal, and nothing else."""

import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.incidents import PARITY, SAMPLES, Change, made, manifest, member, samples

from broker.__main__ import main
from broker.errors import IncidentError
from broker.incident.archive import opened
from broker.incident.replay import replay


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "i.zip"


def test_a_good_file_is_read(path: Path) -> None:
    path.write_bytes(made())
    with opened(path) as incident:
        first, second = incident.rows()
        assert (first.id, first.prediction, second.prediction) == (1, False, True)
        assert (second.values[2], second.said) == (float("inf"), "so, so")
        assert incident.state("states/0") == b"state"
        found = replay(incident, PARITY)
    assert (found.compared, found.skipped_later) == (1, 1)


def added(name: str) -> Change:
    def change(_: dict[str, Any], members: dict[str, bytes]) -> None:
        members[name] = b"more"

    return change


def missing(_: dict[str, Any], members: dict[str, bytes]) -> None:
    del members["samples.csv"]


def state(row: int, name: str | None) -> dict[str, object]:
    return {"row": row, "digest": "d", "is_fresh": False, "member": name}


BAD: dict[str, tuple[bytes, str]] = {
    "no zip": (b"hello", "is not a zip file"),
    "empty": (b"", "is not a zip file"),
    "cut": (made()[:-30], "is not a zip file"),
    "another zip": (made(missing), "it has no samples.csv"),
    "another format": (made(manifest(format="\x1b[2J")), r"but of format \\x1b\[2J$"),
    "newer": (made(manifest(version=2, quartet="9.0")), r"another version of Quartet \(9.0\)"),
    "no version": (made(manifest(version=None)), "Expected `int`"),
    "rows": (made(manifest(rows=3)), "has 2 rows, expected 3"),
    "negative": (made(manifest(rows=-1)), r"manifest\.json: Expected `int` >= 0"),
    "changed": (made(samples(b",1,2026", b",0,2026")), "is not what was written"),
    "prediction": (made(samples(b",1,2026", b",2,2026"), resum=True), "row 1: prediction 2"),
    "number": (made(samples(b"1,2,3,nan", b"1,2,3,x"), resum=True), "row 0: could not convert"),
    "cells": (made(samples(b"1,2,3,nan", b"1,2,3"), resum=True), "row 0: 9 cells, expected 10"),
    "id": (made(samples(b"00,1,1", b"00,9e9,1"), resum=True), "row 0: invalid literal"),
    "text": (made(samples(b"so, so", b"\xff\xfe"), resum=True), "is not a table"),
    "name": (made(added("é")).replace("é".encode(), b"\xff\xfe"), "is not a complete zip file"),
    "a path": (made(added("../../evil")), r"\.\./\.\./evil: the members are not those"),
    "code": (made(added("predictor.py")), "predictor.py: the members are not those"),
    "state's path": (
        made(manifest(states=[state(0, "/etc/passwd")])),
        "Expected `str` matching regex",
    ),
    "not summed up": (
        made(manifest(members={"samples.csv": member(SAMPLES)})),
        "states/0: the members are not those",
    ),
    "no such state": (made(manifest(states=[state(0, "states/7")])), "are not those that"),
    "disorder": (
        made(manifest(states=[state(1, None), state(0, "states/0")])),
        "states are not in order",
    ),
    "states": (made(manifest(states=[state(0, "states/0")] * 1001)), "length <= 1000"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused(name: str, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = BAD[name]
    path.write_bytes(content)
    with pytest.raises(IncidentError, match=message):
        read(path)
    assert main(["replay", str(path)], config=path.with_name("none")) == 1
    told = capsys.readouterr().err
    assert told.startswith("broker: ")
    assert told.count("\n") == 1
    assert "\x1b" not in told


def read(path: Path) -> None:
    with opened(path) as incident:
        replay(incident, PARITY)
        incident.state("states/0")


def test_a_bomb_is_refused_before_it_is_unpacked(path: Path) -> None:
    content = made()
    for name, message in (("samples.csv", "at most 1073741824"), ("states/0", "at most 1048576")):
        at = content.rfind(name.encode(), content.rfind(b"PK\x01\x02" + content[:0]) - 400)
        entry = content.rfind(b"PK\x01\x02", 0, at)
        size = (0x7FFFFFFF).to_bytes(4, "little")
        path.write_bytes(content[: entry + 24] + size + content[entry + 28 :])
        with pytest.raises(IncidentError, match=f"unpacks to 2147483647 bytes, {message}"):
            read(path)


def test_a_member_that_is_larger_than_it_says_is_refused(path: Path) -> None:
    content = made(samples(b"so, so", b"so" * 100_000), resum=True)
    entry = content.find(b"PK\x01\x02")
    path.write_bytes(content[: entry + 24] + (500).to_bytes(4, "little") + content[entry + 28 :])
    with pytest.raises(IncidentError, match=r"is not a complete zip file|is not what was written"):
        read(path)


LARGE = 64 << 20


def lying(content: bytes, name: str) -> bytes:
    """A file that says of a member that it unpacks to 500 bytes."""
    entry = content.rfind(b"PK\x01\x02", 0, content.rfind(name.encode()))
    return content[: entry + 24] + (500).to_bytes(4, "little") + content[entry + 28 :]


def large(name: str, content: bytes) -> bytes:
    def change(_: dict[str, Any], members: dict[str, bytes]) -> None:
        members[name] = content

    return made(change, resum=True)


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < LARGE / 8
    finally:
        tracemalloc.stop()


BOMBS: dict[str, Callable[[], bytes]] = {
    "a state": lambda: lying(large("states/0", bytes(LARGE)), "states/0"),
    "a manifest": lambda: lying(made(manifest(machine="x" * LARGE)), "manifest.json"),
    "a manifest of many parts": lambda: made(manifest(events=[{}] * 6_000_000)),
    "a line": lambda: large("samples.csv", b"x" * LARGE),
    "a row of many lines": lambda: large("samples.csv", SAMPLES + b'"\n",' * (LARGE // 4)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_that_tells_no_size_fills_no_memory(name: str, path: Path) -> None:
    path.write_bytes(BOMBS[name]())
    with little_memory(), pytest.raises(IncidentError):
        read(path)


def test_what_a_caller_raises_is_no_fault_of_the_file(path: Path) -> None:
    path.write_bytes(made())
    with pytest.raises(BrokenPipeError), opened(path):
        raise BrokenPipeError


def test_too_many_members_are_refused_before_they_are_listed(path: Path) -> None:
    with ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"states/{number}", b"")
    with pytest.raises(IncidentError, match="it has too many members"):
        read(path)


def test_a_member_that_is_there_twice_or_packed_oddly_is_refused(path: Path) -> None:
    path.write_bytes(made())
    with ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("samples.csv", SAMPLES)
    with pytest.raises(IncidentError, match=r"has samples\.csv twice"):
        read(path)
    with ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("samples.csv", SAMPLES)
    with pytest.raises(IncidentError, match="is encrypted, or packed in an unknown way"):
        read(path)


def test_a_file_that_names_a_strangers_code_runs_none_of_it(
    path: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "evil.py").write_text("raise SystemExit('ran')\n")
    path.write_bytes(made(manifest(predictor={"use": "evil:Evil", "options": {}})))
    assert main(["replay", str(path)], config=path.with_name("none")) == 1
    assert "give --predictor evil:Evil" in capsys.readouterr().err
    path.write_bytes(made(manifest(predictor={"use": "parity", "options": {"no": 1}})))
    assert main(["replay", str(path)], config=path.with_name("none")) == 2


good = made()


@settings(
    derandomize=True,
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    cuts=st.lists(
        st.tuples(st.integers(0, len(good) - 1), st.binary(min_size=1, max_size=8)),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_is_changed_is_refused_or_harmless(
    cuts: list[tuple[int, bytes]], path: Path
) -> None:
    content = bytearray(good)
    for at, put in cuts:
        content[at : at + len(put)] = put
    path.write_bytes(content)
    with suppress(IncidentError):
        read(path)
