"""Signals on a loop: who is called, and what is in force before and after."""

import asyncio
import os
import pty
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from quartet.signals import interruptible, on_signals


@contextmanager
def terminal_as_stdin() -> Iterator[None]:
    ours, theirs = pty.openpty()
    kept = os.dup(0)
    os.dup2(theirs, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        for descriptor in (ours, theirs, kept):
            os.close(descriptor)


@pytest.fixture(params=[signal.SIG_DFL, signal.SIG_IGN])
def hangup(request: pytest.FixtureRequest) -> Iterator[signal.Handlers]:
    """What SIGHUP does when the process starts."""
    before = signal.signal(signal.SIGHUP, request.param)
    yield request.param
    signal.signal(signal.SIGHUP, before)


async def test_each_signal_calls_and_what_was_in_force_is_again(hangup: signal.Handlers) -> None:
    called = asyncio.Queue[str]()
    interrupt = signal.getsignal(signal.SIGINT)
    with on_signals(lambda: called.put_nowait("stop"), lambda: called.put_nowait("reload")):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
            assert await called.get() == ("reload" if number is signal.SIGHUP else "stop")
    assert signal.getsignal(signal.SIGHUP) is hangup
    assert signal.getsignal(signal.SIGINT) == interrupt


async def test_without_reload_a_hangup_keeps_its_meaning(hangup: signal.Handlers) -> None:
    with on_signals(lambda: None):
        assert signal.getsignal(signal.SIGHUP) is hangup


async def test_a_terminal_that_hangs_up_ends_the_process_unless_that_is_ignored(
    hangup: signal.Handlers,
) -> None:
    called = asyncio.Event()
    with terminal_as_stdin(), on_signals(lambda: None, called.set):
        if hangup is signal.SIG_DFL:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        else:
            os.kill(os.getpid(), signal.SIGHUP)
            await called.wait()


def test_ctrl_c_ends_at_once_what_blocks_the_loop() -> None:
    before = signal.getsignal(signal.SIGINT)

    async def block() -> None:
        with interruptible():
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("it goes on")

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(block())
    assert signal.getsignal(signal.SIGINT) is before
