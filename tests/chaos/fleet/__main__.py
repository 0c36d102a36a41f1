"""The torture run of a fleet, as `make chaos-fleet` starts it: python -m chaos.fleet."""

import argparse
import random
import sys
import time
from pathlib import Path

from support.postgres import is_there

from chaos import host
from chaos.evidence import NoEvidenceError
from chaos.fleet.configuration import BROKERS
from chaos.fleet.evidence import gather
from chaos.fleet.faults import DOINGS, KINDS, Happening
from chaos.fleet.site import Equipment, Site
from chaos.fleet.verdict import judge_fleet
from chaos.report import summary
from chaos.schedule import Fault, plan
from chaos.trial import attempt, torture

_PREDICTORS = ("chart", "chaos.predictors:Remembering", "chaos.predictors:Forgetful")

# The last session, in which all that waits from before is drained.
_LAST_SAMPLES = 300

# More than fit into any run.
_FAULTS_PER_S = 4


def main() -> int:
    """Torture, judge, report; 0 where every promise was kept."""
    options = _parser().parse_args()
    if not is_there():
        print("the Debian package postgresql is not installed")
        return 1
    return attempt("chaos.fleet", options, _run, mounts_as_root=True)


def _run(home: Path, options: argparse.Namespace, no_mounts: str) -> list[str]:
    began_s = time.monotonic()
    random_ = random.Random(options.seed)  # noqa: S311 - to be drawn again
    predictor = options.predictor or random_.choice(_PREDICTORS)
    if no_mounts:
        left_out = [kind.name for kind in KINDS if kind.needs]
        print(f"left out: {', '.join(left_out)} (nothing can be mounted: {no_mounts})")
    wanted = options.kinds.split(",") if options.kinds else list(DOINGS)
    kinds = [kind for kind in KINDS if kind.name in wanted and not (kind.needs and no_mounts)]
    print(f"black box: {predictor}")
    for_s = options.minutes * 60
    faults = [
        fault
        for fault in plan(random_, round(for_s * _FAULTS_PER_S), kinds, BROKERS)
        if fault.begins_at_s < for_s
    ]
    site = Site(home, Equipment(predictor, not no_mounts, not options.without_fence))
    with site.running():
        try:
            torture(site, faults, lambda fault: _begun(site, fault))
            site.drain(_LAST_SAMPLES)
            evidence = gather(site, predictor)
        except NoEvidenceError as error:
            return [*site.complaints, str(error)]
    left = [f"process {pid} is left" for pid in host.processes_of(site.token)]
    verdict = judge_fleet(evidence)
    took_s = time.monotonic() - began_s
    print(summary(faults, evidence.common, verdict, site.home, took_s))
    print(f"{'woken owners':<30}{len(evidence.woken):>9}")
    print(f"{'refused':<30}{sum(is_refused for *_, is_refused in evidence.woken):>9}")
    return verdict.accusations + left


def _begun(site: Site, fault: Fault) -> Happening:
    dice = random.Random(fault.dice)  # noqa: S311
    return DOINGS[fault.kind.name](site, site.members[fault.device], dice)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos.fleet", description=__doc__)
    parser.add_argument("--seed", type=int, help="of a run that is to be repeated")
    parser.add_argument("--minutes", type=float, default=4.0, help="of faults")
    parser.add_argument("--kinds", help="of faults, with commas between; all by default")
    parser.add_argument("--predictor", help="instead of one that the seed chooses")
    parser.add_argument(
        "--without-fence", action="store_true", help="to see that the run fails then"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
