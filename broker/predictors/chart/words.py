"""What the charts tell people."""

import math
from collections.abc import Iterable, Sequence

from broker.predictors import OVER, UNTIL_RESET
from quartet.plural import counted

# Less than this is no shift that a person could find at the machine.
SHOWN_SPREADS = 1.0

# From here on, digits behind the point say nothing; and from there on, no digit does.
_WHOLE_FROM, _MOST_SHOWN = 999.5, 1_000_000


def names(channels: Iterable[int]) -> str:
    """What people call channels that are counted from 0."""
    return ", ".join(f"sensor{channel + 1}" for channel in channels)


def learned(rows: int, used: int | None, moving: Sequence[int]) -> str:
    """A baseline was learned after `rows`, from the latest `used` of them; None: from all."""
    news = f"baseline learned, after {counted(rows, 'row')}"
    if used is not None:
        news += f", from the last {used}: the level had jumped"
    if moving:
        news += f", though the level of {names(moving)} still moves"
    return news


def alarm(name: str, value: float, limit: float, shares: Iterable[float]) -> str:
    """A statistic is above its limit, and so much of it is each channel's."""
    ranked = sorted(enumerate(shares), key=lambda part: -part[1])
    told = ", ".join(f"{names([channel])} {share:.0%}" for channel, share in ranked)
    shown, its_limit = number(value, ".3g"), number(limit, ".3g")
    return f"alarm: {name} is {shown}, its limit {its_limit}: {told}"


def off(distance: float, by: Iterable[float]) -> str:
    """A distance in spreads, and the channels behind it, the farthest first."""
    ranked = sorted(enumerate(by), key=lambda part: -abs(part[1]))
    shown = [
        f"{names([channel])} {number(spreads, '+.1f')}"
        for place, (channel, spreads) in enumerate(ranked)
        if place == 0 or abs(spreads) >= SHOWN_SPREADS
    ]
    return f"{number(distance, '.1f')} spreads off ({', '.join(shown)})"


def number(value: float, form: str) -> str:
    """A number in that form; whole, if it is large, and not at length, if it is huge."""
    if abs(value) < _WHOLE_FROM:
        return format(value, form)
    sign = "+" if form.startswith("+") else ""
    if abs(value) > _MOST_SHOWN:
        return f"{'over' if value > 0 else 'below'} {math.copysign(_MOST_SHOWN, value):{sign},.0f}"
    return f"{value:{sign},.0f}"


def at_rest(how: str, shift: str | None, *, was_alarm: bool, is_alarm: bool) -> str:
    """A machine lies still again, this far from where it was learned."""
    news = f"{how}, {shift}" if shift else how
    if is_alarm:
        return f"{news}: too far to accept, {UNTIL_RESET}"
    return f"{OVER}{news}" if was_alarm else news
