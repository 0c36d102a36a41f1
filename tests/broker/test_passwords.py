"""Which password of a .pgpass is meant: PostgreSQL's own rules (libpq-pgpass)."""

from pathlib import Path

import pytest

from broker.recorder.postgres.passwords import password_of
from broker.recorder.postgres.server import connect
from quartet.errors import StoreError

URL = "postgresql://quartet@db1:5433/plant"


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variables = ("PASSFILE", "PASSWORD", "USER", "DATABASE", "HOST", "PORT")
    for name in ("CREDENTIALS_DIRECTORY", *(f"PG{each}" for each in variables)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("line", "password"),
    [
        ("db1:5433:plant:quartet:word", "word"),
        ("*:*:*:*:word", "word"),
        (r"*:*:*:*:a\:b\\c\d", r"a:b\cd"),
        ("*:*:*:*:a:b", "a"),
        ("*:*:*:*:two words", "two words"),
        ("#*:*:*:*:word", None),
        ("db2:*:*:*:word", None),
        ("*:5432:*:*:word", None),
        ("*:*:other:*:word", None),
        ("*:*:*:other:word", None),
        ("*:*:*:word", None),
        ("db2:*:*:*:no\n\n*:*:*:*:word\n*:*:*:*:late", "word"),
    ],
)
def test_the_first_line_that_fits_has_it(line: str, password: str | None, tmp_path: Path) -> None:
    write(tmp_path / ".pgpass", f"{line}\n")
    assert password_of(URL) == password


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("postgresql://quartet@[::1]/plant", r"\:\:1:5432:plant:quartet"),
        ("postgresql://quartet@db1", "db1:5432:quartet:quartet"),
        ("postgresql://a%40b@db1/c%3Ad", r"db1:5432:c\:d:a@b"),
        ("postgresql:///plant?host=/run/postgresql&user=me", "/run/postgresql:5432:plant:me"),
        ("postgresql://me@/plant", "localhost:5432:plant:me"),
    ],
)
def test_what_the_url_leaves_out_is_what_postgresql_takes(
    url: str, line: str, tmp_path: Path
) -> None:
    write(tmp_path / ".pgpass", f"{line}:word\n")
    assert password_of(url) == "word"


def test_that_of_the_service_comes_first_whatever_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd gives the service a right of its own, which looks like that of a group."""
    write(tmp_path / ".pgpass", "*:*:*:*:person\n")
    assert password_of(URL) == "person"
    write(tmp_path / "pgpass", "*:*:*:*:service\n", 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("PGPASSWORD", "environment")
    assert password_of(URL) == "service"


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_may_read_is_not_read(mode: int, tmp_path: Path) -> None:
    write(tmp_path / ".pgpass", "*:*:*:*:word\n", mode)
    assert password_of(URL) is None


def test_the_environment_comes_before_a_file_of_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "mine", "*:*:*:*:word\n")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "mine"))
    assert password_of(URL) == "word"
    monkeypatch.setenv("PGPASSWORD", "environment")
    assert password_of(URL) is None


def test_the_environment_completes_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / ".pgpass", "db1:5433:plant:quartet:word\n")
    for name, value in {"HOST": "db1", "PORT": "5433", "DATABASE": "plant"}.items():
        monkeypatch.setenv(f"PG{name}", value)
    assert password_of("postgresql://quartet@") == "word"


async def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".pgpass"
    file.write_bytes(b"*:*:*:*:w\xf6rd\n")
    file.chmod(0o600)
    with pytest.raises(StoreError, match="save the file as UTF-8") as raised:
        await connect("postgresql://quartet@127.0.0.1:1/plant")
    assert str(raised.value).startswith(f"{file}: ")


def test_a_process_without_a_name_needs_one_in_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user is a number alone, and has no home."""
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31)
    with pytest.raises(StoreError, match="names no user"):
        password_of("postgresql://db1/plant")
    assert password_of(URL) is None
