"""The days of the samples: each is a table of its own, made before it begins, and dropped whole."""

from datetime import UTC, date, datetime, timedelta

from broker.recorder.postgres.link import Link
from broker.recorder.postgres.schema import LOCKS, PARTITION_LOCK

# A fleet whose brokers all stand still for a week makes the days it needs when it starts.
_AHEAD = 7

_PREFIX = "samples_"

_DAYS = """
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'samples'::regclass AND NOT inhdetachpending
"""
_DETACHING = """
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'samples'::regclass AND inhdetachpending
"""
# Detached, and not dropped: whoever did it has died in between.
_LEFT_OVER = r"""
    SELECT relname FROM pg_class WHERE relname ~ '^samples_[0-9]{8}$' AND relkind = 'r'
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'samples'::regclass)
        AND NOT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = pg_class.oid)
"""

# Who reads a day as a whole is not waited for long: commits would queue up behind.
_PATIENCE = "2s"


async def days(link: Link) -> list[date]:
    """Those that there are, the oldest first."""
    return sorted(_day(row["relname"]) for row in await link.ask(_DAYS))


async def make(link: Link, today: date) -> None:
    """Make today and the days ahead, where they are missing."""
    there = {*await days(link)}
    for number in range(-1, _AHEAD + 1):  # who has just asked what day it is may be late
        day = today + timedelta(days=number)
        if day not in there:
            await make_one(link, day)


async def make_one(link: Link, day: date) -> None:
    """Make a day, if it is missing."""
    await link.run(_making(day))


def _making(day: date) -> str:
    """Make a day apart, then attach it: that way no commit waits for a reader."""
    table = name(day)
    return f"""
        DO $$ BEGIN
            PERFORM set_config('lock_timeout', '{_PATIENCE}', true);
            PERFORM pg_advisory_xact_lock({LOCKS}, {PARTITION_LOCK});
            IF to_regclass('{table}') IS NULL THEN
                CREATE TABLE {table} (LIKE samples INCLUDING ALL);
                ALTER TABLE samples ATTACH PARTITION {table}
                    FOR VALUES FROM ('{day}Z') TO ('{day + timedelta(days=1)}Z');
            END IF;
        END $$
    """


async def drop(link: Link, day: date) -> None:
    """Have a day go, beside all who read and write others."""
    await link.run(f"SET lock_timeout = '{_PATIENCE}'")
    try:
        await link.run(f"ALTER TABLE samples DETACH PARTITION {name(day)} CONCURRENTLY")
        await link.run(f"DROP TABLE {name(day)}")
    finally:
        await link.run("RESET lock_timeout")


async def finish(link: Link) -> None:
    """Drop the days whose drop was broken off."""
    for row in await link.ask(_DETACHING):
        await link.run(f"ALTER TABLE samples DETACH PARTITION {row['relname']} FINALIZE")
    left = await link.ask(_LEFT_OVER)
    for row in left:
        await link.run(f"DROP TABLE {row['relname']}")


def name(day: date) -> str:
    """The name of its table."""
    return f"{_PREFIX}{day:%Y%m%d}"


def _day(table: str) -> date:
    return datetime.strptime(table, f"{_PREFIX}%Y%m%d").replace(tzinfo=UTC).date()
