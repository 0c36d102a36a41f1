"""Several broker processes on one machine, with one database: a port each, or one for all."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.ports import kept_port, listens
from support.postgres import Database, Server
from support.processes import Broker, Running

from quartet.address import Address


@pytest.fixture
async def database(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    database = await postgres.create()
    yield database
    await database.drop()


def config(path: Path, database: Database, address: Address, *, shared: bool) -> Path:
    path.write_text(
        f"[listen]\naddress = '{address}'\nshared = {str(shared).lower()}\n"
        f"[recorder]\nurl = '{database.url}'\n"
    )
    return path


def process(number: int, config: Path) -> Running:
    return Running(["broker", "run", "--config", str(config), "--process", str(number)])


def test_processes_share_a_port_if_they_are_to(tmp_path: Path, database: Database) -> None:
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(kept_port())
        where = config(tmp_path / "broker.toml", database, Address("127.0.0.1", port), shared=True)
        for number in (1, 2):
            running = stack.enter_context(process(number, where))
            running.wait_for(rf"listening on 127\.0\.0\.1:{port}\b")


def test_processes_of_one_number_are_told_that_the_port_is_in_use(
    tmp_path: Path, database: Database
) -> None:
    with Broker("--store", database.url) as broker:
        assert listens(broker.pid, broker.port)
        own = Address("127.0.0.1", broker.port)
        where = config(tmp_path / "broker.toml", database, own, shared=False)
        with process(1, where) as second:
            assert second.wait() == 1
            assert f"cannot listen on 127.0.0.1:{broker.port}: the port is in use" in second.stderr


def test_a_second_process_listens_on_the_next_port(tmp_path: Path, database: Database) -> None:
    with kept_port() as port:
        configured = Address("127.0.0.1", port - 1)
        where = config(tmp_path / "broker.toml", database, configured, shared=False)
        with process(2, where) as second:
            second.wait_for(rf"listening on 127\.0\.0\.1:{port}\b")
            assert listens(second.pid, port)
