"""How fast an ADS1115 is read: which data rate keeps a cadence, and what the best one is. Pure."""

from agent.errors import CadenceError

DATA_RATES: dict[int, int] = {
    8: 0x0000,
    16: 0x0020,
    32: 0x0040,
    64: 0x0060,
    128: 0x0080,
    250: 0x00A0,
    475: 0x00C0,
    860: 0x00E0,
}
"""Conversions a second, nominal, and their bits of the config register."""

# The oscillator of the slowest chip (data sheet, "Data rate variation"): its
# conversions take 1/0.9 of their nominal time, which is more than 1.1 of it.
_SLOWEST = 0.9

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


def row_ns(data_rate: int, channels: int, average: int, overhead_ns: int) -> int:
    """How long all channels take; overhead is what a reading costs on top of its conversion."""
    return round(_MARGIN * channels * average * (conversion_ns(data_rate) + overhead_ns))


def best_rate_hz(channels: int, average: int, overhead_ns: int) -> float:
    """Rows a second that can be kept at the most."""
    return 1e9 / row_ns(max(DATA_RATES), channels, average, overhead_ns)


def choose_data_rate(period_ns: int, channels: int, average: int, overhead_ns: int) -> int:
    """The lowest data rate that keeps the cadence: it averages noise best.

    A row takes a second at the most. With room for a busy computer, but at the
    highest rate. CadenceError, with the best rate that can be kept, where none keeps it.
    """
    for data_rate in DATA_RATES:
        if row_ns(data_rate, channels, average, _BUSY * overhead_ns) <= min(
            period_ns, _LONGEST_ROW_NS
        ):
            return data_rate
    if row_ns(max(DATA_RATES), channels, average, overhead_ns) <= period_ns:
        return max(DATA_RATES)
    best_hz = best_rate_hz(channels, average, overhead_ns)
    fewer = f", or average fewer than {average} conversions" if average > 1 else ""
    raise CadenceError(
        f"sampling.rate_hz: {1e9 / period_ns:g} samples a second are too many for this device: each"
        f" conversion needs {overhead_ns / 1e3:.0f} us more on the bus; choose at most"
        f" {int(best_hz * 10) / 10:g}{fewer}"
    )
