"""CSV files that a browser saves."""


def attachment(name: str) -> dict[str, str]:
    """The headers of a file of this name, which is plain ASCII."""
    return {
        "Cache-Control": "no-store",
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
