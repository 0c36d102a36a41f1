"""A file of settings that is no TOML, or cannot be read."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from support.settings import refusal

import agent.config
import broker.config
from quartet.errors import QuartetError, SettingsError
from quartet.settings import load

many = profile(derandomize=True, deadline=None, max_examples=60)


@pytest.mark.parametrize(
    "raw",
    [
        "[link",
        "window",
        "a = 1\na = 2",
        "[link]\n[link]",
        "a = 01",
        "a = 2024-13-01",
        b"\0",
        "a = " + "[" * 5_000,  # deeper than Python's stack
        "a = " + "1" * 5_000,  # more digits than Python reads
    ],
)
def test_what_is_no_toml_is_refused_as_such(toml_path: Path, raw: bytes | str) -> None:
    lines = refusal(toml_path, agent.config.Settings, raw)
    assert "is not TOML: " in lines[0]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            "[sampling]\nrate_hz = 0,1",
            "line 2: is not TOML: rate_hz = 0,1: a decimal number is written with a point: 0.1",
        ),
        ("x = {min = 0,5, max = 3}", "with a point: 0.5"),
        ("[agent]\nid = press-4 # we", 'text is written in quotes: "press-4"'),
        ("address = 127.0.0.1:8061", 'text is written in quotes: "127.0.0.1:8061"'),
        ("id = \u201cpress-4\u201d", "text is written in straight quotes"),
        ('id = "press-4\n[broker]', "the closing quote is missing"),
        ("insecure = True", "true and false are written in lower case"),
        ("ttl_s = 10.0 s", "a number is written without its unit"),
        ("id", "line 1: is not TOML: id: Expected '=' after a key in a key/value pair"),
        ("[link]\n[link]", "line 2: is not TOML: [link]: this table is there already"),
        ("a.b = 1\na = 2", "line 2: is not TOML: a = 2: Cannot overwrite a value"),
        ("[link]\nwindow = [1,", "line 2: is not TOML: window = [1,: "),
        ("[link]\nwindow = 1\nwindow = 2", "window = 2: line 2 sets link.window already"),
        (
            "[outputs.alarm]\npin = 1\nsafe = 'on'\n#[outputs.status]\npin = 2",
            "line 5: is not TOML: pin = 2: line 2 sets outputs.alarm.pin already; line 4,"
            ' [outputs.status], is commented out: remove its "#"',
        ),
    ],
)
def test_a_slip_in_toml_is_named_by_its_line_and_its_text(
    toml_path: Path, raw: str, expected: str
) -> None:
    (line,) = refusal(toml_path, agent.config.Settings, raw)
    assert expected in line


MQTT = "[outputs.mqtt]\naddress = 'a:1'\n"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("[broker]\nproxy = http://me:s3cret@web:3128", "proxy = http://me:...@web:3128"),
        ("[broker]\nproxy = ['http://me:s3cret@web:3128']", "got ['http://me:...@web:3128']"),
        ("[broker]\nproxy = 'http://me:s3cret@web:3128'", "without a user or password"),
        ("[outputs]\nmqtt = 'mqtt://me:s3@cret@web'", "got text in quotes"),
        ("[outputs.mqtt]\npassword = s3cret", "password = ..."),
        ("url = https://me:s3@hooks.lan/T0/s3cret", "url = https://me:...@hooks.lan/...: text is"),
        (f"{MQTT}password = 's3cret'", "did you mean 'password_file'?"),
        (f"{MQTT}password_file = ['s3cret']", "password_file: expected text in quotes, got a list"),
        (f"{MQTT}password_file = 4711", "password_file: expected text in quotes, got a number"),
        (
            "[tls]\nca = 'c'\ncertificate = 'a'\nkey = ['s3cret']",
            "tls.key: expected text in quotes, got a list",
        ),
    ],
)
def test_what_may_be_secret_is_not_repeated(toml_path: Path, raw: str, expected: str) -> None:
    (line,) = refusal(toml_path, agent.config.Settings, raw)
    assert expected in line
    assert "cret" not in line
    assert "4711" not in line


def test_an_unknown_key_below_a_table_that_is_commented_out_is_told_so(toml_path: Path) -> None:
    lines = refusal(toml_path, agent.config.Settings, "[broker]\nx = 1\n# [tls]\nca = 'ca.pem'")
    assert lines == [
        "broker.x: unknown key; known keys are address, insecure, proxy",
        "broker.ca: unknown key; known keys are address, insecure, proxy; line 3, [tls], is"
        ' commented out: remove its "#"',
    ]


@profile(many, max_examples=100)
@given(st.binary(max_size=40) | st.text("[]{}='\"#.,\n ab1-:TZ", max_size=40).map(str.encode))
def test_any_bytes_give_settings_or_a_settings_error(toml_path: Path, raw: bytes) -> None:
    toml_path.write_bytes(raw)
    try:
        read = load(toml_path, broker.config.Settings)
    except SettingsError as error:
        refusal = str(error)
    else:
        assert isinstance(read, broker.config.Settings)
        return
    assert refusal.startswith(f"{toml_path}: ")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda _: None,
            "No such file or directory: write it, or name another file with --config",
        ),
        (Path.mkdir, "Is a directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    path = tmp_path / "some.toml"
    make(path)
    with pytest.raises(SettingsError) as raised:
        load(path, agent.config.Settings)
    assert str(raised.value) == f"{path}: cannot be read: {reason}"


def test_a_settings_error_is_shown_to_a_person_and_is_a_value_error() -> None:
    assert issubclass(SettingsError, QuartetError)
    assert issubclass(SettingsError, ValueError)


def test_a_file_in_another_encoding_is_told_so_by_its_line(toml_path: Path) -> None:
    toml_path.write_bytes(b"[log]\n# 20 \xb0C\n")
    with pytest.raises(SettingsError, match="line 2: is not UTF-8: save the file as UTF-8"):
        load(toml_path, agent.config.Settings)


def test_a_mark_at_the_begin_of_a_file_is_no_matter(toml_path: Path) -> None:
    toml_path.write_bytes(b"\xef\xbb\xbf[log]\nlevel = 'debug'\n")
    assert load(toml_path, agent.config.Settings).log.level == "debug"
