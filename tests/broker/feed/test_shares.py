"""What part each sensor has in an alarm, by what a predictor said of it."""

import pytest

from broker.feed.shares import shares


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("the machine is too loud", None),
        ("sensor2, sensor3: no value, 3 rows in a row", None),
        (
            "T2 is 30, its limit 22: sensor2 74%, sensor1 12.5 %, sensor4 0%",
            (0.125, 0.74, None, 0.0),
        ),
        ("sensor3 60%, again sensor3 2%, sensor1", (None, None, 0.6, None)),
        ("sensor1 900%, sensor5 50%, sensor12 50%, mysensor4 50%", (1.0, None, None, None)),
    ],
)
def test_the_parts_are_those_that_the_text_says(
    text: str, found: tuple[float | None, ...] | None
) -> None:
    assert shares(text) == found
