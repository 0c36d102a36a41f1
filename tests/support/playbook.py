"""The programs that the playbook runs on a machine, as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType

FILES = Path(__file__).parents[2] / "ansible" / "roles" / "service" / "files"


def script(name: str) -> ModuleType:
    """One of them, by its name."""
    spec = importlib.util.spec_from_file_location(name, FILES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
