"""The default black box on a line with a store, through deaths of the broker."""

import logging
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.rows import FAILED, moved, noise, told
from support.store import OpenLines, header, killed_copy, lines_in, select

from broker.model import Sample
from broker.predictors.chart.charts import Chart
from broker.workers import Threads
from quartet.channels import Values


def life() -> list[Values]:
    """A warm-up, a quiet time, a fault, its end, and a sensor that fails."""
    rows = list(noise(2600))
    rows[1700:1900] = [moved(row, 3, 12.0) for row in rows[1700:1900]]
    rows[2300:2310] = [FAILED] * 10
    return rows


async def streamed(lines: OpenLines, rows: Sequence[Values], first: int, last: int) -> list[bool]:
    with await lines.open(header(first)) as stream:
        answers: list[bool] = []
        while len(answers) < last - first:
            rest = range(first + len(answers), last)
            more, refusal = await stream.answer([Sample(id_, rows[id_]) for id_ in rest])
            assert refusal is None
            answers += [each.prediction for each in more]
    return answers


@pytest.mark.parametrize("cuts", [[], [150, 299, 301], [999, 1703, 1704, 1901], [2302, 2305]])
@pytest.mark.parametrize("threads", [0, 2])
async def test_a_line_answers_and_explains_through_any_death_as_without_one(
    cuts: list[int], threads: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "broker.host")
    rows = life()
    wanted = told(Chart(), rows)
    workers = Threads(threads) if threads else None
    path = tmp_path / "0.db"
    got: list[bool] = []
    with ExitStack() as stack:
        for number, (first, last) in enumerate(
            zip([0, *cuts], [*cuts, len(rows)], strict=True), start=1
        ):
            broker = stack.enter_context(ExitStack())
            lines = broker.enter_context(lines_in(path, Chart, workers=workers))
            got += await streamed(lines, rows, first, last)
            path = killed_copy(path, tmp_path / f"{number}.db")
    assert got == [answer for answer, _ in wanted]
    news = [(id_, text) for id_, (_, text) in enumerate(wanted) if text]
    assert select(path, "SELECT id, text FROM explanations ORDER BY position") == news
    assert [text for _, text in news] == [
        "baseline learned, after 300 rows",
        news[1][1],
        "alarm is over: back at the former level",
        "sensor1, sensor2, sensor3, sensor4: no value, 3 rows in a row",
        "all sensors have values again",
    ]
    assert re.match(r"alarm: (T2|MEWMA) is .*: sensor4 \d\d%", news[1][1])
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [entry for entry in said if ": sample " in entry[1]] == [
        ("WARNING" if wanted[id_][0] else "INFO", f"a: sample {id_}: {text}") for id_, text in news
    ]
