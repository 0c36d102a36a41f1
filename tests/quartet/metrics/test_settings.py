from pathlib import Path

import pytest

from broker.config import Settings, check, for_process
from broker.console.config import ConsoleSettings
from broker.console.config import check as check_console
from quartet.errors import SettingsError
from quartet.metrics.settings import MetricsSettings, on_port
from quartet.settings import parse


def read(text: str) -> MetricsSettings:
    return parse(f"[metrics]\n{text}", Path("broker.toml"), Settings).metrics


def test_nothing_listens_by_default() -> None:
    assert Settings().metrics.address is None


def test_other_machines_may_ask_only_where_that_is_told() -> None:
    with pytest.raises(SettingsError, match=r"metrics\.listen: 0\.0\.0\.0:9461 is open to other"):
        read('listen = "0.0.0.0:9461"')
    assert read('listen = "0.0.0.0:9461"\ninsecure = true').listen == "0.0.0.0:9461"
    assert read('listen = "[::1]:9461"').listen == "[::1]:9461"


@pytest.mark.parametrize("address", ["9461", "127.0.0.1", "127.0.0.1:70000", "unix:/run/x"])
def test_a_bad_address_is_named_by_its_key(address: str) -> None:
    with pytest.raises(SettingsError, match=r"metrics\.listen: expected HOST:PORT"):
        read(f'listen = "{address}"')


def test_the_port_of_the_pages_or_of_agents_is_refused() -> None:
    mine = MetricsSettings(listen="127.0.0.1:8061")
    with pytest.raises(SettingsError, match=r"metrics\.listen: is also listen\.address"):
        check(Settings(metrics=mine))
    pages = MetricsSettings(listen="127.0.0.1:8080")
    with pytest.raises(SettingsError, match=r"metrics\.listen: is also console\.listen"):
        check_console(ConsoleSettings(metrics=pages))


def test_each_process_has_a_port_of_its_own() -> None:
    text = '[recorder]\nurl = "postgresql://db/x"\n[listen]\nshared = true\n'
    text += '[metrics]\nlisten = "127.0.0.1:9461"'
    settings = parse(text, Path("broker.toml"), Settings)
    assert [for_process(settings, number).metrics.listen for number in (1, 3)] == [
        "127.0.0.1:9461",
        "127.0.0.1:9463",
    ]
    assert on_port(MetricsSettings(listen="127.0.0.1:0"), 2).listen == "127.0.0.1:0"
    with pytest.raises(SettingsError, match=r"metrics\.listen of process 2"):
        on_port(MetricsSettings(listen="127.0.0.1:65535"), 2)
