"""The time that rows take, beside their number, in what a predictor says."""

import re

from quartet.duration import lasted

# One that has its time beside it stays as it is. So does what is no number of rows: a part of
# another number, or one of more digits than rows can have.
_ROWS = re.compile(r"(?<![\w.,])(\d{1,3}(?:,\d{3}){1,5}|\d{1,18}) rows?\b(?! \()")


def with_time(text: str, period_ns: float) -> str:
    """The text with the time behind each number of rows: "over the last 27,000 rows (45 min)".

    `period_ns`: between two rows; 0: nobody knows, and nothing is added. Nor is it where that is
    less than a second.
    """

    def timed(found: re.Match[str]) -> str:
        seconds = int(found[1].replace(",", "")) * period_ns / 1e9
        return f"{found[0]} ({lasted(seconds)})" if seconds >= 1 else found[0]

    return _ROWS.sub(timed, text) if period_ns > 0 else text
