"""Where the health check asks."""

import pytest

from broker.config import ListenSettings, Settings
from broker.healthcheck import configured


@pytest.mark.parametrize(
    ("listens", "asked"),
    [
        ("192.0.2.7:9000", "192.0.2.7:9000"),
        ("0.0.0.0:9000", "127.0.0.1:9000"),
        ("[::]:9000", "[::1]:9000"),
        ("broker.example:9000", "broker.example:9000"),
    ],
)
def test_a_broker_is_asked_where_it_listens_and_on_loopback_where_it_listens_everywhere(
    listens: str, asked: str
) -> None:
    assert str(configured(Settings(listen=ListenSettings(address=listens)))) == asked
