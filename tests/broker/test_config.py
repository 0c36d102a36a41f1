from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.__main__ import main
from broker.config import ListenSettings, LogSettings, PredictorSettings, Settings, check
from quartet.errors import SettingsError
from quartet.settings import load

many = settings(derandomize=True, deadline=None, max_examples=50)


@pytest.fixture(scope="module")
def toml_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "broker.toml"


def test_without_a_file_the_broker_listens_on_its_port_on_this_machine_alone() -> None:
    assert Settings() == Settings(
        ListenSettings("127.0.0.1:8061", insecure=False),
        PredictorSettings("limits", {}),
        LogSettings("info"),
    )
    check(Settings())


def test_a_whole_file_is_read(toml_path: Path) -> None:
    toml_path.write_text(
        """
        [listen]
        address = "0.0.0.0:0"
        insecure = true
        [predictor]
        use = "mine:Box"
        [predictor.options]
        low = 0
        high = [0.1, 0.2, 0.3, 0.4]
        model = { path = "m.bin", fast = true }
        [log]
        level = "debug"
        """,
        "utf-8",
    )
    read = load(toml_path, Settings)
    assert read.listen == ListenSettings("0.0.0.0:0", insecure=True)
    assert read.predictor.use == "mine:Box"
    assert read.predictor.options == {
        "low": 0,
        "high": [0.1, 0.2, 0.3, 0.4],
        "model": {"path": "m.bin", "fast": True},
    }
    assert read.log == LogSettings("debug")
    check(read)


options = st.dictionaries(
    st.text("abcxyz_", min_size=1, max_size=8),
    st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False),
    max_size=5,
)


def toml_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


@many
@given(options)
def test_options_of_a_predictor_are_passed_on_as_they_are(
    toml_path: Path, given_: dict[str, object]
) -> None:
    lines = [f"{name} = {toml_value(value)}" for name, value in given_.items()]
    toml_path.write_text("\n".join(["[predictor.options]", *lines]), "utf-8")
    read = load(toml_path, Settings).predictor.options
    assert read == given_
    assert [type(value) for value in read.values()] == [type(v) for v in given_.values()]


def test_options_of_one_broker_are_not_those_of_another() -> None:
    Settings().predictor.options["low"] = 1
    assert Settings().predictor.options == {}
    PredictorSettings().options["low"] = 1
    assert PredictorSettings().options == {}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_every_level_of_the_log_can_be_asked_for(toml_path: Path, level: str) -> None:
    toml_path.write_text(f"[log]\nlevel = '{level}'", "utf-8")
    assert load(toml_path, Settings).log.level == level


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.1:0", "127.1.2.3:8061", "[::1]:8061"])
def test_the_broker_listens_on_this_machine_as_it_is(address: str) -> None:
    check(Settings(listen=ListenSettings(address)))


@pytest.mark.parametrize("address", ["0.0.0.0:8061", "[::]:8061", "192.168.1.2:1", "broker:8061"])
def test_the_broker_listens_to_other_machines_only_when_told_so(address: str) -> None:
    with pytest.raises(SettingsError) as raised:
        check(Settings(listen=ListenSettings(address)))
    assert str(raised.value).startswith(f"listen.address: {address} is open to other machines")
    assert "--insecure" in str(raised.value)
    check(Settings(listen=ListenSettings(address, insecure=True)))


# The command line: each of these ends before anything is started

WRONG = [
    (["--listen", "localhost"], "expected HOST:PORT"),
    (["--listen", "localhost:65536"], "expected HOST:PORT"),
    (["--listen", "0.0.0.0:8061"], "listen.address: 0.0.0.0:8061 is open to other machines"),
    (["--config", "none.toml"], "none.toml: cannot be read: No such file or directory"),
    (["--config", "wrong.toml"], "wrong.toml: log.level: expected 'debug' or 'info'"),
    (["--config", "open.toml"], "listen.address: 0.0.0.0:1 is open to other machines"),
    (["--config", "secret.toml", "--listen", "0.0.0.0:1"], "listen.address: 0.0.0.0:1 is open"),
]


@pytest.mark.parametrize(("arguments", "reason"), WRONG)
def test_wrong_settings_end_the_broker_with_2_and_the_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    arguments: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.toml").write_text("[log]\nlevel = 'loud'", "utf-8")
    Path("open.toml").write_text("[listen]\naddress = '0.0.0.0:1'", "utf-8")
    Path("secret.toml").write_text("[log]\nlevel = 'debug'", "utf-8")
    assert main(["run", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("broker: ")
    assert reason in said.err
