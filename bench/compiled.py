"""Builds a C++ program of ours that speaks gRPC, where a compiler and Debian's library are."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

WIRE = Path(__file__).parents[1] / "proto" / "databroker.proto"
# What is needed, and the Debian package that has it.
_PROGRAMS = {
    "g++": "g++",
    "pkg-config": "pkg-config",
    "protoc": "protobuf-compiler",
    "grpc_cpp_plugin": "protobuf-compiler-grpc",
}
_LIBRARIES = {"grpc++": "libgrpc++-dev", "protobuf": "libprotobuf-dev"}


class CompileError(Exception):
    """The program cannot be built here; the text says why, and what to install."""


def missing() -> list[str]:
    """The Debian packages that are needed and are not installed."""
    packages = [package for name, package in _PROGRAMS.items() if not shutil.which(name)]
    asked = "pkg-config" not in packages
    for library, package in _LIBRARIES.items():
        if not asked or subprocess.call(["pkg-config", "--exists", library]):
            packages.append(package)
    return packages


def build(source: Path, folder: Path, protos: Sequence[Path] = (WIRE,)) -> Path:
    """Compile a source with the stubs of some .proto files; the program.

    Raises:
        CompileError: packages are missing, or a step failed.
    """
    if packages := missing():
        raise CompileError(f"no {', '.join(packages)} here: apt-get install {' '.join(packages)}")
    plugin = f"--plugin=protoc-gen-grpc={shutil.which('grpc_cpp_plugin')}"
    out = (plugin, f"--cpp_out={folder}", f"--grpc_out={folder}")
    for proto in protos:
        _run("protoc", f"-I{proto.parent}", *out, proto.name)
    flags = _run("pkg-config", "--cflags", "--libs", *_LIBRARIES).split()
    program = folder / source.stem
    stubs = [f"{folder / proto.stem}{kind}.pb.cc" for proto in protos for kind in ("", ".grpc")]
    _run("g++", "-O2", "-std=c++17", f"-I{folder}", "-o", str(program), str(source), *stubs, *flags)
    return program


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise CompileError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
