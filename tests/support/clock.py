"""A clock that a test moves by hand."""


class ManualClock:
    """Stands still until it is moved. Wall time is `ahead_s` ahead of monotonic time."""

    def __init__(self, now_s: float = 1000.0, wall_s: float = 1_750_000_000.0) -> None:
        self.now_s = now_s
        self.ahead_s = wall_s - now_s

    def monotonic(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)

    def time_ns(self) -> int:
        return int((self.now_s + self.ahead_s) * 1e9)

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
