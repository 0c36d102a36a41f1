"""notify.toml: what is right, and what a slip is told."""

from pathlib import Path

import pytest

from broker.notify.config import Settings, check, database_path, store_of, with_options
from quartet.errors import SettingsError
from quartet.settings import parse

WEBHOOK = '[[webhook]]\nurl = "https://hooks.plant.lan/x"\n'
MAIL = '[mail]\nhost = "mail.plant.lan"\nsender = "a@plant.lan"\nto = ["b@plant.lan"]\n'


def parsed(text: str) -> Settings:
    return parse(text, Path("notify.toml"), Settings)


def refused(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        check(parsed(text))
    return str(caught.value)


def test_several_webhooks_and_mail_are_right() -> None:
    settings = parsed(
        WEBHOOK + '[[webhook]]\nurl = "http://127.0.0.1:1880/alarm?t=1"\n' + MAIL + "port = 2525\n"
    )
    check(settings)
    assert [each.host for each in settings.webhook] == ["hooks.plant.lan", "127.0.0.1"]
    assert settings.mail
    assert settings.mail.port_to_use == 2525


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465)])
def test_the_port_is_the_usual_one(security: str, port: int) -> None:
    mail = parsed(f'{MAIL}security = "{security}"').mail
    assert mail
    assert mail.port_to_use == port


@pytest.mark.parametrize(
    "url",
    [
        "ftp://SECRET.lan/",
        "https://",
        "https://SECRET host/",
        "SECRET",
        "https://h:99999/SECRET",
        "https://h:0/SECRET",
        "https://user:SECRET@h/",
        "https://h/SECRET#x",
        "https://h/SECRET\\r\\nX: y",
        "https://h/SECRÉT",
        "https://[::1/SECRET",
        "http://hooks.plant.lan/SECRET",
    ],
)
def test_a_wrong_url_is_told_without_its_secret(url: str) -> None:
    said = refused(f'[[webhook]]\nurl = "{url}"\n')
    assert said.startswith("notify.toml: webhook[1].url: ")
    assert "SECR" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[webhook]\nurl = "https://h/SECRET"',
            "webhook: expected tables, each under [[webhook]],",
        ),
        ('webhook = ["https://h/SECRET"]', "webhook[1]: expected a table, [webhook[1]], got text"),
        ('webhook = "h/SECRET"', "each under [[webhook]], got text in quotes"),
        ('[[webhook]]\nurl = ["h/SECRET"]', "webhook[1].url: expected text in quotes, got a list"),
        ('[mail]\nhost = { url = "h/SECRET" }', "mail.host: expected text in quotes, got a table"),
        ('[mail]\nport = "smtp://u:SECRET@h"', "from 1 to 65535, got 'smtp://u:...@h'"),
        ("[[webhook]]\nurl = https://h/SECRET x", 'text is written in quotes: "https://h/... x"'),
        ('[[webhook]]\nurl = "https://h/SECRET', "the closing quote is missing"),
        ("[[webhook]]\nurl = h/SECRET", "line 2: is not TOML: url = ...: "),
    ],
)
def test_a_refused_value_that_may_hold_a_secret_is_not_repeated(text: str, said: str) -> None:
    told = refused(text)
    assert said in told
    assert "SECRET" not in told


def test_who_wants_no_encryption_says_so() -> None:
    parsed('[[webhook]]\nurl = "http://hooks.plant.lan/"\ninsecure = true\n')
    assert "mail.security: " in refused(f'{MAIL}security = "none"\n')
    parsed(f'{MAIL}security = "none"\ninsecure = true\n')


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        ('to = ["x@y.z", "b@plant.lan\\r\\nBcc: c@d.e"]', "mail.to: expected an address"),
        ('to = ["shift"]', "mail.to: expected an address"),
        ("to = []", "mail.to: names nobody"),
        ('host = "mail.plant.lan:25"', "mail.host: expected a name or an address without a port"),
        ('sender = "Quartet <a@b.c>"', "mail.sender: expected an address"),
    ],
)
def test_a_wrong_address_is_told(slip: str, said: str) -> None:
    key = slip.partition(" ")[0]
    lines = [line for line in MAIL.splitlines() if not line.startswith(key)]
    assert said in refused("\n".join([*lines, slip]))


def test_a_user_needs_a_password() -> None:
    assert "mail.user: needs password_file" in refused(f'{MAIL}user = "u"\n')


def test_who_has_no_receiver_is_told() -> None:
    assert refused("").startswith("webhook: nobody receives a message: add [[webhook]] or [mail]")


def test_a_slip_in_a_webhook_names_which() -> None:
    said = refused(f"{WEBHOOK}[[webhook]]\nurl = 'https://h/'\ntimeout_s = 0\nsecretfile = 'x'\n")
    assert "webhook[2].timeout_s: expected a number from 1 to 120, got 0" in said
    assert "webhook[2].secretfile: unknown key; did you mean 'secret_file'?" in said


def test_no_two_receivers_have_the_same_name() -> None:
    for first, second in [("name = 'a'\n", "name = 'a'\n"), ("", "name = 'hooks.plant.lan'\n")]:
        said = refused(f"{WEBHOOK}{first}{WEBHOOK}{second}")
        assert said.startswith("webhook.name: 2 receivers are called 'webhook ")
        assert said.endswith(": give each another name")


def test_a_name_that_is_none_is_told() -> None:
    said = refused(f"{WEBHOOK}name = 'shift chat'\n")
    assert "webhook[1].name: expected 1 to 64 of A-Z a-z 0-9 . _ -, got 'shift chat'" in said


def test_the_file_is_in_the_state_directory_or_beside_the_store() -> None:
    settings = with_options(parsed(WEBHOOK), "/srv/broker.db", None)
    store = store_of(settings, {})
    assert database_path(settings, store, {}) == Path("/srv/notify.db")
    assert database_path(settings, store, {"STATE_DIRECTORY": "/s"}) == Path("/s/notify.db")
    url = with_options(parsed(WEBHOOK), "postgresql://b@db/q", None)
    assert database_path(url, store_of(url, {}), {}) is None
    given = with_options(url, None, "/t/n.db")
    assert database_path(given, store_of(given, {}), {}) == Path("/t/n.db")
