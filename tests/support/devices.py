"""What an agent keeps over its starts: two directories and a configuration."""

import json
import shutil
import time
from pathlib import Path

from support.patience import PATIENCE_S
from support.processes import Agent, Running
from support.store import select


class Device:
    """The directories and the configuration that an agent keeps over its starts."""

    def __init__(self, home: Path, spool: str = "") -> None:
        self.hot, self.cold = home / "hot", home / "cold"
        self.hot.mkdir()
        self.cold.mkdir()
        self.config = home / "agent.toml"
        self.config.write_text(
            '[agent]\nid = "press-4"\n'
            "[link]\nbackoff_min_s = 0.05\nbackoff_max_s = 0.2\nreply_deadline_s = 2\n"
            f'[spool]\nhot_directory = "{self.hot}"\ndirectory = "{self.cold}"\n{spool}\n'
        )

    def agent(self, dataset: Path, port: int, *arguments: str) -> Agent:
        return Agent(
            *("--config", str(self.config), "--simulate", str(dataset)),
            *("--broker", f"127.0.0.1:{port}", *arguments),
        )

    def ledger(self, *arguments: str) -> tuple[int, str]:
        """The exit code, and what was printed."""
        with Running(["agent", "ledger", "--config", str(self.config), *arguments]) as ledger:
            code = ledger.wait()
        return code, ledger.stdout + ledger.stderr

    def sessions(self) -> list[dict[str, object]]:
        """The sessions of a ledger that balances."""
        code, text = self.ledger("--json")
        assert code == 0, text
        sessions: list[dict[str, object]] = json.loads(text)["sessions"]
        return sessions

    def wait_until_the_disk_is_empty(self) -> None:
        """Wait until no sample lies on the disk any more."""
        deadline_s = time.monotonic() + PATIENCE_S
        while select(self.cold / "spool.db", "SELECT count(*) FROM samples") != [(0,)]:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    def cut_power(self) -> None:
        """What was in RAM is gone."""
        shutil.rmtree(self.hot)
        self.hot.mkdir()
