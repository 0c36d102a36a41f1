"""All receivers that are configured, and a test of each."""

import time
from collections.abc import Mapping, Sequence

from broker.notify import words
from broker.notify.config import Settings, webhook_names
from broker.notify.mail import Mail
from broker.notify.target import DeliveryError, Target
from broker.notify.webhook import Webhook
from quartet.clock import Clock


def receivers(settings: Settings, clock: Clock = time) -> list[Target]:
    """As configured, each with a name of its own. SettingsError."""
    webhooks = zip(settings.webhook, webhook_names(settings), strict=True)
    found: list[Target] = [Webhook(each, name, clock) for each, (name, _) in webhooks]
    return [*found, Mail(settings.mail)] if settings.mail else found


def renamed(settings: Settings) -> Mapping[str, str]:
    """By what a receiver was called without its name, what it is called now."""
    return {by_host: name for name, by_host in webhook_names(settings) if name != by_host}


async def tried(targets: Sequence[Target], clock: Clock = time) -> bool:
    """Send one message to each, and print what happened; whether all have it."""
    message, reached = words.trial(clock.time_ns()), 0
    for target in targets:
        began_s = clock.monotonic()
        try:
            said = await target.send(message)
        except DeliveryError as error:
            print(f"{target.name}: FAILED: {error}")
        else:
            reached += 1
            print(f"{target.name}: {said}, after {clock.monotonic() - began_s:.1f} s")
    return reached == len(targets)
