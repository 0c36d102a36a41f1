"""The programs that the playbook runs on a machine, as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROLES = Path(__file__).parents[2] / "ansible" / "roles"
FILES = ROLES / "service" / "files"


def script(name: str, role: str = "service") -> ModuleType:
    """One of them, by its name."""
    spec = importlib.util.spec_from_file_location(name, ROLES / role / "files" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
