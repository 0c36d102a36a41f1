"""Names and units of sensors, from a recording or a configuration to the broker's records."""

import asyncio
import json
from pathlib import Path
from random import Random

import grpc
from support.patience import PATIENCE_S
from support.ports import kept_port
from support.processes import Agent, Broker, Running

from broker.recorder.sqlite.reader import SqliteReader
from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.metadata import StreamHeader
from wire.sensors import Label, Sensors

chance = Random(7)  # noqa: S311
HEAD = "oil temperature [°C],Druck (bar),振動 (mm/s),load"
ROWS = "".join(
    ",".join(f"{level + chance.gauss(0, 0.01):.4f}" for level in (70, 3, 1.5, 0.5)) + "\n"
    for _ in range(40)
)
TOLD = (Label("oil temperature", "°C"), Label("Druck", "bar"), Label("振動", "mm/s"), Label("load"))


def sensors(store: Path) -> list[Sensors | None]:
    """Those of each session, in their order."""
    accounts = asyncio.run(SqliteReader(store).accounts())
    return [each.sensors for each in accounts.sessions]


def test_the_header_of_a_recording_comes_to_the_records_and_to_status(tmp_path: Path) -> None:
    store, recording = tmp_path / "broker.db", tmp_path / "press.csv"
    recording.write_text(f"{HEAD}\n{ROWS}", encoding="utf-8")
    with Broker("--store", str(store)) as broker:
        with Agent(
            *("--simulate", str(recording), "--rate", "max", "--broker", broker.address),
            *("--agent-id", "press-4"),
        ) as agent:
            assert agent.wait() == 0
        with Running(["broker", "status", "--json", "--store", str(store)]) as status:
            status.wait()
        assert broker.stop() == 0
    assert sensors(store) == [TOLD]
    (press,) = json.loads(status.stdout)["agents"]
    assert press["sensors"][0] == {"name": "oil temperature", "unit": "°C"}
    assert [each["name"] for each in press["sensors"]] == [each.name for each in TOLD]


def test_a_backlog_has_the_names_that_its_sensors_had(tmp_path: Path) -> None:
    for name in ("hot", "cold"):
        (tmp_path / name).mkdir()
    config, store = tmp_path / "agent.toml", tmp_path / "broker.db"

    def configured(name: str) -> None:
        config.write_text(
            f'[agent]\nid = "press-4"\n[spool]\ndirectory = "{tmp_path}/cold"\n'
            f'hot_directory = "{tmp_path}/hot"\n[source]\nkind = "virtual"\n[source.sensor1]\n'
            f'name = "{name}"\nunit = "°C"\n[source.sensor2]\ninput = "none"\n',
            encoding="utf-8",
        )

    options = ("--config", str(config), "--rate", "40")
    configured("oil")
    with kept_port() as port, Agent(*options, "--broker", f"127.0.0.1:{port}") as agent:
        agent.wait_for("no connection to")
        agent.stop()
    configured("water")
    with Broker("--store", str(store)) as broker:
        with Agent(*options, "--broker", broker.address) as agent:
            agent.wait_for("sample 0: ", count=2)
            assert agent.stop() == 0
        assert broker.stop() == 0
    rest = (None, Label("sensor3", "V"), Label("sensor4", "V"))
    assert sensors(store) == [(Label(name, "°C"), *rest) for name in ("oil", "water")]


async def test_a_hostile_client_is_answered_and_its_names_are_left_out(tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    header = StreamHeader("press-4", "0" * 32, 0, 0, 0)
    with Broker("--store", str(store)) as broker:
        async with (
            asyncio.timeout(PATIENCE_S),
            grpc.aio.insecure_channel(broker.address) as channel,
        ):
            call = channel.stream_stream(METHOD_PATH)(
                metadata=(*header.to_metadata(), ("sensors-bin", b'[{"name":"\x1b[2J\xff'))
            )
            for id_ in range(3):
                await call.write(BrokerRequest(id=id_).SerializeToString())
                assert BrokerResponse.FromString(await call.read()).id == id_
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK
        broker.wait_for("WARNING press-4: its names of sensors are ignored: metadata sensors-bin")
        await asyncio.to_thread(broker.stop)
        assert "\x1b" not in broker.stderr
    assert [each.sensors for each in (await SqliteReader(store).accounts()).sessions] == [None]
