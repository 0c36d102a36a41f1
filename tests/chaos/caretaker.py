"""What an operator does about the broker's store, by what the broker's messages say."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from chaos.plant import Plant
from chaos.records import Taken
from chaos.role import Mark
from chaos.times import LONGEST_SILENCE_S

_LISTENS = "listening on"


@dataclass(frozen=True, slots=True)
class Backup:
    """A file that `broker store backup` has made, and since when records are missing in it."""

    path: Path
    begun_ns: int


def is_up(plant: Plant) -> bool:
    """Whether the broker runs, once it has started; one that found no room has ended."""
    return plant.broker.runs and plant.broker.comes_up(_LISTENS)


def back_up(plant: Plant) -> Backup | None:
    """Make a backup beside the running broker; None, with a complaint, where that fails."""
    begun_ns = time.time_ns()
    path = plant.backups / f"{begun_ns}.db"
    if plant.disk.full:
        plant.tell("no backup: the disk is full")
        return None
    if _store(plant, "backup", str(path)):
        return None
    return Backup(path, begun_ns)


def hear_of_it(plant: Plant, mark: Mark, what: str, *, is_lasting: bool = True) -> int:
    """Wait until the broker says that its store is not what it was; gives the time, in Unix ns.

    Complains where it does not, or calls itself well, though it cannot mend that.
    """
    if not plant.broker.says("(WARNING|ERROR|CRITICAL).*broker.db", mark, LONGEST_SILENCE_S):
        plant.complain(
            f"broker {plant.broker.starts} has not said within {LONGEST_SILENCE_S:g} s that its"
            f" store {what}"
        )
        return time.time_ns()
    told_ns = time.time_ns()
    if not is_lasting:
        return told_ns
    by_s = time.monotonic() + LONGEST_SILENCE_S
    while True:
        code, said = plant.command("broker.healthcheck", f"127.0.0.1:{plant.port}")
        if code == 1 and "NOT_SERVING" in said:
            return told_ns
        if time.monotonic() > by_s:
            plant.complain(
                f"broker {plant.broker.starts}: its store {what}, and the health check ends with"
                f" {code}: {said.strip()}"
            )
            return told_ns


def bring_back(plant: Plant, backup: Backup | None) -> None:
    """Restore a backup while no broker runs; without one, clear the way for a new store."""
    if backup:
        _store(plant, "restore", str(backup.path))
        _clear_away(plant)
    else:
        for file in plant.disk.path.glob("broker.db*"):
            file.unlink()


def put_in_order(plant: Plant) -> None:
    """Stop the broker, check the store, repair what is damaged, start the broker again."""
    if plant.broker.runs:
        plant.broker.stop()
        plant.broker.join()
    code, said = plant.command("broker", "store", "check", "--config", str(plant.broker_config))
    if code:
        plant.tell(f"check: {said.strip().splitlines()[0] if said.strip() else code}")
        _repair(plant)
        took(plant, None, time.time_ns())
        _clear_away(plant)
    start(plant)


def start(plant: Plant, *, may_refuse: bool = False) -> None:
    """Start the broker. A store that nobody has put in order it may refuse."""
    plant.broker.start()
    if not plant.broker.comes_up(_LISTENS):
        plant.tell(f"refused: {plant.broker.process.stderr.splitlines()[-1]}")
        plant.broker.join(expected={1} if may_refuse else ())


def took(plant: Plant, backup: Backup | None, told_ns: int) -> None:
    """Note that records may be missing: of any time, or of those since a backup began."""
    plant.taken.append(Taken(backup.begun_ns if backup else 0, told_ns))


def _clear_away(plant: Plant) -> None:
    """Take the former files of the store, which the commands keep, off its disk."""
    aside = plant.backups / f"aside-{time.time_ns()}"
    for file in plant.disk.path.glob("broker.*"):
        if not file.name.startswith(plant.store.name):
            aside.mkdir(exist_ok=True)
            shutil.move(file, aside)


def _repair(plant: Plant) -> None:
    """Repair the store; complains where it fails. It ends with 1 also where records are lost."""
    code, said = plant.command("broker", "store", "repair", "--config", str(plant.broker_config))
    if code and "; the damaged file is now " not in said:
        plant.complain(f"broker store repair ends with {code}: {said.strip()}")


def _store(plant: Plant, *command: str) -> int:
    """Run `broker store ...`; complains where it fails."""
    code, said = plant.command("broker", "store", *command, "--config", str(plant.broker_config))
    if code:
        plant.complain(f"broker store {' '.join(command)} ends with {code}: {said.strip()}")
    return code
