"""The torture run, as `make chaos` starts it: python -m chaos, with tests on the path."""

import argparse
import random
import sys
import time
from pathlib import Path

from chaos import host
from chaos.evidence import NoEvidenceError, gather, read_logbook
from chaos.faults import DOINGS, Happening
from chaos.plant import Equipment, Plant
from chaos.report import summary
from chaos.schedule import KINDS, Fault, plan
from chaos.trial import attempt, torture
from chaos.verdict import judge

# The last session, in which all that waits from before is drained.
_LAST_SAMPLES = 250


def main() -> int:
    """Torture, judge, report; 0 where every promise was kept."""
    return attempt("chaos", _parser().parse_args(), _run)


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
            torture(plant, faults, lambda fault: _begun(plant, fault))
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


def _begun(plant: Plant, fault: Fault) -> Happening:
    dice = random.Random(fault.dice)  # noqa: S311
    return DOINGS[fault.kind.name](plant, plant.devices[fault.device], dice)


def _tell(what: str) -> None:
    """Say something of the fault that was told last."""
    print(f"{'':20}{what}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of a run that is to be repeated")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--samples", type=int, default=20_000, help="at least")
    parser.add_argument("--kinds", help="of faults, with commas between; all by default")
    return parser


if __name__ == "__main__":
    sys.exit(main())
