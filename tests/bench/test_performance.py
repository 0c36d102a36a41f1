"""docs/performance.py fills its page from what benches write."""

import json
from pathlib import Path

import pytest

from bench.figures import Figure, write
from docs import performance


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
    assert "| drain | 4,321 | samples/s | 1.50 |" in lines
    assert json.loads(path.read_text())["machine"]["processor"] in lines[0]


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
