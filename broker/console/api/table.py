"""CSV files that a browser saves and a spreadsheet opens."""

from datetime import UTC, datetime

# A spreadsheet takes a cell that begins so for a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def attachment(name: str) -> dict[str, str]:
    """The headers of a file of this name, which is plain ASCII."""
    return {
        "Cache-Control": "no-store",
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{name}"',
    }


def cell(text: str) -> str:
    """A text of a stranger's, which a spreadsheet shows and does not run."""
    return f"'{text}" if text.lstrip().startswith(_FORMULAS) else text


def iso(at_ns: int) -> str:
    """A time in UTC to the microsecond, as ISO 8601 has it; Unix seconds where it has none."""
    seconds, rest_ns = divmod(at_ns, 10**9)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):  # year 10,000 and on, of a peer's invention
        return f"{seconds}.{rest_ns:09d}"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"
