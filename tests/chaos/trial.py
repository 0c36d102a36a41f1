"""A torture run as a whole: it can be repeated by its seed, and is kept where it failed."""

import argparse
import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from support.processes import let_children_be_signalled

from chaos import host
from chaos.schedule import Fault, moments

Run = Callable[[Path, argparse.Namespace, str], Sequence[str]]
"""Takes a directory, the options, and why nothing can be mounted; gives what went wrong."""


class Tortured(Protocol):
    """A plant to which faults happen."""

    @property
    def complaints(self) -> Sequence[str]: ...
    def live(self, for_s: float) -> None: ...


def attempt(
    module: str, options: argparse.Namespace, run: Run, *, mounts_as_root: bool = False
) -> int:
    """Run, and tell how it went; 0 where every promise was kept. `options` has a seed, or None."""
    let_children_be_signalled()
    if options.seed is None:
        options.seed = secrets.randbelow(2**32)
    again = [*_arguments(options)]
    if not host.is_private():
        print(f"seed {options.seed}")
    no_mounts = host.enter_private_namespace(module, again, as_root=mounts_as_root)
    home = Path(tempfile.mkdtemp(prefix="quartet-chaos-"))
    failures: Sequence[str] = ["it was not brought to its end"]
    try:
        failures = run(home, options, no_mounts)
    finally:
        if failures:
            print(f"\nFAILED, seed {options.seed}; what was left is in {home}:")
            print(*(f"- {failure}" for failure in failures), sep="\n")
            command = shlex.join([sys.executable, "-m", module, *again])
            print(f"once more: PYTHONPATH=tests {command}")
    if failures:
        return 1
    shutil.rmtree(home)
    print(f"\nevery promise was kept, seed {options.seed}")
    return 0


def torture(
    plant: Tortured, faults: Sequence[Fault], begun: Callable[[Fault], Iterator[None]]
) -> None:
    """Have the faults begin and end in their time; `begun` gives what a fault does."""
    under_way: dict[int, Iterator[None]] = {}
    now_s = 0.0
    for moment in moments(faults):
        if plant.complaints and moment.fault.number not in under_way:
            continue  # it is lost already; what is under way comes to its end
        plant.live(moment.at_s - now_s)
        now_s, fault = moment.at_s, moment.fault
        if moment.ends:
            next(under_way.pop(fault.number), None)
        else:
            print(fault, flush=True)
            under_way[fault.number] = doing = begun(fault)
            next(doing)


def _arguments(options: argparse.Namespace) -> Iterator[str]:
    for name, value in vars(options).items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            yield option
        elif value is not None and value is not False:
            yield f"{option}={value}"
