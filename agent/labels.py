"""What the broker is told of the sensors: their names and units."""

import logging
from collections.abc import Sequence

from quartet.foreign import shown
from wire import sensors
from wire.sensors import Label

log = logging.getLogger(__name__)


def told(labels: Sequence[Label | None]) -> bytes:
    """The labels as they are sent; logged where they are not quite what they were."""
    encoded = sensors.encode(labels)
    for label, sent in zip(labels, sensors.decode(encoded), strict=True):
        if label and sent and label != sent:
            log.warning(
                "the broker gets the sensor '%s' as '%s': a name has at most %d characters, a unit"
                " %d, and all together %d bytes",
                *(_spelled(label), _spelled(sent)),
                *(sensors.MOST_IN_NAME, sensors.MOST_IN_UNIT, sensors.MOST_BYTES),
            )
    return encoded


def _spelled(label: Label) -> str:
    return shown(f"{label.name} [{label.unit}]" if label.unit else label.name)
