"""What a database is checked for; its copies are made by the programs of PostgreSQL."""

import asyncio
from pathlib import Path
from shlex import join
from typing import Any, NoReturn

from broker.recorder.postgres import accounts
from broker.recorder.postgres.link import Link
from broker.recorder.postgres.schema import check_version
from broker.recorder.postgres.server import connect, refuse_pooler, told
from broker.recorder.upkeep import Backup, Findings, Problem, Repair, Restored
from quartet.errors import StoreError
from quartet.plural import counted

_IMBALANCE = """
    SELECT agent_id, sessions.id FROM sessions JOIN lines USING (line)
    WHERE agent_id IS NOT NULL AND (
        received != answered + duplicates + refused
        OR answered + gaps != coalesce(last_id - first_id + 1, 0)
    ) ORDER BY agent_id, session
"""

# Positions of a line rise by one; the oldest samples are deleted in time.
_LINES = """
    SELECT agent_id, head, count(DISTINCT position) AS count, min(position) AS first,
        max(position) AS last
    FROM lines JOIN recorded USING (line) WHERE agent_id IS NOT NULL
    GROUP BY agent_id, head ORDER BY agent_id
"""
_COUNTS = """
    SELECT (SELECT count(*) FROM (SELECT DISTINCT line, position FROM recorded) AS each),
        (SELECT count(*) FROM snapshots WHERE state IS NOT NULL)
"""

_RESTORE = "restore a backup of the database, or reset the predictor with 'broker rebase {agent}'"


class PostgresUpkeep:
    """The Upkeep of a database: looks at what its tables say of each other."""

    def __init__(self, url: str) -> None:
        self._url = url

    def check(self) -> Findings:
        """Look at all counters, and at the samples of all lines, beside running brokers."""
        return asyncio.run(self._check())

    def repair(self) -> Repair:
        """Refused."""
        self._refuse("repair", "restore a backup, and look for the cause with pg_amcheck")

    def backup(self, to: Path) -> Backup:
        """Refused."""
        command = join(["pg_dump", "--file", str(to), self._url])
        self._refuse("back up", f"{command}, or pg_basebackup")

    def restore(self, backup: Path) -> Restored:
        """Refused."""
        command = join(["psql", "--file", str(backup), self._url])
        self._refuse("restore", f"{command}, or what made the backup")

    def _refuse(self, what: str, instead: str) -> NoReturn:
        raise StoreError(
            f"{self._url}: 'broker store' does not {what} a database: use PostgreSQL's programs:"
            f" {instead}"
        )

    async def _check(self) -> Findings:
        connection = await connect(self._url)
        try:
            with told(self._url):
                await refuse_pooler(connection, self._url)
                await check_version(connection, self._url)
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    return await _findings(Link(connection))
        finally:
            connection.terminate()


async def _findings(link: Link) -> Findings:
    samples, snapshots = (await link.ask(_COUNTS))[0]
    problems = [_imbalance(row) for row in await link.ask(_IMBALANCE)]
    for row in await link.ask(_LINES):
        problems += _missing(row)
    losses = [*(await accounts.accounts(link)).losses]
    return Findings(problems, losses, samples, snapshots=snapshots)


def _imbalance(row: Any) -> Problem:
    return Problem(
        "its counters contradict each other: see 'broker ledger'",
        "restore a backup of the database",
        row["agent_id"],
        row["id"],
    )


def _missing(row: Any) -> list[Problem]:
    agent, remedy = row["agent_id"], _RESTORE.format(agent=row["agent_id"])
    holes = row["last"] - row["first"] + 1 - row["count"]
    found = []
    if holes:
        are = counted(holes, "sample", "is", "are")
        found.append(Problem(f"{are} missing amid the records", remedy, agent))
    if behind := row["head"] - row["last"]:
        are = counted(behind, "sample", "is", "are")
        found.append(Problem(f"the newest {are} missing", remedy, agent))
    return found
