"""The commands `broker store`, beside a broker under load, and on stores that are damaged."""

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.damage import damage, noisy_page, torn_header
from support.ports import kept_port
from support.processes import Agent, Broker, Running
from support.store import select


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return tmp_path / "broker.db"


class Device:
    """An agent that keeps its spool over restarts of the broker."""

    def __init__(self, home: Path) -> None:
        self.config = home / "agent.toml"
        for name in ("hot", "cold"):
            (home / name).mkdir()
        self.config.write_text(
            '[agent]\nid = "press-4"\n'
            "[link]\nbackoff_min_s = 0.05\nbackoff_max_s = 0.2\n"
            f'[spool]\nhot_directory = "{home / "hot"}"\ndirectory = "{home / "cold"}"\n'
        )

    def agent(self, dataset: Path, port: int) -> Agent:
        return Agent(
            *("--config", str(self.config), "--simulate", str(dataset), "--loop"),
            *("--rate", "500", "--broker", f"127.0.0.1:{port}"),
        )


def store(verb: str, path: Path, *arguments: str) -> tuple[int, str, str]:
    """The exit code of `broker store`, and what it has printed."""
    with Running(["broker", "store", verb, "--store", str(path), *arguments]) as running:
        code = running.wait()
    assert "Traceback" not in running.stderr
    return code, running.stdout, running.stderr


def ledger(path: Path) -> dict[str, object]:
    with Running(["broker", "ledger", "--store", str(path), "--json"]) as running:
        assert running.wait() == 0, running.stderr
    (session,) = json.loads(running.stdout)["sessions"]
    assert isinstance(session, dict)
    return session


def answers(path: Path) -> dict[object, object]:
    return dict(select(path, "SELECT id, prediction FROM samples"))  # type: ignore[arg-type]


def test_a_session_goes_on_after_an_older_store_is_restored_and_both_sides_tell_the_gap(
    path: Path, dataset: Path, tmp_path: Path
) -> None:
    device, copy = Device(tmp_path), tmp_path / "backup.db"
    run = ("--predictor", "support.chain:Chain", "--store", str(path))
    with (
        kept_port() as port,
        Broker(*run, port=port) as broker,
        device.agent(dataset, port) as agent,
    ):
        agent.wait_for("sample 300: ")
        assert store("backup", path, str(copy))[0] == 0
        assert sorted(each.name for each in tmp_path.glob("backup*")) == ["backup.db"]
        refused = store("restore", path, str(copy))
        assert refused[0] == 1
        assert f"is in use by process {broker.pid}" in refused[2]
        code, said, _ = store("check", path)
        assert (code, said.splitlines()[-1].endswith("no problems")) == (0, True)
        last = max(map(int, answers(copy)))  # type: ignore[call-overload]
        agent.wait_for(f"sample {last + 300}: ")
        broker.kill()
        former = answers(path)
        code, said, _ = store("restore", path, str(copy))
        assert code == 0
        assert f"samples {last + 1}..{max(former)}: not in the backup" in said  # type: ignore[type-var]
        assert f"the old store is now {tmp_path / 'broker.replaced.db'}" in said
        with Broker(*run, port=port) as second:
            agent.wait_for("reconnected|streaming to", count=2)
            agent.wait_for(f"sample {max(former) + 300}: ")  # type: ignore[operator,type-var]
            agent.signal(signal.SIGTERM)
            assert agent.wait() == 0
            assert second.stop() == 0
    session = ledger(path)
    ((first, end),) = session["missing"]  # type: ignore[misc]
    assert first == last + 1
    now = answers(path)
    assert set(former) - set(now) == set(range(first, end + 1))
    assert {id_: now[id_] for id_ in range(last + 1)} == {
        id_: former[id_] for id_ in range(last + 1)
    }
    with Running(["broker", "ledger", "--store", str(path), "--json"]) as running:
        running.wait()
    (tmp_path / "broker.json").write_text(running.stdout)
    compared = ["--config", str(device.config), "--compare", str(tmp_path / "broker.json")]
    with Running(["agent", "ledger", *compared]) as running:
        assert running.wait() == 1
    told = f"answered here, but not recorded by the broker: {first}..{end}"
    assert told in running.stdout


@pytest.mark.parametrize("seed", [1, 2])
def test_a_repair_that_is_killed_at_any_moment_can_be_run_again(
    seed: int, path: Path, dataset: Path, tmp_path: Path
) -> None:
    dice = random.Random(seed)  # noqa: S311
    device = Device(tmp_path)
    with Broker("--predictor", "parity", "--store", str(path)) as broker:
        with device.agent(dataset, broker.port) as agent:
            agent.wait_for("sample 1500: ")
            agent.kill()
        broker.kill()
    damage(path, noisy_page if seed == 1 else torn_header, seed)
    Path(f"{path}-wal").unlink()
    expected = tmp_path / "expected.db"
    shutil.copy(path, expected)
    started = time.monotonic()
    ends, said, _ = store("repair", expected)  # with 1 where samples were lost
    took_s = time.monotonic() - started
    assert "the damaged file is now" in said
    for _ in range(6):
        with Running(["broker", "store", "repair", "--store", str(path)]) as running:
            try:
                assert running.wait(dice.random() * took_s) in {0, ends}
            except subprocess.TimeoutExpired:
                running.kill()
    code, _, _ = store("repair", path)
    assert code in {0, ends}
    assert store("check", path)[0] == 0
    assert answers(path) == answers(expected)
    assert [each.name for each in tmp_path.glob("broker.damaged*.db")] == ["broker.damaged.db"]
    with Broker("--predictor", "parity", "--store", str(path)) as broker:
        assert broker.stop() == 0


def test_the_commands_say_what_is_wrong_and_what_to_do(
    path: Path, dataset: Path, tmp_path: Path
) -> None:
    code, _, said = store("check", path)
    assert (code, said) == (1, f"broker: {path}: there is no such file")
    code, _, said = store("repair", path)
    assert (code, said) == (1, f"broker: {path}: there is no such file")
    assert not path.exists()
    with (
        Broker("--predictor", "parity", "--store", str(path)) as broker,
        Device(tmp_path).agent(dataset, broker.port) as agent,
    ):
        agent.wait_for("sample 900: ")
        agent.kill()
        assert broker.stop() == 0
    assert store("repair", path)[:2] == (0, "no problems: nothing was changed\n")
    select(path, "UPDATE samples SET prediction = 1 - prediction WHERE id = 77")
    code, said, _ = store("check", path)
    assert code == 1
    assert "samples 77..77: 1 sample is not what was recorded (checksum): stop the" in said
    code, said, _ = store("check", path, "--json")
    document = json.loads(said)
    assert (code, document["schema"]) == (1, 1)
    assert document["problems"][0]["ids"] == [[77, 77]]
    code, said, _ = store("repair", path, "--json")
    document = json.loads(said)
    assert (code, document["missing"]) == (1, 1)
    assert document["aside"] == str(tmp_path / "broker.damaged.db")
    assert [(loss["first"], loss["last"]) for loss in document["losses"]] == [(77, 77)]
    with Running(["broker", "ledger", "--store", str(path)]) as running:
        assert running.wait() == 0
    assert ", samples 77..77: the records were damaged" in running.stdout
