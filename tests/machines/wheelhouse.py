"""The wheels that a deployment without an index needs, as ansible/wheelhouse.sh gathers them."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from machines import PROJECT

_SCRIPT = PROJECT / "ansible" / "wheelhouse.sh"


def wheelhouse(machine: str) -> Path:
    """For machines of this kind, by `uname -m`; gathered once for the same pins."""
    cache = Path(os.environ.get("QUARTET_CACHE", Path.home() / ".cache" / "quartet"))
    recipe = [_SCRIPT, *sorted((PROJECT / "requirements").glob("*.txt"))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in recipe)).hexdigest()[:12]
    kept = cache / f"wheels-{machine}-{digest}"
    if not kept.exists():
        new = kept.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        environment = {**os.environ, "PYTHON": sys.executable}
        subprocess.run(["sh", _SCRIPT, new, machine], check=True, env=environment)
        new.rename(kept)
    return kept
