"""Several broker processes on one machine: which port each listens on, and what is refused."""

from pathlib import Path

import pytest

from broker.__main__ import main
from broker.config import ListenSettings, RecorderSettings, Settings, check, for_process
from quartet.errors import SettingsError

URL = "postgresql://broker@db1/quartet"


def settings(address: str, *, shared: bool = False, url: str | None = URL) -> Settings:
    return Settings(
        listen=ListenSettings(address, insecure=True, shared=shared),
        recorder=RecorderSettings(url=url),
    )


@pytest.mark.parametrize(
    ("address", "number", "shared", "listens"),
    [
        ("0.0.0.0:8061", 1, False, "0.0.0.0:8061"),
        ("0.0.0.0:8061", 2, False, "0.0.0.0:8062"),
        ("[::]:9000", 64, False, "[::]:9063"),
        ("broker-1:65534", 2, False, "broker-1:65535"),
        ("0.0.0.0:8061", 3, True, "0.0.0.0:8061"),
        ("127.0.0.1:0", 3, False, "127.0.0.1:0"),
    ],
)
def test_each_process_has_a_port_of_its_own_unless_they_share_one(
    address: str, number: int, shared: bool, listens: str
) -> None:
    configured = settings(address, shared=shared)
    own = for_process(configured, number)
    assert own.listen == ListenSettings(listens, insecure=True, shared=shared)
    assert own.recorder == configured.recorder
    check(own)


def test_several_processes_with_a_file_each_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"--process: .* there is no recorder\.url"):
        for_process(settings("127.0.0.1:8061", url=None), 1)
    with pytest.raises(SettingsError, match=r"listen\.shared: .* there is no recorder\.url"):
        check(settings("127.0.0.1:8061", shared=True, url=None))


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="process 2 would listen on port 65536: choose a lower"):
        for_process(settings("127.0.0.1:65535"), 2)


def test_a_socket_in_the_file_system_belongs_to_one_process() -> None:
    configured = settings("unix:/run/broker/broker.sock", shared=True)
    with pytest.raises(SettingsError, match=r"--process: one process alone can .* unix:/run"):
        for_process(configured, 1)
    with pytest.raises(SettingsError, match=r"listen\.shared: one process alone .* remove"):
        check(configured)


@pytest.mark.parametrize("name", ["0", "65", "-1", "x", "1.5", "", "²"])
def test_an_instance_of_the_unit_that_is_no_number_is_named(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", f"--process={name}"])
    assert ended.value.code == 2
    assert f"as in broker@2, got '{name}'" in capsys.readouterr().err


def test_the_check_of_a_reload_is_that_of_the_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINPID", "1")
    config = tmp_path / "broker.toml"
    config.write_text(f"[listen]\naddress = '127.0.0.1:65535'\n[recorder]\nurl = '{URL}'\n")
    run = ["run", "--config", str(config), "--check"]
    assert main([*run, "--process=1"]) == 0
    assert main([*run, "--process=2"]) == 2
    assert "would listen on port 65536" in capsys.readouterr().err
