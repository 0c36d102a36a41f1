"""A fleet, and the console's present of it, by a clock that a test moves."""

import asyncio
from typing import Any

from support.clock import ManualClock
from support.records import Book, Records

from broker.console.present import Present


class Site:
    """A fleet, and the console that looks at it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.records = Records(self.clock)
        self.book = Book()
        self.present = Present(self.records, self.book, self.clock)  # type: ignore[arg-type]

    async def look(self, seconds: float = 0.5) -> dict[str, Any]:
        """The fleet after so long."""
        self.clock.advance(seconds)
        await self.present.look()
        return self.present.fleet()

    async def row(self, seconds: float = 0.5, agent: str = "a") -> dict[str, Any]:
        row: dict[str, Any] = (await self.look(seconds))["agents"][agent]
        return row

    def now_ms(self) -> float:
        return self.clock.time_ns() / 1e6


async def next_tick(ticks: Any, site: Site, seconds: float = 0.5) -> dict[str, Any]:
    """What a stream is told after the next look; {}: nothing."""
    reading = asyncio.create_task(anext(ticks))
    await asyncio.sleep(0)
    site.clock.advance(seconds)
    await site.present.look()
    for _ in range(3):
        await asyncio.sleep(0)
    if not reading.done():
        reading.cancel()
        return {}
    return reading.result()  # type: ignore[no-any-return]
