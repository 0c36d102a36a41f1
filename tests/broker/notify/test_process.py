"""`broker notify` as a user starts it: a process of its own over a real store, and how it ends."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.patience import PATIENCE_S
from support.ports import kept_port
from support.processes import Running
from support.receivers import Hook, Sink, answer, hook, mail_server
from support.store import OpenLines, change, header, sample, send_on
from support.stores import lines_of

from broker.config import Store
from broker.model import Sample

T2 = "alarm: T2 is 30, its limit 22: sensor2 74%, sensor1 26%"


class Told:
    """A predictor that answers as a test says."""

    alarms = False

    def __init__(self) -> None:
        self._was = False
        self._said: str | None = None

    def predict(self, _: Sample) -> bool:
        self._said = T2 if Told.alarms and not self._was else None
        self._was = Told.alarms
        return self._was

    def explain(self) -> str | None:
        return self._said


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    Told.alarms = False
    yield
    Told.alarms = False


class Plant:
    """A broker in this process with agents that send when a test says so."""

    def __init__(self, lines: OpenLines) -> None:
        self._lines = lines
        self._ids = count()

    async def send(self, agents: int = 1) -> None:
        """One sample of each agent."""
        id_ = next(self._ids)
        for number in range(agents):
            agent, session = f"m{number}", number * 100_000 + id_
            with await self._lines.open(header(id_, session, agent)) as stream:
                await send_on(stream, [sample(id_)])


@asynccontextmanager
async def plant(store: Store) -> AsyncIterator[Plant]:
    async with lines_of(store, Told) as lines:
        yield Plant(lines)


def configured(directory: Path, text: str) -> Path:
    path = directory / "notify.toml"
    path.write_text(text, "utf-8")
    return path


def webhook(server: Hook, more: str = "") -> str:
    return f"[notify]\npause_s = 0\n{more}[[webhook]]\nurl = '{server.url}'\n"


class Notify(Running):
    """`broker notify`, once it reads the store."""

    def __init__(self, config: Path, store: Store, *arguments: str) -> None:
        given = ["--config", str(config), "--store", str(store)]
        super().__init__(["broker", "notify", *given, *arguments])
        try:
            self.wait_for("receivers: ")
        except BaseException:
            self.__exit__()
            raise


@asynccontextmanager
async def telling(config: Path, store: Store, *arguments: str) -> AsyncIterator[Notify]:
    """Started beside the loop that serves its receivers."""
    running = await asyncio.to_thread(Notify, config, store, *arguments)
    try:
        yield running
    finally:
        await asyncio.to_thread(running.__exit__)


async def ran(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "broker", "notify", "--config", str(config), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def put(store: Path, in_place_of: Path) -> None:
    for end in ("-wal", "-shm"):
        Path(f"{in_place_of}{end}").unlink(missing_ok=True)
    store.replace(in_place_of)


def kinds(posted: Any) -> list[str]:
    return [each.json["kind"] for each in posted]


async def test_an_alarm_comes_by_webhook_and_by_mail_and_so_does_its_end(tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    async with hook() as server, mail_server(Sink()) as sink, plant(store) as site:
        text = webhook(server) + (
            "[mail]\nhost = '127.0.0.1'\nsecurity = 'none'\nsender = 'q@plant.lan'\n"
            f"to = ['shift@plant.lan']\nport = {sink.port}\n"
        )
        await site.send()
        async with telling(configured(tmp_path, text), store) as running:
            Told.alarms = True
            await site.send()
            (begun,) = await server.wait_for(1)
            assert begun.json["subject"].startswith("m0: ALARM since ")
            assert "Why: T2 is 30, its limit 22: sensor2 74%" in begun.json["text"]
            Told.alarms = False
            await site.send()
            _, ended = await server.wait_for(2)
            assert ended.json["kind"] == "alarm_ended"
            await asyncio.to_thread(running.wait_for, "mail 127.0.0.1: accepted", 2)
            running.signal(signal.SIGTERM)
            assert await asyncio.to_thread(running.wait) == 0
            assert "not-for-the-log" not in running.stderr
            assert "Traceback" not in running.stderr
    first, second = sink.letters
    assert first["Subject"] == f"[Quartet] {begun.json['subject']}"
    assert second["Subject"] == f"[Quartet] {ended.json['subject']}"


async def test_what_could_not_be_sent_before_a_kill_is_sent_after_it(tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    async with plant(store) as site:
        await site.send()
        with kept_port() as port:
            url = f"http://127.0.0.1:{port}/"
            config = configured(tmp_path, f"[notify]\npause_s = 0\n[[webhook]]\nurl = '{url}'\n")
            async with telling(config, store) as running:
                Told.alarms = True
                await site.send()
                await asyncio.to_thread(running.wait_for, "webhook 127.0.0.1: .*; trying again")
                running.signal(signal.SIGKILL)
                await asyncio.to_thread(running.wait)
            Told.alarms = False
            await site.send()
            async with hook(port=port) as server, telling(config, store) as running:
                first, second = await server.wait_for(2)
                assert kinds([first, second]) == ["alarm_begun", "alarm_ended"]
                assert "1 unsent message from before" in running.stderr


async def test_a_kill_between_sending_and_noting_it_repeats_the_id(tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    async with hook(None, answer(204)) as server, plant(store) as site:
        await site.send()
        config = configured(tmp_path, webhook(server))
        async with telling(config, store) as running:
            Told.alarms = True
            await site.send()
            await server.wait_for(1)  # which it never says that it has
            running.signal(signal.SIGKILL)
            await asyncio.to_thread(running.wait)
        async with telling(config, store) as running:
            first, second = await server.wait_for(2)
            assert first.headers["webhook-id"] == second.headers["webhook-id"]
            assert first.body == second.body
            await asyncio.to_thread(running.wait_for, "webhook 127.0.0.1: answered 204")


async def test_40_alarms_at_once_are_one_message(tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    async with hook() as server, plant(store) as site:
        await site.send(40)
        async with telling(configured(tmp_path, webhook(server)), store) as running:
            Told.alarms = True
            running.freeze()  # it sees them at once, however long they take to come
            await site.send(40)
            running.signal(signal.SIGCONT)
            (first,) = await server.wait_for(1)
            assert first.json["kind"] == "summary"
            assert first.json["counts"]["alarm_begun"] > 5


async def test_a_broker_that_stops_is_told_and_no_agent_is_blamed(tmp_path: Path) -> None:
    """The patience of 30 s is in the feed's tests; here its clock cannot be moved."""
    store = tmp_path / "broker.db"
    async with plant(store) as site:
        await site.send()
    async with hook() as server:
        async with telling(configured(tmp_path, webhook(server)), store) as running:
            await asyncio.to_thread(running.wait_for, "no broker runs: start it")
        assert server.posted == []


async def test_the_store_may_be_a_database(tmp_path: Path, postgres: Any) -> None:
    database = await postgres.create()
    try:
        async with hook() as server, plant(database.url) as site:
            await site.send()
            file = str(tmp_path / "notify.db")
            config = configured(tmp_path, webhook(server))
            async with telling(config, database.url, "--database", file):
                Told.alarms = True
                await site.send()
                (begun,) = await server.wait_for(1)
                assert begun.json["kind"] == "alarm_begun"
                assert begun.json["events"][0]["reason"] == T2
    finally:
        await database.drop()


async def test_a_store_that_is_replaced_is_told_of_as_it_is(tmp_path: Path) -> None:
    store, other = tmp_path / "broker.db", tmp_path / "other.db"
    async with plant(store) as site:
        await site.send()
        await site.send()
    async with plant(other) as site:
        Told.alarms = True
        await site.send()
    async with hook() as server, telling(configured(tmp_path, webhook(server)), store):
        put(other, store)
        while "alarm_begun" not in kinds(server.posted):
            await server.wait_for(len(server.posted) + 1)


async def test_a_store_of_another_version_is_told(tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    async with plant(store) as site:
        await site.send()
    config = configured(tmp_path, "[[webhook]]\nurl = 'https://h.lan/'\n")
    change(store, "PRAGMA user_version = 99")
    done = await ran(config, "--store", str(store))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "has schema 99" in done.stderr
    change(store, "PRAGMA user_version = 1")
    async with telling(config, store) as running:
        assert "has schema 1," in running.stderr
        assert "until then there are no messages on it" in running.stderr


async def test_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    config = configured(tmp_path, "[[webhook]]\nurl = 'https://h.lan/'\n")
    done = await ran(config, "--store", str(tmp_path / "none.db"))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "none.db: there is no such file: name the store of a broker" in done.stderr


async def test_a_test_says_what_happened_at_each_receiver(tmp_path: Path) -> None:
    async with hook() as good, hook(answer(401)) as bad, mail_server(Sink()) as sink:
        text = webhook(good) + f"[[webhook]]\nurl = '{bad.url}'\n"
        done = await ran(configured(tmp_path, text), "--test")
        assert done.returncode == 1
        first, second = done.stdout.splitlines()
        assert first.startswith("webhook 127.0.0.1: answered 200, after ")
        assert second.startswith("webhook 127.0.0.1 (2): FAILED: answered 401: check secret_file")
        assert "not-for-the-log" not in done.stdout + done.stderr
        assert kinds(good.posted) == ["test"]
        mail = (
            "[mail]\nhost = '127.0.0.1'\nsecurity = 'none'\nsender = 'q@plant.lan'\n"
            f"to = ['shift@plant.lan']\nport = {sink.port}\n"
        )
        done = await ran(configured(tmp_path, mail), "--test")
        assert (done.returncode, done.stdout[:26]) == (0, "mail 127.0.0.1: accepted, ")
        assert sink.letters[0]["Subject"] == "[Quartet] test of Quartet"


async def refused(config: Path, *arguments: str) -> str:
    done = await ran(config, *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


async def test_a_check_names_each_file_that_is_wrong(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    text = (
        f"[store]\npath = '{tmp_path}/broker.db'\n"
        f"[[webhook]]\nurl = 'https://h.lan/'\nsecret_file = '{secret}'\nca = '{tmp_path}/ca.pem'\n"
    )
    said = await refused(configured(tmp_path, text), "--check")
    assert f"webhook.secret_file: {secret}: there is no such file: write the secret" in said
    assert f"webhook.ca: {tmp_path}/ca.pem: No such file or directory: check the path" in said
    assert "broker.db does not exist" in said
    secret.write_text("whsec_not-in-base-64", "utf-8")
    said = await refused(configured(tmp_path, text), "--check")
    assert f"webhook.secret_file: {secret}: behind whsec_ expected bytes in base64" in said
    secret.write_text("x" * 32, "utf-8")
    secret.chmod(0o644)
    (tmp_path / "broker.db").touch()
    text = text.partition("ca = ")[0]
    done = await ran(configured(tmp_path, text), "--check")
    assert done.returncode == 0, done.stderr
    assert f"anyone here can read {secret}: 'chmod 600 {secret}'" in done.stderr
    assert "the configuration is right" in done.stdout


async def test_wrong_use_is_told(tmp_path: Path) -> None:
    config = configured(tmp_path, "[[webhook]]\nurl = 'https://h.lan/'\n")
    assert "no store: give --store PATH" in await refused(config)
    assert "store.path: no store: name it under [store]" in await refused(config, "--check")
    said = await refused(config, "--store", "postgresql://b@127.0.0.1:1/q")
    assert "no file for unsent messages: give --database PATH" in said
    said = await refused(configured(tmp_path, ""), "--store", "x.db")
    assert "nobody receives a message" in said
