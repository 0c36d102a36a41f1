"""Users of a console, and what is on record of their acts."""

from support.console import Served

USERS = {"shift-a": "viewer", "maintenance": "operator"}
HOSTS = ["console.plant.lan"]
NOTE = {"at": 1_000.0, "text": "oil"}


async def audit(site: Served) -> list[tuple[str, str, str, str]]:
    """Who did what to what, from where."""
    return await site.console.book.database.read(
        lambda rows: rows.execute(
            "SELECT name, verb, subject, address FROM audit ORDER BY act"
        ).fetchall()
    )
