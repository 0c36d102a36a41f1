"""A line at several lengths of time at once: its rows, and means of 30, 900 and 27,000 of them."""

import struct
from array import array

from broker.predictors import OVER
from broker.predictors.chart import vectors
from broker.predictors.chart.scale import Phase, Scale
from broker.predictors.chart.slow import SlowScale
from quartet.channels import CHANNELS, FLOAT32_MAX, Values
from quartet.plural import counted

# A point of a slower scale is the mean of so many of the next faster one. At 10 rows a second the
# scales see what takes seconds, minutes, hours and days; a factor of 30 leaves no gap between the
# 20 points that MEWMA looks back over and the 500 with which a level follows.
_POINTS = 30
_NUMBERS = _POINTS * CHANNELS
_MOST_WAIT = _NUMBERS - CHANNELS
# The rows of a point, and the points of a warm-up. At 10 rows a second 1000 points of 900 rows are
# a day, and hold whatever comes with it; 300 points of 27,000 rows are nine days.
_SLOWER = ((_POINTS, 1000), (_POINTS**2, 1000), (_POINTS**3, 300))

# A member of an enumeration is found slowly, and this one is asked for with each row.
_QUIET = Phase.QUIET

# Of each scale: the length of its state, and how many points of the next slower scale's wait.
_PART = struct.Struct("<HB")


class Scales:
    """The scales of one line. A slower one waits while a faster one learns or is in alarm.

    So no point of a slower scale holds rows of an alarm; and a step that a faster one has settled
    is handed on, and told by none of the others. Not thread-safe.
    """

    __slots__ = ("_gathered", "_ladder", "_scales", "_slower", "first", "is_alarm")

    def __init__(
        self,
        t2_limit: float,
        mewma_limit: float,
        settle: int,
        slow: type[SlowScale] = SlowScale,
    ) -> None:
        self.first = Scale(t2_limit, mewma_limit, settle)
        """The one of single rows."""
        limits = t2_limit, mewma_limit
        self._slower = [slow(self.first, limits, settle, *each) for each in _SLOWER]
        self._scales = [self.first, *self._slower]
        # Behind each scale, its points that are to be one of the next: number after number, for
        # a tuple of four takes six times the memory.
        self._gathered = [array("d") for _ in self._scales]
        self._ladder = tuple(zip(self._scales, self._gathered, strict=True))
        self.is_alarm = False
        """Whether any scale is in alarm."""

    def add(self, values: Values) -> str | None:
        """Take a row; what is new with it, for a person."""
        first, gathered = self.first, self._gathered[0]
        first.add(values)
        if first.news is None and first.phase is _QUIET and len(gathered) < _MOST_WAIT:
            gathered.extend(values)
            return None
        return self._pass_on(values)

    def _pass_on(self, values: Values) -> str | None:
        """Heed what is new with a scale, and give the next its point, once that is whole."""
        told = []
        for place, (scale, gathered) in enumerate(self._ladder):
            if place:
                scale.add(values)
            if scale.news is not None:
                self._heed(place, scale)
                news = self._with_others(scale.news)
                told.append(_over(_POINTS**place, news) if place else news)
            if scale.phase is not _QUIET:
                break
            gathered.extend(values)
            if len(gathered) < _NUMBERS:
                break
            values = vectors.mean(_points(gathered))
            del gathered[:]
        return "; ".join(told) or None

    def _heed(self, place: int, scale: Scale) -> None:
        """Take what is new with a scale; hand a step on."""
        if scale.is_alarm or scale.jump is not None:
            # Some of them are from before the change, and some from after it.
            del self._gathered[place][:]
        if scale.jump is not None:
            slower = zip(self._slower[place:], self._gathered[place + 1 :], strict=True)
            for each, gathered in slower:
                each.accept(scale.jump)
                points = _points(gathered)
                del gathered[:]
                for point in points:
                    moved = vectors.added(point, scale.jump)
                    gathered.extend(vectors.bounded(moved, FLOAT32_MAX))
        self.is_alarm = any(each.is_alarm for each in self._scales)

    def _with_others(self, news: str) -> str:
        """The news of a scale; the end of its alarm is not that of another scale."""
        rest = news.removeprefix(OVER)
        if rest == news or not self.is_alarm:
            return news
        place = next(place for place, each in enumerate(self._scales) if each.is_alarm)
        return f"{rest}; still in alarm over the last {counted(_POINTS**place, 'row')}"

    def statistics(self) -> dict[str, tuple[float, float]]:
        """The latest numbers of all that have learned, each with its limit."""
        return {name: each for scale in self._scales for name, each in scale.statistics().items()}

    def snapshot(self) -> bytes:
        """The whole state, below 3 kB a scale."""
        state = b""
        for scale, gathered in self._ladder:
            its = scale.snapshot()
            state += _PART.pack(len(its), len(gathered) // CHANNELS) + its
            state += struct.pack(f"<{len(gathered)}d", *gathered)
        return state

    def restore(self, state: bytes) -> None:
        """Be in the state of a snapshot. struct.error or ValueError for what is none."""
        place = 0
        for scale, gathered in self._ladder:
            size, points = _PART.unpack_from(state, place)
            place += _PART.size
            scale.restore(state[place : place + size])
            place += size
            if points >= _POINTS:
                raise ValueError(f"{points} points that wait to be one")
            numbers = vectors.sound(struct.unpack_from(f"<{points * CHANNELS}d", state, place))
            place += points * CHANNELS * struct.calcsize("<d")
            gathered[:] = array("d", numbers)
        if place != len(state):
            raise ValueError(f"{len(state) - place} bytes behind the scales")
        if any(scale.spread and not self.first.spread for scale in self._slower):
            raise ValueError("a scale that has learned before that of rows")
        self.is_alarm = any(scale.is_alarm for scale in self._scales)


def _points(numbers: "array[float]") -> list[Values]:
    each = iter(numbers)
    return list(zip(each, each, each, each, strict=True))


def _over(rows: int, news: str) -> str:
    """What is new with means of so many rows."""
    span, reason = counted(rows, "row"), news.removeprefix("alarm: ")
    return (
        f"scale of {span}: {news}" if reason == news else f"alarm: over the last {span}, {reason}"
    )
