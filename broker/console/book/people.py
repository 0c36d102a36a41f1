"""Who may sign in, and who has: the tables `users` and `sign_ins` of console.db."""

import sqlite3
import time
from collections.abc import Sequence

from broker.console.book.database import Database
from quartet.clock import Clock

_SELECT_USERS = """
    SELECT users.name, role, count(token_hash) FROM users
    LEFT JOIN sign_ins ON sign_ins.name = users.name AND expires_at_ns > ?
    GROUP BY users.name ORDER BY users.name
"""


class People:
    """Users and their sessions. Each method raises StoreError."""

    def __init__(self, database: Database, clock: Clock = time) -> None:
        self._database = database
        self._clock = clock

    async def users(self) -> Sequence[tuple[str, str, int]]:
        """Name, role and number of sessions of each, by name."""
        now_ns = self._clock.time_ns()
        return await self._database.read(
            lambda rows: rows.execute(_SELECT_USERS, (now_ns,)).fetchall()
        )

    async def count(self) -> int:
        """How many there are."""
        return await self._database.read(
            lambda rows: int(rows.execute("SELECT count(*) FROM users").fetchone()[0])
        )

    async def put(self, name: str, role: str, salt: bytes, key: bytes) -> bool:
        """Add a user, or replace one, whose sessions end; whether the user is new."""

        def change(rows: sqlite3.Connection) -> bool:
            is_new = not rows.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount
            rows.execute("DELETE FROM sign_ins WHERE name = ?", (name,))
            rows.execute(
                "INSERT INTO users (name, role, salt, hash, made_at_ns) VALUES (?, ?, ?, ?, ?)",
                (name, role, salt, key, self._clock.time_ns()),
            )
            return is_new

        return await self._database.write(change)

    async def remove(self, name: str) -> bool:
        """Remove a user, whose sessions end; whether there was one."""

        def change(rows: sqlite3.Connection) -> bool:
            rows.execute("DELETE FROM sign_ins WHERE name = ?", (name,))
            return bool(rows.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount)

        return await self._database.write(change)

    async def password(self, name: str) -> tuple[bytes, bytes] | None:
        """Salt and key of a user's password; None: there is no such user."""
        found: tuple[bytes, bytes] | None = await self._database.read(
            lambda rows: rows.execute(
                "SELECT salt, hash FROM users WHERE name = ?", (name,)
            ).fetchone()
        )
        return found

    async def begin(self, token_hash: bytes, name: str, expires_at_ns: int, address: str) -> None:
        """Keep a session, and forget those that have expired."""
        now_ns = self._clock.time_ns()

        def change(rows: sqlite3.Connection) -> None:
            rows.execute("DELETE FROM sign_ins WHERE expires_at_ns <= ?", (now_ns,))
            rows.execute(
                "INSERT INTO sign_ins (token_hash, name, expires_at_ns, address)"
                " VALUES (?, ?, ?, ?)",
                (token_hash, name, expires_at_ns, address),
            )

        await self._database.write(change)

    async def session(self, token_hash: bytes) -> tuple[str, str, int] | None:
        """Name, role and end of a session that has not expired, of a user that there is."""
        now_ns = self._clock.time_ns()
        found: tuple[str, str, int] | None = await self._database.read(
            lambda rows: rows.execute(
                "SELECT name, role, expires_at_ns FROM sign_ins JOIN users USING (name)"
                " WHERE token_hash = ? AND expires_at_ns > ?",
                (token_hash, now_ns),
            ).fetchone()
        )
        return found

    async def end(self, token_hash: bytes) -> None:
        """End a session."""
        await self._database.write(
            lambda rows: rows.execute("DELETE FROM sign_ins WHERE token_hash = ?", (token_hash,))
        )

    async def end_all(self, name: str) -> int:
        """End all sessions of a user; how many."""
        now_ns = self._clock.time_ns()

        def change(rows: sqlite3.Connection) -> int:
            (count,) = rows.execute(
                "SELECT count(*) FROM sign_ins WHERE name = ? AND expires_at_ns > ?",
                (name, now_ns),
            ).fetchone()
            rows.execute("DELETE FROM sign_ins WHERE name = ?", (name,))
            return int(count)

        return await self._database.write(change)
