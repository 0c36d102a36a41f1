"""A clock that a test moves by hand."""


class ManualClock:
    """Stands still until advance()."""

    def __init__(self, now_s: float = 1000.0, wall_s: float = 1_750_000_000.0) -> None:
        self.now_ns = round(now_s * 1e9)
        self.wall_ns = round(wall_s * 1e9)

    def monotonic(self) -> float:
        return self.now_ns / 1e9

    def monotonic_ns(self) -> int:
        return self.now_ns

    def time_ns(self) -> int:
        return self.wall_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)
        self.wall_ns += round(seconds * 1e9)
