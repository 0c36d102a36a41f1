"""An MQTT server beside real agents and brokers: what is there after each kind of end."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import mosquitto
from support.mosquitto import Mailbox, Mosquitto
from support.ports import kept_port
from support.processes import Agent, Broker, Running

pytestmark = pytest.mark.skipif(not mosquitto.is_there(), reason="no mosquitto here")

STATUS = "quartet/agent/press-4/status"
STATE = "quartet/agent/press-4/state"
DEVICE = "homeassistant/device/quartet_agent_press--4/config"
OF_BROKER = "quartet/broker/press-4/"

# True from row 50 on, and it says so.
PREDICTOR = """
class Late:
    def __init__(self):
        self.is_late = False

    def predict(self, sample):
        self.is_late = sample.id >= 50
        return self.is_late

    def explain(self):
        return "sensor2 is high \\x1b[2J </b>{{ 7*7 }}" if self.is_late else None
"""


@pytest.fixture
def server() -> Iterator[Mosquitto]:
    with kept_port() as port, mosquitto.running(port) as running:
        yield running


class Plant:
    def __init__(self, directory: Path, dataset: Path, server: Mosquitto) -> None:
        self._dataset = dataset
        self.config = directory / "agent.toml"
        self.config.write_text(
            f'[agent]\nid = "press-4"\n[outputs.mqtt]\naddress = "{server.address}"\n'
        )

    def agent(self, port: int, *more: str) -> Agent:
        return Agent(
            *("--config", str(self.config), "--simulate", str(self._dataset), "--loop"),
            *("--rate", "50", "--broker", f"127.0.0.1:{port}", *more),
        )


@pytest.fixture
def plant(tmp_path: Path, dataset: Path, server: Mosquitto) -> Plant:
    return Plant(tmp_path, dataset, server)


def test_an_agent_is_offline_after_its_end_and_after_its_death(
    plant: Plant, server: Mosquitto
) -> None:
    with Broker() as broker, Mailbox(server.port) as box:
        for end in (Agent.stop, Agent.kill):
            with plant.agent(broker.port) as agent:
                box.wait_for(STATUS, b"online".__eq__)
                state = box.wait_for_document(STATE, lambda told: told["alarm"] is not None)
                assert state["sensor1"] is not None
                end(agent)
            box.wait_for(STATUS, b"offline".__eq__)
            if end is Agent.stop:
                told = json.loads(box.kept[STATE])
                assert (told["state"], told["alarm"]) == ("the agent has ended", None)
        assert json.loads(box.kept[DEVICE])["device"]["name"] == "press-4"


def test_an_alarm_says_why_in_text_that_harms_nobody(
    plant: Plant, server: Mosquitto, tmp_path: Path
) -> None:
    (tmp_path / "late.py").write_text(PREDICTOR)
    path = {"PYTHONPATH": str(tmp_path)}
    with (
        Broker("--predictor", "late:Late", env=path) as broker,
        Mailbox(server.port) as box,
        plant.agent(broker.port),
    ):
        told = box.wait_for_document(STATE, lambda told: told["alarm"] and told["why"])
        assert told["why"].startswith("sensor2 is high ")
        assert told["why"].endswith("[2J </b>{{ 7*7 }}")
        assert told["why"].isprintable()
        assert told["alarm_since"]


def test_samples_flow_while_the_mqtt_server_is_away(plant: Plant, server: Mosquitto) -> None:
    server.stop()
    folder = plant.config.parent
    for name in ("cold", "hot"):
        (folder / name).mkdir()
    with plant.config.open("a") as config:
        config.write(f'[spool]\ndirectory = "{folder}/cold"\nhot_directory = "{folder}/hot"\n')
    with Broker() as broker, plant.agent(broker.port) as agent:
        agent.wait_for(f"WARNING MQTT server {server.address}: nothing listens there")
        agent.wait_for("sample 20: False")
        with Running(["agent", "status", "--config", str(plant.config)]) as asking:
            asking.wait()
        assert re.search(
            r"^MQTT server +127.*: nothing listens there: ", asking.stdout, re.MULTILINE
        )
        server.start()
        agent.wait_for(f"MQTT server {server.address}: connected again")
        with Mailbox(server.port) as box:
            box.wait_for(DEVICE)
            box.wait_for(STATUS, b"online".__eq__)
        assert agent.stop() == 0
    assert "Traceback" not in agent.stderr


def test_agent_check_tells_whether_the_server_accepts_the_agent(
    plant: Plant, server: Mosquitto
) -> None:
    def check() -> str:
        with Running(["agent", "check", "--config", str(plant.config), "--virtual"]) as asking:
            asking.wait()
        return next(line for line in asking.stdout.splitlines() if "outputs.mqtt" in line)

    assert check() == f"passed  outputs.mqtt        {server.address} accepts this client"
    server.stop()
    assert check() == f"failed  outputs.mqtt        {server.address}: nothing listens there"


class Publishing(Running):
    """`broker mqtt` over a store."""

    def __init__(self, directory: Path, server: Mosquitto, *more: str) -> None:
        config = directory / "mqtt.toml"
        config.write_text(f'[mqtt]\naddress = "{server.address}"\n')
        store = str(directory / "broker.db")
        super().__init__(["broker", "mqtt", "--config", str(config), "--store", store, *more])


def test_a_brokers_view_and_an_agents_stand_beside_each_other(
    plant: Plant, server: Mosquitto, tmp_path: Path
) -> None:
    with Broker("--store", str(tmp_path / "broker.db")) as broker, Mailbox(server.port) as box:
        slow = plant.agent(broker.port, "--rate", "2")  # it learns for as long as this takes
        with slow, Publishing(tmp_path, server) as publishing:
            box.wait_for("quartet/status", b"online".__eq__)
            box.wait_for(f"{OF_BROKER}status", b"online".__eq__)
            told = box.wait_for_document(f"{OF_BROKER}state", lambda told: told["alarm"] is False)
            assert told["state"] == "learning"
            box.wait_for(STATUS, b"online".__eq__)
            publishing.kill()
            box.wait_for("quartet/status", b"offline".__eq__)
            assert box.kept[STATUS] == b"online"
        for own in (DEVICE, DEVICE.replace("agent", "broker")):
            box.wait_for(own)
        devices = [topic for topic in box.kept if topic.startswith("homeassistant/device/")]
        assert len(devices) == 2


def test_what_is_told_of_a_forgotten_agent_is_taken_away_even_if_nobody_ran(
    plant: Plant, server: Mosquitto, tmp_path: Path
) -> None:
    store = str(tmp_path / "broker.db")
    with Broker("--store", store) as broker, Mailbox(server.port) as box:
        with Publishing(tmp_path, server) as publishing:
            with plant.agent(broker.port):
                box.wait_for(DEVICE)
                box.wait_for(f"{OF_BROKER}state")
            box.publish("quartet/broker/elsewhere/other", "mine", retain=True)
            assert publishing.stop() == 0
        with Running(["broker", "forget", "press-4", "--store", store]) as forgetting:
            assert forgetting.wait() == 0
        with Publishing(tmp_path, server) as publishing:
            box.wait_for(f"{OF_BROKER}state", b"".__eq__)
            box.wait_for("homeassistant/device/quartet_broker_press--4/config", b"".__eq__)
            assert publishing.stop() == 0
        assert box.kept["quartet/broker/elsewhere/other"] == b"mine"
        assert DEVICE in box.kept


@pytest.mark.parametrize("is_there", [True, False])
def test_a_check_tells_whether_the_server_accepts_the_broker(
    server: Mosquitto, tmp_path: Path, is_there: bool
) -> None:
    with Broker("--store", str(tmp_path / "broker.db")) as broker:
        broker.stop()
    if not is_there:
        server.stop()
    with Publishing(tmp_path, server, "--check") as checking:
        assert checking.wait() == (0 if is_there else 1)
    if is_there:
        assert f"{server.address} accepts this client\n" in checking.stdout
    else:
        assert "nothing listens there" in checking.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "broker.db: there is no such file: name the store of a broker"),
        (b"a note", "broker.db: is damaged (file is not a database)"),
    ],
)
def test_a_wrong_store_is_refused_and_takes_nothing_away(
    server: Mosquitto, tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content:
        (tmp_path / "broker.db").write_bytes(content)
    with Mailbox(server.port) as box:
        box.publish(f"{OF_BROKER}status", "online", retain=True)
        with Publishing(tmp_path, server) as publishing:
            assert publishing.wait() == 1
        assert said in publishing.stderr
        box.publish("quartet/end", "of the test")
        box.wait_for("quartet/end")
        assert box.kept[f"{OF_BROKER}status"] == b"online"


def test_what_comes_on_standard_input_is_for_another_machine() -> None:
    """So neither its files nor its server are looked for here."""
    there = 'address = "10.0.0.1:1883"\ninsecure = true\npassword_file = "/nowhere"\n'
    done = subprocess.run(
        [sys.executable, "-m", "broker", "mqtt", "--check", "--config", "/dev/stdin"],
        input=f'[mqtt]\n{there}username = "quartet"\n[store]\npath = "/nowhere/broker.db"\n',
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "broker: the configuration is right (/dev/stdin)\n"


def test_without_a_server_or_a_store_it_says_what_to_give(tmp_path: Path) -> None:
    with Running(["broker", "mqtt", "--store", str(tmp_path / "broker.db")]) as one:
        assert one.wait() == 2
    assert "no MQTT server: give --config FILE with a table [mqtt]" in one.stderr
    config = tmp_path / "mqtt.toml"
    config.write_text('[mqtt]\naddress = "127.0.0.1:1883"\n')
    with Running(["broker", "mqtt", "--config", str(config)]) as other:
        assert other.wait() == 2
    assert "no store: give --store PATH" in other.stderr
    with Running(["broker", "mqtt", "--config", str(config), "--check"]) as check:
        assert check.wait() == 2
    assert "store.path: no store: name it under [store]" in check.stderr
    assert "is right" not in check.stdout
