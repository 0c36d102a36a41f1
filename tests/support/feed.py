"""A fleet, and who follows it."""

from support.clock import ManualClock
from support.records import Records

from broker.feed import Event, Feed, Kind, Look

T2 = "alarm: T2 is 30, its limit 22: sensor2 74%, sensor1 26%"


class Site:
    """A fleet, and who follows it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.records = Records(self.clock)
        self.feed = self.follow()

    def follow(self, mark: bytes = b"") -> Feed:
        return Feed(self.records, mark, self.clock)  # type: ignore[arg-type]

    async def look(self, seconds: float = 0.5) -> Look:
        self.clock.advance(seconds)
        return await self.feed.look()

    async def kinds(self, seconds: float = 0.5) -> list[tuple[Kind, str]]:
        return [(each.kind, each.agent_id) for each in (await self.look(seconds)).events]

    async def send_for(self, seconds: float, agent: str = "a", **more: object) -> list[Event]:
        """A sample each second; what happened."""
        events: list[Event] = []
        for _ in range(round(seconds)):
            self.records.send(agent, **more)  # type: ignore[arg-type]
            events += (await self.look(1.0)).events
        return events
