"""The health check against a broker that runs."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.ports import kept_port
from support.processes import Broker


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - nothing listens there
def test_the_configured_address_is_asked_where_none_is_given(host: str, tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    asking = [sys.executable, "-m", "broker.healthcheck", "--config", str(config)]
    with kept_port() as port, Broker("--predictor", "parity", port=port) as broker:
        config.write_text(f'[listen]\naddress = "{host}:{port}"\n')
        assert subprocess.run(asking, check=False).returncode == 0
        assert broker.stop() == 0
        stopped = subprocess.run(asking, check=False, capture_output=True, text=True)
    assert (stopped.returncode, f"127.0.0.1:{port}: " in stopped.stderr) == (1, True)
