"""A name at a broker: one agent of a computer has it."""

import fcntl
import os
import secrets
import threading
import time
from pathlib import Path

import pytest
from support.patience import PATIENCE_S

from agent.claim import _path, claimed
from agent.errors import NameInUseError
from quartet.address import Address
from quartet.lock import holder

HERE, THERE = Address("127.0.0.1", 8061), Address("B.lan", 8061)


@pytest.fixture
def name() -> str:
    """One that no other run of the tests has."""
    return f"test-{secrets.token_hex(4)}"


def test_a_name_is_had_once_at_each_broker(name: str) -> None:
    with claimed(name, [HERE, THERE]):
        for brokers in ([HERE], [Address("b.LAN", 8061)], [Address("c", 1), THERE]):
            with pytest.raises(NameInUseError, match=f"as {name} .process {os.getpid()}."):
                claimed(name, brokers).__enter__()
        with claimed(f"{name}-b", [HERE]), claimed(name, [Address("127.0.0.1", 8062)]):
            pass
    with claimed(name, [HERE]):
        pass


def test_nothing_is_left_behind(name: str) -> None:
    with claimed(name, [HERE, THERE]):
        assert _path(name, HERE).exists()
    assert not _path(name, HERE).exists()
    assert not _path(name, THERE).exists()


def test_a_lock_that_its_owner_removes_meanwhile_is_made_again(name: str) -> None:
    path = _path(name, HERE)
    former = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(former, fcntl.LOCK_SH)  # whoever comes waits for a moment
    entered, leave = threading.Event(), threading.Event()

    def claim() -> None:
        with claimed(name, [HERE]):
            entered.set()
            leave.wait(PATIENCE_S)

    claimant = threading.Thread(target=claim)
    claimant.start()
    until_opened_twice(path)
    path.unlink()
    os.close(former)
    assert entered.wait(PATIENCE_S)
    assert holder(path) == str(os.getpid())
    leave.set()
    claimant.join()


def until_opened_twice(path: Path) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    opened: list[Path] = []
    while len(opened) < 2:
        assert time.monotonic() < deadline_s
        opened = [fd for fd in Path("/proc/self/fd").iterdir() if leads_to(fd, path)]


def leads_to(fd: Path, path: Path) -> bool:
    try:
        return fd.readlink() == path
    except OSError:
        return False
