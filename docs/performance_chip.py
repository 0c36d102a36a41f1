"""The tables of the chip in docs/performance.md: ten rows for the bench's figures."""

from collections.abc import Sequence

from docs.tables import Figures, Rows, number, shown, table

# A chip whose clock is exact; others are 10 % slow and 10 % fast.
_EXACT = ", oscillator 1.0, plain"
_RATES = ["bus", "not verified, rows/s", "ratio", "verified, rows/s", "ratio"]
_BESIDE = [
    "beside another program",
    *(f"{kind}: {fate}" for kind in ("not verified", "verified") for fate in ("wrong", "missing")),
]
_LATENESS = ["the event loop", "p50, ms", "p99, ms", "coroutine: p50, ms", "p99, ms"]


def parts(found: Figures) -> list[str]:
    """Rows a second, values beside another program and with stalls, and how late reads begin."""
    stalls = [each.value for name, each in found.items() if name.startswith("stalls, ")]
    return [
        table(_RATES, rates(found)),
        table(_BESIDE, beside_another(found)),
        f"Wrong values with stalls: {number(sum(stalls))}.",
        table(_LATENESS, lateness(found)),
    ]


def rates(found: Figures) -> Rows:
    """A row for each bus. The ratio is the one of the exact clock; others stand in brackets."""
    rows: Rows = []
    buses = [name.removesuffix(_EXACT) for name in found if name.endswith(_EXACT)]
    for bus in buses:
        row = [bus.removeprefix("bus ").replace(", ", ", transfer ")]
        for kind in ("plain", "verified"):
            clocks = [found[f"{bus}, oscillator {clock}, {kind}"] for clock in (0.9, 1.0, 1.1)]
            row += [number(clocks[1].value), _ratios([each.ratio or 0.0 for each in clocks])]
        rows.append(row)
    return rows


def _ratios(ratios: Sequence[float]) -> str:
    """The middle one, and the smallest and the largest in brackets where they differ."""
    low, high = (f"{each:.2f}" for each in (min(ratios), max(ratios)))
    return f"{ratios[1]:.2f}" + (f" ({low} to {high})" if low != high else "")


def beside_another(found: Figures) -> Rows:
    """A row for each rate; a dash where there is no time to verify."""
    return [
        [
            rate,
            *(
                shown(found.get(f"beside another program, {rate}, {kind}, {fate}"))
                for kind in ("plain", "verified")
                for fate in ("wrong", "missing")
            ),
        ]
        for rate in (name.split(", ")[1] for name in found if name.endswith(", plain, wrong"))
    ]


def lateness(found: Figures) -> Rows:
    """A row for each thing that the event loop does, with the coroutine's lateness."""
    rows: Rows = []
    for name in found:
        if not name.endswith(", lateness p50"):
            continue
        does = name.removeprefix("the event loop ").removesuffix(", lateness p50")
        both = [found[name], found[name.replace("p50", "p99")]]
        coroutines = [number(each.value / each.ratio) if each.ratio else "-" for each in both]
        rows.append([does, *(number(each.value) for each in both), *coroutines])
    return rows
