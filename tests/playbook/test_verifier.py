"""What the playbook gives a PostgreSQL server in place of a password."""

import json
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from support.playbook import ROLES, script
from support.postgres import Server

verifier = script("verifier", role="postgres")

WORDS = ["word", "two words", "'; DROP TABLE lines; --", 'a:b\\c"d$1']

# RFC 7677 has these in its example.
RFC_SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
RFC_STORED = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
RFC_SERVER = "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


def test_it_is_what_the_standard_says() -> None:
    has = f"SCRAM-SHA-256$4096:{RFC_SALT}${RFC_STORED}:{RFC_SERVER}"
    assert verifier.wanted("pencil", has) == has


@pytest.mark.parametrize("word", WORDS)
async def test_a_server_lets_in_who_has_the_password_and_nobody_else(
    word: str, postgres: Server
) -> None:
    """The role `guarded` is the one that needs one here."""
    await postgres.command(
        "DO $$ BEGIN CREATE ROLE guarded LOGIN; EXCEPTION WHEN duplicate_object THEN END $$"
    )
    await postgres.command(f"ALTER ROLE guarded PASSWORD '{verifier.wanted(word, None)}'")
    url = postgres.url("postgres", "guarded")
    connection = await asyncpg.connect(url, password=word)
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url, password=f"{word}.")


@pytest.mark.parametrize("has", [None, "", "md5" + "0" * 32, "SCRAM-SHA-256$x"])
def test_a_server_that_knows_another_one_gets_a_new_one(has: str | None) -> None:
    first, second = (verifier.wanted("word", has) for _ in range(2))
    assert first != second
    assert verifier.wanted("word", first) == first
    assert verifier.wanted("words", first) != first


def run(given: dict[str, str | None]) -> "subprocess.CompletedProcess[str]":
    """As the playbook runs it."""
    return subprocess.run(
        [sys.executable, "-I", "-c", Path(ROLES, "postgres/files/verifier.py").read_text()],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("password", "reason"), [("", "is empty"), ("Maß", "other than"), ("a\nb", "other than")]
)
def test_a_password_that_cannot_be_used_is_refused_without_being_told(
    password: str, reason: str
) -> None:
    done = run({"password": password, "has": None})
    assert done.returncode == 1
    assert f"postgres_password {'is empty' if not password else 'has characters'}" in done.stderr
    assert reason in done.stderr
    assert "Maß" not in done.stderr


def test_it_prints_the_one_that_is_there() -> None:
    has = verifier.wanted("word", None)
    assert run({"password": "word", "has": has}).stdout == f"{has}\n"
