"""Messages of `broker notify`, and what a target says of one that it could not send."""

import pytest

from broker.feed import Event, Kind
from broker.judged import S_NS
from broker.notify import words
from broker.notify.message import Message
from broker.notify.target import DeliveryError, Target

AT_NS = 1_750_000_000 * S_NS


def alarm(agent: str, reason: str = "hot", at_ns: int = AT_NS) -> Message:
    """The message that an alarm begins, which has begun at AT_NS."""
    return words.single(Event(Kind.ALARM_BEGUN, agent, at_ns, AT_NS, reason, AT_NS))


async def failed(target: Target, message: Message) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await target.send(message)
    return caught.value
