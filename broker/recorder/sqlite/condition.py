"""Whether a store that is open can be trusted, and what is done where it cannot."""

import logging
from collections.abc import Callable
from pathlib import Path

from broker.errors import RecordError
from broker.recorder.sqlite.hold import Hold
from broker.recorder.sqlite.opened import Opened
from quartet.clock import Clock
from quartet.database import is_damage
from quartet.errors import StoreError
from quartet.outage import Outage

log = logging.getLogger(__name__)


class Condition:
    """Tells damage and files that are gone from what passes. With the turn at the store held.

    Damage stays until the broker is started again. Files that are gone may come back: the same
    ones are used again.
    """

    def __init__(
        self, path: Path, hold: Hold, open_store: Callable[[], Opened], clock: Clock
    ) -> None:
        self._path = path
        self._hold = hold
        self._open_store = open_store
        self._changed = Outage(log, clock)
        self._damage = ""
        self._locked_out = ""
        self._is_open = True
        self.store = open_store()
        """As it was opened last."""
        self.trouble = ""
        """Why nothing can be recorded; empty while all is well. To be read by any thread."""

    def look(self) -> str:
        """The trouble at this moment. Mends what can be mended. The recorder's thread only.

        From here on, until the loop commits, the store waits for locks of other programs.
        """
        if self._is_open:
            self.store.wait_for_locks(is_patient=True)
        self.trouble = self._damage or self._change()
        return self.trouble

    def glance(self) -> None:
        """As look(), for the event loop: mends nothing, and leaves it to look() to tell."""
        if not self.trouble and (change := self.store.watch.look()):
            self.trouble = change.text

    def check(self) -> None:
        """Raise the trouble as a StoreError, if there is one."""
        if self.trouble:
            raise StoreError(self.trouble)

    def renew_lock(self) -> None:
        """Make the lock file again, if it was deleted, unless more is gone."""
        if self.trouble and not self._locked_out:
            return
        try:
            self._hold.renew()
        except StoreError as error:
            self._locked_out = f"{error}; its lock file was deleted while this broker used it"
        else:
            self._locked_out = ""

    def met(self, error: Exception) -> bool:
        """Whether an error is damage, which is told once; then all leases fail."""
        if not is_damage(error):
            return False
        if not self._damage:
            self._damage = self.trouble = (
                f"{self._path}: is damaged ({error}): nothing is recorded, and no sample is"
                f" answered: stop the broker, run 'broker store repair --store {self._path}', and"
                " start it"
            )
            log.error("%s", self._damage)
            self._fail_leases(self._damage)
        return True

    def close(self) -> None:
        """Let the file go."""
        if self._is_open:
            self.store.close()

    def _change(self) -> str:
        """What has changed at the files, unless it could be mended."""
        change = self.store.watch.look() if self._is_open else None
        text = change.text if change else self._locked_out
        if not self._is_open or (change and change.is_mendable):
            text = self._mend(text)
        if text:
            if not self._changed.is_on:
                self._fail_leases(text)
            self._changed.failed("%s", text)
        else:
            self._changed.ended("%s: is in its place again, and samples are recorded", self._path)
        return text

    def _mend(self, text: str) -> str:
        """Save what is committed, and open the file again; what keeps that from being done."""
        try:
            if self._is_open:
                self.store.save()
                self.store.close()
                self._is_open = False
                self._fail_leases(text)
                log.warning("%s: its records are saved, and the store is opened again", text)
            self.store = self._open_store()
        except OSError as error:  # as all StoreErrors are
            return f"{text or self._path}: the store cannot be opened again: {error}"
        self._is_open = True
        return ""

    def _fail_leases(self, text: str) -> None:
        error = RecordError(f"the broker cannot record samples: {text}")
        self.store.tables.fail_leases(error)
