"""Up to four sensors at an ADS1115, a row at a time, through faults of the chip and of its bus."""

import logging
import math
import random
from collections.abc import Mapping, Sequence

from agent.clock import WaitableClock
from agent.errors import SourceError
from agent.sources.cadence import best_rate_hz, choose_pace
from agent.sources.channel import Channel
from agent.sources.chip import Chip
from agent.sources.faults import Fault, FaultLog, ReadingError
from quartet.backoff import Backoff
from quartet.channels import CHANNELS, Values
from wire.sensors import Label

log = logging.getLogger(__name__)

# A brown-out resets the configuration. At rates that leave no time to verify each reading,
# once a second is what a bus can spare. Two channels in a row are looked at: one may read
# back right by chance, of a multiplexer that is stuck there, or of a slow chip that
# ignored the start.
_VERIFY_NS = 1_000_000_000
_VERIFIED = 2

# What the look may tell: then nothing of this row is trusted, and each reading is
# verified until a row is right. Where each is verified anyway, another program spoils
# single readings.
_DOUBT = (Fault.LOST, Fault.SLOW)
_DOUBT_UNVERIFIED = (*_DOUBT, Fault.FOREIGN)

# In one row; and without a right value since, before the chip counts as gone. A chip that
# does not answer may cost a second of timeout each.
_MOST_ERRORS = 2

# What a sample has where there is no sensor.
_NO_SENSOR = 0.0

# A sensor that works has some noise; one that has none for so long may be no sensor.
# What is around 0 V is left alone: an input that is not used is tied to ground.
_UNCHANGED_NS = 600_000_000_000
_UNCHANGED_ROWS = 30
_GROUND_V = 0.001

# Between tries to open a chip that went away.
_REOPEN_MIN_S = 0.25
_REOPEN_MAX_S = 5.0


class Ads1115:
    """The source: opens the chip at once; read() and close() on one thread.

    Each channel is converted `average` times, in rounds over all of them, so that
    the middle of a row is that of each channel to within two readings. What is no
    channel is 0 in each row, and costs no conversion.
    """

    def __init__(
        self,
        chip: Chip,
        channels: Sequence[Channel],
        clock: WaitableClock,
        *,
        average: int,
        period_ns: int,
    ) -> None:
        """SourceError where there is no chip; CadenceError where it is too slow for the period."""
        self.labels: list[Label | None] = [None] * CHANNELS
        for channel in channels:
            self.labels[channel.number - 1] = Label(channel.label, channel.unit)
        self._chip = chip
        self._channels = channels
        self._clock = clock
        self._average = average
        self._log = FaultLog(clock)
        self._backoff = Backoff(_REOPEN_MIN_S, _REOPEN_MAX_S, random.Random())  # noqa: S311
        self._retry_at_ns = 0
        self._gone_with = Fault.NO_ANSWER
        self._verify_at_ns = 0
        self._verify_turn = 0
        self._in_doubt = False
        self._is_verified = False
        self._errors = 0
        self._last_codes: list[list[int]] = [[] for _ in channels]
        self._changed_at_ns = [clock.monotonic_ns()] * len(channels)
        self._rows_unchanged = [0] * len(channels)
        try:
            self._open(period_ns)
        except SourceError:
            chip.close()
            raise

    def _open(self, period_ns: int) -> None:
        chip = self._chip
        chip.open()
        count = len(self._channels)
        overhead = chip.measure_overhead(self._channels)
        pace = choose_pace(chip.model, period_ns, count, self._average, overhead)
        chip.data_rate, self._is_verified = pace.data_rate, pace.is_verified
        overhead_ns = overhead.verified_ns if pace.is_verified else overhead.plain_ns
        log.info(
            "%s: %d conversions a second, average = %d; the first and the last"
            " sensor of a sample are"
            " read %.1f ms apart",
            self._chip.name,
            chip.data_rate,
            self._average,
            (count - 1) * (chip.wait_ns + overhead_ns) / 1e6,
        )
        if chip.doubt:
            log.warning("%s: %s", chip.name, chip.doubt)
        if not pace.is_verified:
            log.info(
                "%s: at this rate_hz there is no time to verify each reading: if another program"
                " uses the chip, values may be wrong; up to %.1f samples a second are verified",
                chip.name,
                best_rate_hz(chip.model, count, self._average, overhead.verified_ns),
            )
        for channel in self._channels:
            if channel.beyond:
                log.warning("%s: %s", channel.name, channel.beyond)
        there = {channel.number for channel in self._channels}
        if missing := [f"sensor{n}" for n in range(1, CHANNELS + 1) if n not in there]:
            log.info('%s: input = "none", so the value is always 0', ", ".join(missing))

    @property
    def faults(self) -> Mapping[str, int]:
        """How many readings had each kind of fault. Any thread."""
        return self._log.counts

    @property
    def trouble(self) -> str:
        """What is wrong at the moment; empty when all is well. Any thread."""
        return self._log.trouble

    @property
    def due_ns(self) -> None:
        """A chip can be read at any time."""

    def read(self) -> Values:
        """One row, in the units of the sensors; NaN where a reading failed."""
        if not self._chip.is_open and not self._reopen():
            for _ in self._channels:
                self._log.note(self._chip.name, self._gone_with)
            self._log.end_episodes()
            return self._row([math.nan] * len(self._channels))
        codes, error = self._convert_all()
        if any(codes):
            self._errors = 0
            self._backoff.reset()
        elif error and error not in _DOUBT_UNVERIFIED and self._errors >= _MOST_ERRORS:
            self._go_away(error)
        values = [self._value(index, each, error) for index, each in enumerate(codes)]
        self._log.end_episodes()
        return self._row(values)

    def close(self) -> None:
        """Let go of the bus."""
        self._chip.close()

    def _row(self, values: Sequence[float]) -> Values:
        """A sample of the channels' values."""
        row = [_NO_SENSOR] * CHANNELS
        for channel, value in zip(self._channels, values, strict=True):
            row[channel.number - 1] = value
        first, second, third, fourth = row
        return first, second, third, fourth

    def _convert_all(self) -> tuple[list[list[int]], Fault | None]:
        """The codes of each channel, none of one that failed; and how it failed."""
        codes: list[list[int]] = [[] for _ in self._channels]
        failed: dict[int, Fault] = {}
        errors = 0
        turn = self._whose_turn()
        for number in range(self._average * len(self._channels)):
            index = number % len(self._channels)
            if index in failed:
                continue
            try:
                verify = self._is_verified or self._in_doubt or number in turn
                codes[index].append(self._chip.convert(self._channels[index], verify=verify))
            except ReadingError as error:
                failed[index] = error.fault
                if error.fault in (_DOUBT if self._is_verified else _DOUBT_UNVERIFIED):
                    self._errors += 1
                    self._in_doubt = True
                    return [[] for _ in self._channels], error.fault
                errors += error.fault is not Fault.FOREIGN
                if errors == _MOST_ERRORS:
                    break
        self._errors += errors
        self._in_doubt = self._in_doubt and bool(failed)
        complete = [each if len(each) == self._average else [] for each in codes]
        return complete, next(iter(failed.values()), None)

    def _value(self, index: int, codes: list[int], error: Fault | None) -> float:
        channel = self._channels[index]
        if not codes:
            self._log.note(self._chip.name, error or Fault.BUS_ERROR)
            return math.nan
        if any(map(channel.is_saturated, codes)):
            self._log.note(channel.name, Fault.SATURATED)
            return math.nan
        self._watch(index, channel, codes)
        value = channel.value(sum(codes) / len(codes))
        if not channel.is_in_range(value):
            self._log.note(channel.name, Fault.OUT_OF_RANGE, f"{value:.5g} {channel.unit}")
            return math.nan
        return value

    def _watch(self, index: int, channel: Channel, codes: list[int]) -> None:
        """Note a channel that has not changed at all for long."""
        now_ns = self._clock.monotonic_ns()
        self._rows_unchanged[index] += 1
        if codes != self._last_codes[index] or abs(codes[0] * channel.lsb_v) <= _GROUND_V:
            self._last_codes[index], self._changed_at_ns[index] = codes, now_ns
            self._rows_unchanged[index] = 0
        elif (
            now_ns - self._changed_at_ns[index] >= _UNCHANGED_NS
            and self._rows_unchanged[index] >= _UNCHANGED_ROWS
        ):
            self._log.note(channel.name, Fault.UNCHANGED)

    def _whose_turn(self) -> range:
        """The channels that are verified in this row, if it is time for that."""
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._verify_at_ns:
            return range(0)
        self._verify_at_ns = now_ns + _VERIFY_NS
        verified = min(_VERIFIED, len(self._channels))
        self._verify_turn = (self._verify_turn + 1) % (len(self._channels) - verified + 1)
        return range(self._verify_turn, self._verify_turn + verified)

    def _go_away(self, fault: Fault) -> None:
        """Nothing answers: begin anew with the next row."""
        self._chip.close()
        self._errors = 0
        self._gone_with = fault
        self._retry_at_ns = 0

    def _reopen(self) -> bool:
        if self._clock.monotonic_ns() < self._retry_at_ns:
            return False
        try:
            self._chip.open()
        except SourceError as error:
            log.debug("not yet: %s", error)
            delay_ns = round(self._backoff.next_s() * 1e9)
            self._retry_at_ns = self._clock.monotonic_ns() + delay_ns
            return False
        return True
