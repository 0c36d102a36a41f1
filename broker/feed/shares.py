"""What part each sensor has in an alarm, by what the predictor said."""

from quartet.blame import named_in
from quartet.channels import CHANNELS

Shares = tuple[float | None, ...]


def shares(text: str) -> Shares | None:
    """By channel the part, 0 to 1, that "sensor2 74%" says; None for a channel without.

    None, where the text says no part at all. Of a sensor that is named twice the first counts.
    """
    found: list[float | None] = [None] * CHANNELS
    for index, percent in named_in(text):
        if percent is not None and found[index] is None:
            found[index] = min(percent, 100.0) / 100
    return None if all(each is None for each in found) else tuple(found)


def most_blamed(text: str) -> int | None:
    """The channel with the largest part; where none has any, the first that is named."""
    named = list(named_in(text))
    if not named:
        return None
    return max(named, key=lambda each: -1.0 if each[1] is None else each[1])[0]
