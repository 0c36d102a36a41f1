"""`broker status` and the log of connections, with real processes."""

import asyncio
import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from support.processes import PATIENCE_S, Agent, Broker, Running

from broker.recorder.opening import open_reader
from broker.watching import show
from wire import STATE_METHOD_PATH, STATE_SERVICE
from wire.state_pb2 import StateRequest, StateResponse

HEADLINE = "the broker has run for"
GONE = "the connection broke|the agent ended its stream"
"""gRPC cannot always tell them from each other where a process dies."""


class Later:
    """The clock of this machine, some minutes ahead."""

    def monotonic(self) -> float:
        return time.monotonic()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def time_ns(self) -> int:
        return time.time_ns() + 300 * 10**9


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return tmp_path / "broker.db"


def status(path: Path, *arguments: str) -> tuple[int, str]:
    """The exit code of `broker status`, and what it has printed."""
    with Running(["broker", "status", "--store", str(path), *arguments]) as running:
        code = running.wait()
    assert "Traceback" not in running.stderr
    return code, running.stdout


@contextmanager
def device(tmp_path: Path, broker: Broker, values: str) -> Iterator[Agent]:
    """An agent that reads a file of these values of its second sensor for ever."""
    recording = tmp_path / "recording.csv"
    rows = "".join(f"0,{value},0,0\n" for value in values.split())
    recording.write_text(f"sensor1,sensor2,sensor3,sensor4\n{rows}")
    config = tmp_path / "agent.toml"
    config.write_text('[agent]\nid = "press-4"\n')
    run = ("--config", str(config), "--simulate", str(recording), "--loop", "--rate", "50")
    with Agent(*run, "--broker", broker.address) as agent:
        agent.wait_for("sample 10: ")
        yield agent


def test_an_alarm_says_since_when_and_why_and_an_agent_that_died_is_offline(
    path: Path, tmp_path: Path
) -> None:
    run = ("--predictor", "support.pupil:Pupil", "--store", str(path))
    with Broker(*run) as broker, device(tmp_path, broker, "7") as agent:
        code, said = status(path)
        assert code == 1
        assert said.startswith(HEADLINE)
        assert re.search(r"press-4 +ALARM .* since 20\d\d-.*: sensor2 at 7$", said, re.MULTILINE)
        agent.kill()
        assert broker.wait_for("INFO +press-4 at 127.*: connected$")
        assert broker.wait_for(f"INFO +press-4 at 127.*: disconnected: ({GONE}); ")
        broker.stop()
    out = io.StringIO()
    assert asyncio.run(show(open_reader(path), as_json=False, out=out, clock=Later())) == 1
    assert out.getvalue().startswith("no broker runs: start it")
    (offline,) = re.findall("press-4 .*", out.getvalue())
    assert re.match(rf"press-4 +offline .*({GONE}); ALARM since", offline)


def test_how_far_learning_is_stands_in_the_status_and_a_healthy_agent_needs_nobody(
    path: Path, tmp_path: Path
) -> None:
    run = ("--predictor", "support.pupil:Slow", "--store", str(path))
    with Broker(*run) as broker, device(tmp_path, broker, "1"):
        code, said = status(path)
        assert re.search(r"press-4 +learning .* \d+/1000000000 learned", said)
        assert code == 0


@pytest.mark.parametrize("on_terminal", [False, True])
def test_a_watch_goes_on_until_ctrl_c(path: Path, on_terminal: bool) -> None:
    command = [sys.executable, "-m", "broker", "status", "--watch", "--store", str(path)]
    reader, writer = pty.openpty() if on_terminal else os.pipe()
    with Broker("--store", str(path)), os.fdopen(reader, "rb", buffering=0) as screen:
        watching = subprocess.Popen(command, stdout=writer, stdin=subprocess.DEVNULL)
        os.close(writer)
        try:
            seen = b""
            while seen.count(HEADLINE.encode()) < 2:
                seen += screen.read(1000)
            watching.send_signal(signal.SIGINT)
            assert watching.wait(PATIENCE_S) == 0
        finally:
            watching.kill()
            watching.wait()
    assert (b"\x1b[H" in seen) is on_terminal


async def test_the_second_service_is_served_listed_and_healthy(path: Path) -> None:
    with Broker("--store", str(path)) as broker:
        async with grpc.aio.insecure_channel(broker.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            reply = await health.Check(health_pb2.HealthCheckRequest(service=STATE_SERVICE))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
            reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
            call = reflection.ServerReflectionInfo()
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            listed = (await call.read()).list_services_response.service
            assert STATE_SERVICE in {service.name for service in listed}
            call.cancel()
            get_state = channel.unary_unary(
                STATE_METHOD_PATH, StateRequest.SerializeToString, StateResponse.FromString
            )
            metadata = (("agent-id", "press-4"),)
            assert await get_state(StateRequest(), metadata=metadata) == StateResponse()
