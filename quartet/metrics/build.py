"""Which program answers, and of which version."""

import platform
from functools import cache

from quartet.distribution import version
from quartet.metrics.text import gauge, labels


@cache
def build(program: str) -> str:
    """The family that tells what runs."""
    what = labels(program=program, version=version(), python=platform.python_version())
    return gauge("quartet_build_info", "Always 1: the labels say what runs.", [(what, 1)])
