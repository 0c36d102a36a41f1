"""What a broker imports to serve: each module costs memory and time at a start."""

import subprocess
import sys

# Of the standard library, each of 0.1 to 0.5 MB with what it imports.
SPARED = {
    *("bz2", "difflib", "email", "importlib.metadata", "lzma", "pdb", "shutil", "sqlite3"),
    *("tempfile", "unittest", "xml", "zipfile"),
}

# Each optional, or of another command.
OTHERS = {
    *("agent", "asyncpg", "cryptography", "google.protobuf", "grpc", "numpy", "onnxruntime"),
    *("rich", "starlette"),
    *("broker.console.app", "broker.credentials", "broker.export.export", "broker.judged"),
    *("broker.metrics", "broker.notify.app", "broker.recorder.moving", "broker.recorder.postgres"),
    *("broker.recorder.reader", "broker.recorder.sqlite", "broker.recorder.upkeep"),
    *("quartet.completion", "quartet.example", "quartet.inspection", "quartet.recording"),
}

SERVED = """
import sys
from broker.__main__ import _checked
from broker.commandline import parser
options = parser().parse_args(["run"])
options.read = None
settings = _checked(options)
from broker import app
from broker.predictors.load import load
load(settings.predictor.use, settings.predictor.options)
print(*sys.modules)
"""


def test_a_broker_imports_what_it_needs_and_no_more() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVED], capture_output=True, text=True, check=True
    )
    unneeded = {*done.stdout.split()} & (SPARED | OTHERS)
    assert not unneeded
