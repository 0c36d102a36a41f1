"""A black box on files, offline: what it would have said, and whether it may be trusted to.

For a notebook, `evaluate` takes arrays; see broker.evaluate.notebook.
"""

from typing import TYPE_CHECKING, Any

from quartet.distribution import to_install

if TYPE_CHECKING:
    from broker.evaluate.notebook import Result, Statistic, evaluate

__all__ = ["Result", "Statistic", "evaluate"]


def __getattr__(name: str) -> Any:
    """What needs numpy, only where it is asked for: the command line does without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from broker.evaluate import notebook  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(f"{error.name} is missing: {to_install('notebook')}") from error
    return getattr(notebook, name)
