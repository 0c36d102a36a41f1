"""`broker console` as a user starts it: a process of its own, and how it ends."""

import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.certificates import Ca
from support.console import PASSWORD, make_store
from support.patience import PATIENCE_S
from support.processes import Running
from support.store import change, select


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    path = tmp_path / "broker.db"
    await make_store(path)
    return path


class Console(Running):
    """`broker console` on a free port."""

    def __init__(self, *arguments: str) -> None:
        super().__init__(["broker", "console", "--listen", "127.0.0.1:0", *arguments])
        try:
            scheme, port = self.wait_for(r"listening on (https?)://127\.0\.0\.1:(\d+)/")
        except BaseException:
            self.__exit__()
            raise
        self.scheme, self.port = scheme, int(port)

    def ask(self, path: str, tls: ssl.SSLContext | None = None) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        options = {"context": tls} if tls else {}
        connection = kind("127.0.0.1", self.port, timeout=PATIENCE_S, **options)  # type: ignore[arg-type]
        with closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()


def run(
    *arguments: str, told: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "broker", "console", *arguments],
        input=told,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=cwd,
    )


@contextmanager
def streams(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Pages that are open, and have read the head of their stream."""
    opened = []
    try:
        for _ in range(count):
            page = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
            opened.append(page)
            page.sendall(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert page.recv(15) == b"HTTP/1.1 200 OK"
        yield opened
    finally:
        for page in opened:
            page.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_with_pages_open_and_says_nothing_bad(
    store: Path, number: signal.Signals
) -> None:
    with Console("--store", str(store)) as console:
        status, body = console.ask("/api/me")
        assert (status, json.loads(body)["store"]) == (200, str(store))
        with streams(console.port, 5) as pages:
            console.signal(number)
            assert console.wait() == 0
            for page in pages:
                assert b"".join(iter(lambda p=page: p.recv(65536), b"")).endswith(b"\r\n0\r\n\r\n")
    assert console.stdout == f"broker console: http://127.0.0.1:{console.port}/\n"
    said = console.stderr.splitlines()
    assert "stopping" in said[-1]
    assert not [line for line in said if "ERROR" in line or "Traceback" in line]


def refused(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for text in said:
        assert text in done.stderr
    assert done.stdout == ""


def test_a_port_that_is_taken_is_told(store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--store", str(store), "--listen", f"127.0.0.1:{port}")
    refused(done, 1, f"cannot listen on 127.0.0.1:{port}: ", "in use", "--listen")
    done = run("--store", str(store), "--listen", "no-such-host.invalid:0", "--insecure")
    refused(done, 1, "cannot listen on no-such-host.invalid:0: ")


def test_a_store_that_cannot_be_read_is_told(tmp_path: Path, store: Path) -> None:
    refused(run("--store", str(tmp_path / "no.db"), "--listen", "127.0.0.1:0"), 1, "no.db")
    (tmp_path / "text.db").write_text("no database at all, only text " * 100, "utf-8")
    refused(run("--store", str(tmp_path / "text.db"), "--listen", "127.0.0.1:0"), 1, "text.db")
    change(store, "PRAGMA user_version = 99")
    done = run("--store", str(store), "--listen", "127.0.0.1:0")
    refused(done, 1, "has schema 99", "use the version that wrote it")


def test_a_store_of_an_older_version_is_told_and_pages_are_there(store: Path) -> None:
    change(store, "PRAGMA user_version = 1")
    with Console("--store", str(store)) as console:
        console.wait_for("has schema 1, .*start the new one")
        assert console.ask("/api/me")[0] == 200
        status, body = console.ask("/api/agent/a")
        assert (status, "has schema 1" in json.loads(body)["error"]) == (503, True)
        assert console.stop() == 0
    assert "Traceback" not in console.stderr


def test_without_a_store_the_remedy_is_told(tmp_path: Path) -> None:
    refused(run(cwd=tmp_path), 2, "no store: give --store PATH", "'broker run --store PATH'")


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("[console]\nlisten = 'x'", [], "console.listen: expected HOST:PORT"),
        ("[console]\ncolour = 1", [], "console.colour: unknown key"),
        ("[console]\nhosts = ['a b']", [], "console.hosts: expected names or addresses"),
        ("[console]\nhosts = 'a'", [], 'console.hosts: expected a list, for example ["a"]'),
        ("[tls]\ncertificate = 'x'", [], "tls.key: missing"),
        ("[tls]\ncertificate = 'x'\nkey = 'y'", [], "tls.certificate: x: No such file"),
        ("", ["--listen", "0.0.0.0:0"], "there is no [tls]"),
        ("", ["--listen", "0.0.0.0:0", "--insecure"], "console.hosts names none"),
        ("", ["--listen", "192.0.2.1:0"], "there is no [tls]"),
        ("[", [], "line 1"),
    ],
)
def test_a_wrong_configuration_is_named_and_nothing_is_started(
    tmp_path: Path, store: Path, text: str, arguments: Sequence[str], said: str
) -> None:
    config = tmp_path / "console.toml"
    config.write_text(text, "utf-8")
    done = run("--config", str(config), "--store", str(store), *arguments)
    refused(done, 2, said)
    assert not (tmp_path / "console.db").exists()


def test_beyond_loopback_there_must_be_a_user(tmp_path: Path, store: Path) -> None:
    files = Ca(tmp_path).issue("console", ["127.0.0.1"])
    config = tmp_path / "console.toml"
    config.write_text(
        "[console]\nlisten = '0.0.0.0:0'\nhosts = ['localhost']\n[tls]\n"
        f"certificate = '{files.certificate}'\nkey = '{files.key}'\n",
        "utf-8",
    )
    refused(run("--config", str(config), "--store", str(store)), 2, "there are no users: add one")


def test_a_check_starts_nothing(tmp_path: Path, store: Path) -> None:
    config = tmp_path / "console.toml"
    config.write_text(f"[store]\npath = '{store}'\n", "utf-8")
    done = run("--config", str(config), "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"broker: the configuration is right ({config})\n"
    assert not (tmp_path / "console.db").exists()
    config.write_text("[predictor]\nuse = 'nothing'\n[store]\npath = 'x/y.db'\n", "utf-8")
    refused(run("--config", str(config), "--check"), 2, "predictor nothing: is not known")
    missing = tmp_path / "no.db"
    config.write_text(f"[store]\npath = '{missing}'\n", "utf-8")
    said = f"store.path: {missing} does not exist: 'broker run --store"
    refused(run("--config", str(config), "--check"), 2, said)
    config.write_text("[store]\npath = 'nowhere/y.db'\n", "utf-8")
    refused(run("--config", str(config), "--check"), 2, "store.path", "nowhere is not a directory")


def test_pages_are_encrypted_with_tls(tmp_path: Path, store: Path) -> None:
    ca = Ca(tmp_path)
    files = ca.issue("console", ["127.0.0.1"])
    config = tmp_path / "console.toml"
    config.write_text(f"[tls]\ncertificate = '{files.certificate}'\nkey = '{files.key}'\n", "utf-8")
    with Console("--config", str(config), "--store", str(store)) as console:
        assert console.scheme == "https"
        tls = ssl.create_default_context(cafile=str(ca.path))
        assert console.ask("/api/me", tls)[0] == 200
        with pytest.raises((http.client.BadStatusLine, ConnectionError)):
            console.ask("/api/me")
        former = ssl.get_server_certificate(("127.0.0.1", console.port))
        ca.issue("console", ["127.0.0.1"])
        console.wait_for("certificate reloaded")
        assert ssl.get_server_certificate(("127.0.0.1", console.port)) != former
        assert console.ask("/api/me", tls)[0] == 200
        assert console.stop() == 0
    assert "Traceback" not in console.stderr


# Users


def test_users_are_added_listed_revoked_and_removed(tmp_path: Path) -> None:
    database = ["--database", str(tmp_path / "console.db")]
    assert "no users" in run("user", "list", *database).stdout
    add = ["user", "add", "shift-a", "--role", "operator", "--password-stdin", *database]
    assert run(*add, told=f"{PASSWORD}\n").stdout == "shift-a: added, as operator\n"
    assert (
        run(*add, told=f"{PASSWORD}\n").stdout == "shift-a: changed, and signed out, as operator\n"
    )
    listed = run("user", "list", *database).stdout.splitlines()
    assert [line.split() for line in listed] == [
        ["user", "role", "sessions"],
        ["shift-a", "operator", "0"],
    ]
    assert run("user", "revoke", "shift-a", *database).stdout == "shift-a: 0 sessions ended\n"
    assert run("user", "remove", "shift-a", *database).stdout == "shift-a: removed\n"
    for verb in ("revoke", "remove"):
        refused(run("user", verb, "shift-a", *database), 1, "shift-a: there is no such user")
    assert select(tmp_path / "console.db", "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("shift-a", "short\n", "expected 10 to 256 characters"),
        ("shift-a", "x" * 257, "expected 10 to 256 characters"),
        ("shift-a", "", "expected 10 to 256 characters"),
        ("", PASSWORD, "NAME: expected 1 to 64"),
        ("x" * 65, PASSWORD, "NAME: expected 1 to 64"),
        ("shift\ta", PASSWORD, "NAME: expected 1 to 64"),
    ],
)
def test_a_user_that_cannot_be_is_refused(
    tmp_path: Path, name: str, password: str, said: str
) -> None:
    database = str(tmp_path / "console.db")
    done = run("user", "add", "--password-stdin", "--database", database, "--", name, told=password)
    refused(done, 2, said)


def test_a_password_is_never_an_argument_and_needs_a_terminal(tmp_path: Path) -> None:
    database = str(tmp_path / "console.db")
    refused(run("user", "add", "shift-a", "--database", database), 2, "--password-stdin")
    refused(run("user", "add", "shift-a", "--password", PASSWORD), 2, "unknown argument")


def test_options_before_the_verb_count_as_well(tmp_path: Path) -> None:
    run("--database", str(tmp_path / "one.db"), "user", "list")
    assert (tmp_path / "one.db").exists()
    refused(
        run("user", "list", cwd=tmp_path),
        2,
        "no file for history, notes and users: give --database PATH",
    )


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_what_is_not_installed_is_named_with_the_remedy(store: Path, missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from broker.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "console", "--store", store, "--listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        check=False,
    )
    refused(done, 1, f"broker: {missing} is missing: pip install")
