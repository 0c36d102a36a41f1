"""Follows the lines of a store: how each agent stands now, and what has happened since a look.

For programs that tell others of it. They give a `Reader` and look about twice a second:

    feed = Feed(open_reader(store, prefers_standby=True))
    while True:
        seen = await feed.look()
        for agent_id, present in seen.lines.items():
            present.status.state, present.line.latest, present.line.sensors, present.alarm
        for event in seen.events:
            event.kind, event.agent_id, event.reason
        await asyncio.sleep(0 if seen.is_behind else 0.5)
"""

from broker.feed.events import FORGOTTEN, Event, Kind
from broker.feed.feed import Feed, Look
from broker.feed.followed import OpenAlarm, Present

__all__ = ["FORGOTTEN", "Event", "Feed", "Kind", "Look", "OpenAlarm", "Present"]
