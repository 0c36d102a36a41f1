"""The comparator of the ADS1115, and what its pin ALERT/RDY tells.

Source: ADS1115 data sheet (SBAS444), "Digital Comparator", "Conversion Ready Pin".
"""

_WINDOW = 0x0010
_ACTIVE_HIGH = 0x0008
_LATCHING = 0x0004
_QUEUE = 0x0003
_SINGLE_SHOT = 0x0100

# So many results in a row assert the pin; the fourth code disables it.
_NEEDED = {0: 1, 1: 2, 2: 4}
_DISABLED = 3

# In continuous mode the pin tells that a result is ready by a pulse.
_READY_PULSE_NS = 8_000


class Comparator:
    """Judges each result. Thresholds that are crossed (high < 0 <= low) make it a ready signal."""

    def __init__(self) -> None:
        self._asserted = False
        self._until_ns: int | None = None
        self._in_a_row = 0
        self._latched = False

    def begin(self) -> None:
        """A single conversion begins: a ready signal ends."""
        if self._until_ns is not None:
            self._asserted = False

    def release(self) -> None:
        """The result is read, which ends a latched alert."""
        if self._latched:
            self._asserted = self._latched = False

    @staticmethod
    def is_active_high(config: int) -> bool:
        """Whether the pin is high while it is asserted."""
        return bool(config & _ACTIVE_HIGH)

    def is_asserted(self, at_ns: int) -> bool:
        """Whether the pin is driven to its active level."""
        return self._asserted and (self._until_ns is None or at_ns < self._until_ns)

    def judge(self, code: int, config: int, low: int, high: int, at_ns: int) -> None:
        """A conversion has ended with this code."""
        self._until_ns = None
        if config & _QUEUE == _DISABLED:
            self._asserted = False
        elif high < 0 <= low:
            self._asserted = True
            if config & _SINGLE_SHOT:
                self._until_ns = 1 << 62
            else:
                self._until_ns = at_ns + _READY_PULSE_NS
        else:
            self._compare(code, config, low, high)

    def _compare(self, code: int, config: int, low: int, high: int) -> None:
        is_window = bool(config & _WINDOW)
        is_out = code > high or (is_window and code < low)
        self._in_a_row = self._in_a_row + 1 if is_out else 0
        if self._in_a_row >= _NEEDED[config & _QUEUE]:
            self._asserted = True
            self._latched = bool(config & _LATCHING)
        elif not self._latched and (low <= code <= high if is_window else code < low):
            self._asserted = False
