"""The torture run, as `make chaos` starts it: python -m chaos, with tests on the path."""

import argparse
import random
import secrets
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from support.processes import let_children_be_signalled

from chaos import host
from chaos.evidence import NoEvidenceError, gather, read_logbook
from chaos.faults import DOINGS, Happening
from chaos.plant import Equipment, Plant
from chaos.report import summary
from chaos.schedule import KINDS, Fault, moments, plan
from chaos.verdict import judge

# The last session, in which all that waits from before is drained.
_LAST_SAMPLES = 250


def main() -> int:
    """Torture, judge, report; 0 where every promise was kept."""
    options = _parser().parse_args()
    let_children_be_signalled()
    if options.seed is None:
        options.seed = secrets.randbelow(2**32)
    again = [f"--{name}={value}" for name, value in vars(options).items() if value is not None]
    if not host.is_private():
        print(f"seed {options.seed}")
    no_mounts = host.enter_private_namespace(again)
    home = Path(tempfile.mkdtemp(prefix="quartet-chaos-"))
    failures: Sequence[str] = ["it was not brought to its end"]
    try:
        failures = _run(home, options, no_mounts)
    finally:
        if failures:
            print(f"\nFAILED, seed {options.seed}; what was left is in {home}:")
            print(*(f"- {failure}" for failure in failures), sep="\n")
            command = shlex.join([sys.executable, "-m", "chaos", *again])
            print(f"once more: PYTHONPATH=tests {command}")
    if failures:
        return 1
    shutil.rmtree(home)
    print(f"\nevery promise was kept, seed {options.seed}")
    return 0


def _run(home: Path, options: argparse.Namespace, no_mounts: str) -> list[str]:
    began_s = time.monotonic()
    random_ = random.Random(options.seed)  # noqa: S311 - to be drawn again
    library = host.faketime_library()
    missing = {
        "mounts": no_mounts and f"nothing can be mounted: {no_mounts}",
        "faketime": no_mounts or ("" if library else "Debian's faketime is not installed"),
    }
    equipment = Equipment(
        predictor=f"chaos.predictors:{random_.choice(('Remembering', 'Forgetful'))}",
        mounts=not missing["mounts"],
        faketime=None if missing["faketime"] else library,
    )
    for kind in KINDS:
        if why := missing.get(kind.needs):
            print(f"left out: {kind.name} ({why})")
    wanted = options.kinds.split(",") if options.kinds else list(DOINGS)
    kinds = [kind for kind in KINDS if kind.name in wanted and not missing.get(kind.needs)]
    print(f"black box: {equipment.predictor}")
    plant = Plant(home, equipment, random_.getrandbits(32), tell=_tell)
    faults = plan(random_, options.faults, kinds, len(plant.devices))
    with plant.running():
        try:
            _torture(plant, faults)
            logged = sum(len(read_logbook(device.logbook)) for device in plant.devices)
            missing_samples = options.samples - logged
            plant.drain(_LAST_SAMPLES if plant.complaints else max(_LAST_SAMPLES, missing_samples))
            evidence = gather(plant)
        except NoEvidenceError as error:
            return [*plant.complaints, str(error)]
        finally:
            plant.keep_disks()
    left = [f"process {pid} is left" for pid in host.processes_of(plant.token)]
    verdict = judge(evidence)
    took_s = time.monotonic() - began_s
    print(summary(faults, evidence, verdict, plant.home, took_s))
    return verdict.accusations + left


def _tell(what: str) -> None:
    """Say something of the fault that was told last."""
    print(f"{'':20}{what}")


def _torture(plant: Plant, faults: Sequence[Fault]) -> None:
    under_way: dict[int, Happening] = {}
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
            do, device = DOINGS[fault.kind.name], plant.devices[fault.device]
            doing = do(plant, device, random.Random(fault.dice))  # noqa: S311
            under_way[fault.number] = doing
            next(doing)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of a run that is to be repeated")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--samples", type=int, default=20_000, help="at least")
    parser.add_argument("--kinds", help="of faults, with commas between; all by default")
    return parser


if __name__ == "__main__":
    sys.exit(main())
