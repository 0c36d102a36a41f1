import errno
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from quartet.errors import InUseError, StoreError
from quartet.lock import FileLock, holder

HOLD = """
import sys
from pathlib import Path
from quartet.lock import FileLock
lock = FileLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A lock that another process holds."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.lock"


def test_who_comes_second_is_told_the_process_that_was_first(path: Path) -> None:
    with held(path) as owner, pytest.raises(StoreError) as raised:
        FileLock(path)
    assert str(raised.value) == (
        f"{path.parent}: is in use by process {owner.pid} (spool.lock):"
        " stop that one first, or give this one a place of its own"
    )


def test_of_a_file_with_a_lock_of_its_own_the_file_is_named(tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    store.touch()
    path = tmp_path / "broker.db.lock"
    with held(path), pytest.raises(StoreError, match=rf"^{re.escape(str(store))}: is in use by"):
        FileLock(path)


def test_who_only_asks_for_the_owner_keeps_nobody_from_becoming_it(path: Path) -> None:
    FileLock(path).close()
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            assert holder(path) in {"", str(os.getpid())}

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            for _ in range(1000):
                FileLock(path).close()
        finally:
            is_over.set()
        for each in asking:
            each.result()


def test_the_owner_is_told_to_a_program_as_well(path: Path) -> None:
    with held(path) as owner, pytest.raises(InUseError) as raised:
        FileLock(path)
    assert raised.value.owner == str(owner.pid)


def test_a_shared_lock_is_for_all_users_whatever_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        FileLock(path, shared=True).close()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666
    FileLock(path, shared=True).close()


def test_a_shared_lock_is_never_behind_a_symbolic_link(path: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    path.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(path, shared=True)
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_ends_with_its_process_however_that_ends(end: signal.Signals, path: Path) -> None:
    with held(path) as owner:
        owner.send_signal(end)
        owner.wait()
        FileLock(path).close()


def test_a_lock_is_held_again_after_it_was_let_go(path: Path) -> None:
    for _ in range(3):
        FileLock(path).close()
    lock = FileLock(path)
    with pytest.raises(StoreError, match=f"process {os.getpid()} "):
        FileLock(path)
    lock.close()
    with held(path):
        pass


def test_a_refused_try_leaves_the_owners_name_and_no_open_file(path: Path) -> None:
    with held(path) as owner:
        before = open_files()
        for _ in range(3):
            with pytest.raises(StoreError, match=f"process {owner.pid} "):
                FileLock(path)
        assert open_files() == before


def test_a_shorter_pid_leaves_nothing_of_a_longer_one(path: Path) -> None:
    path.write_text("123456789012345\n")
    FileLock(path).close()
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_lock_is_not_inherited_by_a_child(path: Path) -> None:
    lock = FileLock(path)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        lock.close()
        FileLock(path).close()
        child.kill()


def test_an_owner_that_could_not_sign_is_unknown(path: Path) -> None:
    lock = FileLock(path)
    path.write_text("")
    with pytest.raises(StoreError, match="in use by process unknown"):
        FileLock(path)
    lock.close()


def test_a_lock_that_cannot_be_made_says_why_and_is_no_store_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as raised:
        FileLock(tmp_path / "nowhere" / "spool.lock")
    assert raised.value.errno == errno.ENOENT
    assert not isinstance(raised.value, StoreError)
