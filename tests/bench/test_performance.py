"""docs/performance.py fills its page from what benches write."""

import json
from pathlib import Path

import pytest

from bench.figures import Figure, write
from docs import performance, performance_chip, tables


def of(name: str, value: float, spread: float = 0.0) -> Figure:
    return Figure(name, "ms", value, (value - spread, value + spread))


@pytest.mark.parametrize("section", performance.SECTIONS)
def test_the_page_has_a_place_for_each_section(section: str) -> None:
    page = performance.replaced(performance.PAGE.read_text(), section, "here")
    assert f"\nhere\n<!-- figures: {section} -->" in page


def test_a_section_that_the_page_has_not_is_an_error() -> None:
    with pytest.raises(ValueError, match="must stand twice"):
        performance.replaced("<!-- figures: a -->", "a", "text")


def test_the_bounds_are_ratios_where_both_figures_are_there(tmp_path: Path) -> None:
    figures = [
        of("100 streams, +store+chart, CPU paced", 3),
        of("100 streams, C++ echo, CPU paced", 2),
    ]
    lines = performance.bounds({each.name: each for each in figures}, tmp_path).splitlines()
    assert "| CPU, all on, to the C++ echo's | at most 1.5 | 1.50 |" in lines
    assert "| rate of one stream, all on, to plain(1100)'s | at least 3 | - |" in lines


def test_a_row_has_value_spread_unit_and_ratio(tmp_path: Path) -> None:
    path = tmp_path / "spool.json"
    write(
        path, "spool", [of("append", 2, 1), Figure("drain", "samples/s", 4321, (4321, 4321), 1.5)]
    )
    found = performance.figures_of(path)
    lines = performance.every(found, path).splitlines()
    assert "| append | 2 (1 to 3) | ms | - |" in lines
    assert "| drain | 4,320 | samples/s | 1.50 |" in lines
    assert json.loads(path.read_text())["machine"]["processor"] in lines[0]


@pytest.mark.parametrize(
    ("value", "low", "high", "cell"),
    [
        (300_629, 292_913, 302_249, "301,000 (293,000 to 302,000)"),
        (999.7, 998, 1001, "1,000 (998 to 1,000)"),
        (37.41, 37.38, 37.43, "37.4"),
        (0.0742, 0.0715, 0.0765, "0.0742 (0.0715 to 0.0765)"),
        (0, 0, 3.13, "0 (0 to 3.13)"),
    ],
)
def test_a_value_and_its_spread_have_one_format(
    value: float, low: float, high: float, cell: str
) -> None:
    assert tables.shown(Figure("rate", "", value, (low, high))) == cell


def test_the_chip_has_a_row_for_each_bus_with_ratios_over_three_clocks() -> None:
    found = {
        name: Figure(name, "rows/s", 140, (140, 140), ratio)
        for kind in ("plain", "verified")
        for clock, ratio in ((0.9, 1.12), (1.0, 1.0), (1.1, 1.0))
        for name in [f"bus 400 kHz, 100 us, oscillator {clock}, {kind}"]
    }
    ratios = "1.00 (1.00 to 1.12)"
    assert performance_chip.rates(found) == [
        ["400 kHz, transfer 100 us", "140", ratios, "140", ratios]
    ]


def test_a_rate_that_is_too_fast_to_verify_has_dashes() -> None:
    place = "beside another program, 140 rows/s, plain"
    found = {name: of(name, 3) for name in (f"{place}, wrong", f"{place}, missing")}
    assert performance_chip.beside_another(found) == [["140 rows/s", "3", "3", "-", "-"]]


def test_the_coroutines_lateness_is_that_of_the_agent_by_the_ratio() -> None:
    found = {
        name: Figure(name, "ms", 0.5, (0.5, 0.5), 0.05)
        for name in ("the event loop is idle, lateness p50", "the event loop is idle, lateness p99")
    }
    assert performance_chip.lateness(found) == [["is idle", "0.5", "0.5", "10", "10"]]


def test_what_was_carried_last_is_told_with_its_figures() -> None:
    figures = [
        of(f"10 samples/s, {agents} agents, {name}", value)
        for agents, carried in ((100, 1), (200, 1), (500, 0))
        for name, value in (
            ("carried", carried),
            ("p99", agents),
            ("memory", 50),
            ("broker's processor", 0.5),
        )
    ]
    row = performance.carried_row("10", [100, 200, 500], {each.name: each for each in figures})
    assert row == ["10 samples/s", "200", "0.5", "200", "50"]
