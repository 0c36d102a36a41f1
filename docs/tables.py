"""Figures of a bench as cells and tables of a page."""

from collections.abc import Iterable, Sequence

from bench.figures import Figure

Figures = dict[str, Figure]
Rows = list[list[str]]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown: words to the left, figures to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shown(figure: Figure | None, ratio_to: Figure | None = None) -> str:
    """A figure with its spread or with its ratio; a dash where it was not measured."""
    if not figure:
        return "-"
    if ratio_to:
        return f"{figure.value / ratio_to.value:.2f}"
    low, high = map(number, figure.spread)
    return number(figure.value) + (f" ({low} to {high})" if low != high else "")


def number(value: float) -> str:
    """Three digits, without an exponent: 0.0742, 47.9, 301,000."""
    digits = f"{value:.3g}"
    return f"{float(digits):,.0f}" if "e+" in digits else digits
