"""Receivers by their names, whatever is edited between two runs."""

from pathlib import Path

import pytest
from support.notices import alarm

from broker.notify.config import Settings, WebhookSettings
from broker.notify.outbox import Outbox, Place
from broker.notify.receivers import receivers, renamed

pytestmark = pytest.mark.real

MESSAGE = alarm("m1")


def configured(*webhooks: tuple[str, str | None]) -> Settings:
    """With these paths on one host, and their names."""
    urls = [(f"http://127.0.0.1/{path}", name) for path, name in webhooks]
    return Settings(webhook=tuple(WebhookSettings(url, name) for url, name in urls))


def outbox(path: Path, settings: Settings) -> Outbox:
    return Outbox(path, [each.name for each in receivers(settings)], renamed(settings))


async def waiting(path: Path, settings: Settings) -> list[str]:
    """The receivers that have an unsent message."""
    box = outbox(path, settings)
    found = [each.name for each in receivers(settings) if await box.next(each.name)]
    await box.close()
    return found


def test_without_a_name_it_is_called_by_its_host() -> None:
    names = [each.name for each in receivers(configured(("a", None), ("b", None), ("c", "chat")))]
    assert names == ["webhook 127.0.0.1", "webhook 127.0.0.1 (2)", "webhook chat"]


async def test_a_name_keeps_unsent_messages_when_the_file_is_edited(tmp_path: Path) -> None:
    path = tmp_path / "notify.db"
    a, b = ("a", "a"), ("b", "b")
    box = outbox(path, configured(a, b))
    await box.save(Place(), [MESSAGE])
    await box.remove("webhook a", MESSAGE)
    await box.close()
    assert await waiting(path, configured(b, a)) == ["webhook b"]
    assert await waiting(path, configured(("moved", "b"))) == ["webhook b"]
    assert await waiting(path, configured(a)) == []


async def test_a_webhook_that_gets_a_name_keeps_its_messages(tmp_path: Path) -> None:
    path = tmp_path / "notify.db"
    box = outbox(path, configured(("a", None), ("b", None)))
    await box.save(Place(), [MESSAGE])
    await box.remove("webhook 127.0.0.1", MESSAGE)
    await box.close()
    assert await waiting(path, configured(("a", "first"), ("b", "second"))) == ["webhook second"]
