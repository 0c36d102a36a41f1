"""Debian's chromium, one for each worker, and a console to look at."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright, expect
from support.site import Console, Fleet
from support.window import ARGUMENTS, PATIENCE_MS

from bench.usage import descendants

_CHROMIUM = shutil.which("chromium")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have one worker run these tests: two browsers at once are slower than one."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A browser without windows; each test opens its own, with a fresh profile."""
    if not _CHROMIUM:
        pytest.skip("no chromium here: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=_CHROMIUM, args=[*ARGUMENTS])
        yield chromium
        await chromium.close()


@pytest.fixture(scope="session")
def fleet_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fleet") / "broker.db"


@pytest.fixture(scope="session")
def fleet(fleet_store: Path) -> Iterator[Fleet]:
    """Forty agents that all are well, for tests that only look."""
    with Fleet(fleet_store, "--agents", "40") as fleet:
        yield fleet


@pytest.fixture(scope="session")
def console(fleet: Fleet, fleet_store: Path) -> Iterator[Console]:  # noqa: ARG001 - it runs
    """A console on that fleet."""
    with Console(fleet_store) as console:
        yield console


@pytest.fixture
def sleeper(browser: Browser) -> Callable[[], list[int]]:  # noqa: ARG001 - it runs
    """Gives the processes of the browser, parents first."""
    return lambda: [pid for pid in descendants(os.getpid()) if _is_chromium(pid)]


def _is_chromium(pid: int) -> bool:
    return b"chromium" in Path(f"/proc/{pid}/cmdline").read_bytes()
