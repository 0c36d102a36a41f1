"""The console scripts: each starts Quartet's own package, also where a foreign one has its name."""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from quartet.distribution import NAME

_OURS = Path(__file__).parents[1]

# In the docstring of each of our packages: another distribution's file does not say so.
_MARK = "Quartet's"

_APART = f"install {NAME} into an environment of its own"


def agent() -> int:
    """Run `agent`; the exit code."""
    return _start("agent")


def broker() -> int:
    """Run `broker`; the exit code."""
    return _start("broker")


def _start(package: str) -> int:
    own = _OURS / package / "__init__.py"
    spec = find_spec(package)
    found = spec.origin if spec else None
    if found and Path(found).resolve() != own.resolve():
        _warn(
            package,
            f"Python finds a foreign {package!r} first, in {found}. Quartet uses its own, and code"
            f" that needs the foreign one will fail: take that off PYTHONPATH, or {_APART}",
        )
        _load(package, own)
    elif _MARK not in own.read_text("utf-8"):
        from importlib.metadata import packages_distributions  # noqa: PLC0415 - costs 1.6 MB

        owners = set(packages_distributions().get(package, ())) - {NAME}
        who = ", ".join(sorted(owners)) or "another distribution"
        _warn(package, f"{who} has overwritten files in {own.parent}: {_APART}")
    code: int = import_module(f"{package}.__main__").main()
    return code


def _load(package: str, own: Path) -> None:
    """Have `import` give this package from now on."""
    spec = spec_from_file_location(package, own, submodule_search_locations=[str(own.parent)])
    if not spec or not spec.loader:
        raise ImportError(f"no package at {own}", name=package)
    sys.modules[package] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[package])


def _warn(package: str, text: str) -> None:
    print(f"{package}: warning: {text}", file=sys.stderr)
