"""All receivers that are configured, and a test of each."""

import time
from collections import Counter
from collections.abc import Sequence

from broker.notify import words
from broker.notify.config import Settings
from broker.notify.mail import Mail
from broker.notify.target import DeliveryError, Target
from broker.notify.webhook import Webhook
from quartet.clock import Clock


def receivers(settings: Settings, clock: Clock = time) -> list[Target]:
    """As configured, each with a name of its own. SettingsError."""
    found: list[Target] = []
    seen: Counter[str] = Counter()
    for each in settings.webhook:
        seen[each.host] += 1
        number = f" ({seen[each.host]})" if seen[each.host] > 1 else ""
        found.append(Webhook(each, f"webhook {each.host}{number}", clock))
    return [*found, Mail(settings.mail)] if settings.mail else found


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
