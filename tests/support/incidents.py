"""Incident files as anybody may make them."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any
from zipfile import ZipFile

from broker.predictors.load import load

PARITY = load("parity", {})

SAMPLES = (
    b"time,session,id,a,b,c,d,prediction,arrived,explanation\n"
    b"2026-11-24T10:00:00.000000Z,00,1,1,2,3,nan,0,2026-11-24T10:00:00.000000Z,\n"
    b'2026-11-24T10:00:01.000000Z,00,2,1,2,inf,-0,1,2026-11-24T10:00:01.000000Z,"so, so"\n'
)

Change = Callable[[dict[str, Any], dict[str, bytes]], None]


def member(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def made(change: Change = lambda *_: None, *, resum: bool = False) -> bytes:
    """A good file, but for what is changed in its manifest or its members."""
    members = {"samples.csv": SAMPLES, "states/0": b"state"}
    manifest: dict[str, Any] = {
        "format": "quartet-incident",
        "version": 1,
        "quartet": "0.1.0",
        "python": "3.11.7",
        "machine": "x86_64",
        "agent": "a",
        "around": {"at_ns": 0, "since_ns": 0, "until_ns": 1},
        "rows": 2,
        "sensors": None,
        "predictor": {"use": "parity", "options": {}},
        "states": [
            {"row": 0, "digest": PARITY.digest, "is_fresh": True, "member": None},
            {"row": 1, "digest": "other", "is_fresh": False, "member": "states/0"},
        ],
        "sessions": [],
        "events": [],
        "members": {name: member(content) for name, content in members.items()},
    }
    change(manifest, members)
    if resum:
        manifest["members"] = {name: member(content) for name, content in members.items()}
    file = io.BytesIO()
    with ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("manifest.json", json.dumps(manifest))
    return file.getvalue()


def manifest(**changes: object) -> Change:
    def change(tree: dict[str, Any], _: dict[str, bytes]) -> None:
        tree.update(changes)

    return change


def samples(old: bytes, new: bytes) -> Change:
    def change(_: dict[str, Any], members: dict[str, bytes]) -> None:
        assert old in SAMPLES
        members["samples.csv"] = SAMPLES.replace(old, new)

    return change
