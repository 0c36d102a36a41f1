"""What the fleet is now, and what each page is told of it; the numbers of a predictor by replay."""

from broker.console.present.numbers import Numbers
from broker.console.present.present import Present

__all__ = ["Numbers", "Present"]
