from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.__main__ import main
from broker.config import (
    AccessSettings,
    LimitsSettings,
    ListenSettings,
    LogSettings,
    PredictorSettings,
    RecorderSettings,
    Settings,
    TlsSettings,
    check,
    reloaded,
    store_of,
    with_store,
)
from quartet.errors import SettingsError
from quartet.settings import load

many = settings(derandomize=True, deadline=None, max_examples=50)


@pytest.fixture(scope="module")
def toml_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "broker.toml"


def test_without_a_file_the_broker_listens_on_its_port_on_this_machine_alone() -> None:
    assert Settings() == Settings(
        listen=ListenSettings("127.0.0.1:8061", insecure=False),
        tls=None,
        access=AccessSettings(agents=None),
        limits=LimitsSettings(streams=1024, streams_per_agent=16),
        predictor=PredictorSettings("chart", {}),
        recorder=RecorderSettings(None, None, "normal", 30.0, 1 << 30, 10_000),
        log=LogSettings("info"),
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
        [recorder]
        path = "/var/lib/broker/b.db"
        sync = "full"
        max_age_days = 0.5
        max_bytes = 1048576
        replay = 0
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
    assert read.recorder == RecorderSettings("/var/lib/broker/b.db", None, "full", 0.5, 1 << 20, 0)
    assert read.log == LogSettings("debug")
    check(read)


TLS = TlsSettings("broker.pem", "broker.key", client_ca="ca.pem")
ANYONE = TlsSettings("broker.pem", "broker.key", require_client_certificate=False)


@pytest.mark.parametrize(
    ("tls", "configured", "most"),
    [
        (None, None, 2000),
        (ANYONE, None, 2000),
        (TLS, None, 0),
        (TLS, 5, 5),
        (None, 0, 0),
    ],
)
def test_new_agents_are_limited_where_nobody_has_signed_their_names(
    tls: TlsSettings | None, configured: int | None, most: int
) -> None:
    settings = Settings(tls=tls, limits=LimitsSettings(new_lines_per_minute=configured))
    assert settings.limits_to_use.new_lines_per_minute == most


def test_a_reload_takes_the_limits() -> None:
    limits = LimitsSettings(new_lines_per_minute=7)
    assert reloaded(Settings(), Settings(limits=limits)).limits_to_use == limits


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("sync = 'off'", 'recorder.sync: expected "normal" or "full"'),
        ("max_age_days = 0", "recorder.max_age_days: expected a number above 0"),
        ("max_bytes = 1000", "recorder.max_bytes: expected a whole number of at least 1048576"),
        ("replay = -1", "recorder.replay: expected a whole number of at least 0"),
        ("path = 7", "recorder.path: expected text in quotes"),
    ],
)
def test_a_recorder_that_cannot_be_is_refused_by_name(
    line: str, reason: str, toml_path: Path
) -> None:
    toml_path.write_text(f"[recorder]\n{line}", "utf-8")
    with pytest.raises(SettingsError) as raised:
        load(toml_path, Settings)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("threads = -1", "predictor.threads: expected a whole number from 0 to 64, got -1"),
        ("threads = 65", "predictor.threads: expected a whole number from 0 to 64, got 65"),
        ("threads = 1.5", "predictor.threads: expected a whole number from 0 to 64, got 1.5"),
    ],
)
def test_threads_that_cannot_be_are_refused_by_name(
    line: str, reason: str, toml_path: Path
) -> None:
    toml_path.write_text(f"[predictor]\n{line}", "utf-8")
    with pytest.raises(SettingsError) as raised:
        load(toml_path, Settings)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("path", "environment", "where"),
    [
        (None, {}, None),
        (None, {"STATE_DIRECTORY": ""}, None),
        (None, {"STATE_DIRECTORY": "/var/lib/broker"}, "/var/lib/broker/broker.db"),
        (None, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a/broker.db"),
        ("mine.db", {"STATE_DIRECTORY": "/var/lib/broker"}, "mine.db"),
    ],
)
def test_the_store_is_where_it_was_named_else_where_systemd_keeps_state(
    path: str | None, environment: dict[str, str], where: str | None
) -> None:
    settings = Settings(recorder=RecorderSettings(path))
    assert store_of(settings, environment) == (Path(where) if where else None)


def test_a_url_takes_the_place_of_any_file() -> None:
    url = "postgresql://broker@db1,db2/quartet?sslmode=verify-full"
    environment = {"STATE_DIRECTORY": "/var/lib/broker"}
    settings = Settings(recorder=RecorderSettings(url=url))
    assert store_of(settings, environment) == url
    own = with_store(settings.recorder, "mine.db")
    assert (own.path, own.url) == ("mine.db", None)
    assert with_store(own, url) == settings.recorder


def test_a_url_and_a_file_contradict_each_other() -> None:
    with pytest.raises(SettingsError, match=r"recorder\.url: contradicts recorder\.path"):
        check(Settings(recorder=RecorderSettings("a.db", "postgresql://b/c")))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["url = 'postgresql://a:secret@b/c'"], "recorder.url: contains a password"),
        (["url = 'postgresql://b/c?user=a&password=secret'"], "recorder.url: contains a password"),
        (["url = 'postgresql://a:@b/c'"], "recorder.url: contains a password"),
        (["url = 'postgresql://b/c?sslpassword=secret'"], "recorder.url: contains a password"),
        (["url = 'postgresql://b:99999/c'"], "recorder.url: expected a port from 1 to 65535"),
        (["url = 'postgresql://a@b,[::1]:0/c'"], "recorder.url: expected a port from 1 to 65535"),
        (["url = 'postgresql://a:se/cret@b/c'"], "recorder.url: expected a port from 1 to 65535"),
        (["url = 'http://b/c'"], "recorder.url: a database has a URL such as postgresql://"),
    ],
)
def test_a_url_of_no_database_or_with_a_password_is_refused(
    lines: list[str], reason: str, toml_path: Path
) -> None:
    toml_path.write_text("\n".join(["[recorder]", *lines]), "utf-8")
    with pytest.raises(SettingsError) as raised:
        load(toml_path, Settings)
    assert f": {reason}" in str(raised.value)
    assert "secret" not in str(raised.value)


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
    (["--config", "wrong.toml"], 'wrong.toml: log.level: expected "debug", "info"'),
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tls]\ncertificate = 'a'", "tls.key: missing"),
        ("[tls]\ncertificate = 'a'\nkey = 'b'", "tls.client_ca: missing: name the authority"),
        (
            "[tls]\ncertificate = 'a'\nkey = 'b'\nclient_ca = 'c'\n"
            "require_client_certificate = false",
            "tls.client_ca: contradicts require_client_certificate",
        ),
        (
            "[tls]\ncertificate = 'a'\nkey = 'b'\nrequire_client_certificate = false\ncrl = 'd'",
            "tls.crl: needs client_ca",
        ),
        ("[access]\nagents = ['press 1']", "access.agents[0]: expected"),
        (
            "[access]\nagents = 'press-1'",
            "access.agents: expected a list, for example [\"press-1\"], got 'press-1'",
        ),
        ("[limits]\nstreams_per_agent = 1", "limits.streams_per_agent: expected"),
        ("[limits]\nstreams = 0", "limits.streams: expected"),
    ],
)
def test_trust_that_is_half_said_is_named(text: str, message: str, toml_path: Path) -> None:
    toml_path.write_text(text, "utf-8")
    with pytest.raises(SettingsError) as raised:
        load(toml_path, Settings)
    assert f"{toml_path}: {message}" in str(raised.value)


def test_tls_opens_the_door_to_other_machines_and_insecure_contradicts_it(toml_path: Path) -> None:
    toml_path.write_text(
        "[listen]\naddress = '0.0.0.0:8061'\n[tls]\ncertificate = 'a'\nkey = 'b'\nclient_ca = 'c'",
        "utf-8",
    )
    check(load(toml_path, Settings))
    toml_path.write_text("[listen]\ninsecure = true\n" + toml_path.read_text()[9:], "utf-8")
    with pytest.raises(SettingsError, match=r"listen.insecure: contradicts"):
        check(load(toml_path, Settings))


@pytest.mark.parametrize(
    ("command", "default"),
    [
        *((["store", verb], "as configured") for verb in ("check", "repair", "backup", "restore")),
        *(([verb], "as configured") for verb in ("ledger", "rebase", "forget")),
        (["run"], "as configured; otherwise they are kept in memory"),
    ],
)
def test_the_help_says_which_store_is_meant_by_default(
    command: list[str], default: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"(default: {default})" in said
