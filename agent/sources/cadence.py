"""How fast a chip is read: which data rate keeps a cadence, and what the best one is. Pure."""

from dataclasses import dataclass

from agent.errors import CadenceError
from agent.sources.models import Model

# The oscillator of the slowest and of the fastest chip (data sheet, "Data rate
# variation"): the conversions of the slowest take 1/0.9 of their nominal time, which is
# more than 1.1 of it.
_SLOWEST = 0.9
_FASTEST = 1.1

# The chip takes 25 us to wake up before it converts; rounded up.
_WAKE_UP_NS = 30_000

# The overhead is measured while nothing else goes on; beside a busy link a reading may
# cost twice as much.
_BUSY = 2

# Room for what comes seldom: a look at the configuration once a second, and a
# wake-up that is later than most.
_MARGIN = 1.01

# For so long a stop, and the watchdog, wait for a row to end.
_LONGEST_ROW_NS = 1_000_000_000


def conversion_ns(data_rate: int) -> int:
    """After so many ns the slowest chip has finished a conversion."""
    return round(1e9 / (_SLOWEST * data_rate)) + _WAKE_UP_NS


def unfinished_ns(data_rate: int) -> int:
    """Nanoseconds after which even the fastest chip has not finished a conversion."""
    return round(1e9 / (_FASTEST * data_rate))


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a reading costs on top of its conversion, in ns."""

    verified_ns: int
    """With the questions whether another program has used the chip meanwhile."""
    plain_ns: int
    """Without them."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a chip is read."""

    data_rate: int
    is_verified: bool
    """Whether there is time to verify each reading."""


def row_ns(data_rate: int, channels: int, average: int, overhead_ns: int) -> int:
    """How long all channels take; overhead is what a reading costs on top of its conversion."""
    return round(_MARGIN * channels * average * (conversion_ns(data_rate) + overhead_ns))


def best_rate_hz(model: Model, channels: int, average: int, overhead_ns: int) -> float:
    """Rows a second that can be kept at the most."""
    return 1e9 / row_ns(model.fastest, channels, average, overhead_ns)


def choose_pace(
    model: Model, period_ns: int, channels: int, average: int, overhead: Overhead
) -> Pace:
    """The lowest data rate that keeps the cadence with verified readings: it averages noise best.

    A row takes a second at the most. With room for a busy computer, but at the
    highest rate. Only where no data rate has room for it, readings are not verified.
    CadenceError, with the best rate that can be kept, where none keeps it.
    """
    room_ns = min(period_ns, _LONGEST_ROW_NS)
    for data_rate in model.data_rates:
        if row_ns(data_rate, channels, average, _BUSY * overhead.verified_ns) <= room_ns:
            return Pace(data_rate, is_verified=True)
    for overhead_ns, is_verified in ((overhead.verified_ns, True), (overhead.plain_ns, False)):
        if row_ns(model.fastest, channels, average, overhead_ns) <= period_ns:
            return Pace(model.fastest, is_verified)
    best_hz = best_rate_hz(model, channels, average, overhead.plain_ns)
    fewer = f", or average fewer than {average} conversions" if average > 1 else ""
    raise CadenceError(
        f"sampling.rate_hz: {1e9 / period_ns:g} samples a second are too many for this device: each"
        f" conversion needs {overhead.plain_ns / 1e3:.0f} us more on the bus; choose at most"
        f" {int(best_hz * 10) / 10:g}{fewer}"
    )
