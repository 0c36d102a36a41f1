import asyncio
from contextlib import suppress

import pytest
from support.patience import PATIENCE_S

from quartet.repeat import repeat


async def test_a_call_that_fails_is_said_and_does_not_end_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[int] = []
    enough = asyncio.Event()

    def call() -> None:
        calls.append(len(calls))
        if len(calls) == 2:
            raise RuntimeError("once")
        if len(calls) == 4:
            enough.set()

    repeating = asyncio.create_task(repeat(call, 0.001))
    await asyncio.wait_for(enough.wait(), PATIENCE_S)
    repeating.cancel()
    with suppress(asyncio.CancelledError):
        await repeating
    assert caplog.messages == ["internal error: please report it"]
