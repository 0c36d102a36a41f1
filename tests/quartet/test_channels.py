"""Values as text."""

import math

import pytest

from quartet.channels import as_float32, shortest


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("0.1", "0.1"),
        ("5", "5"),
        ("-2.5", "-2.5"),
        ("16777217", "16777216"),
        ("0.3333333333333333", "0.33333334"),
        ("3.4028234663852886e38", "3.4028235e+38"),
        ("1e-45", "1.401298e-45"),
        ("-0.0", "-0"),
        ("inf", "inf"),
        ("nan", "nan"),
    ],
)
def test_a_value_is_written_in_the_fewest_digits_that_give_it_back(text: str, written: str) -> None:
    (value, *_) = as_float32([float(text)] * 4)
    assert shortest(value) == written
    (read, *_) = as_float32([float(written)] * 4)
    assert read == value or math.isnan(value)
