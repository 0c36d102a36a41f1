"""What the agents and brokers of a fleet are told."""

RATES_HZ = {f"press-{number}": rate for number, rate in enumerate((20, 30, 40, 50, 60, 70), 1)}
"""The agents: six, so that each of three brokers is the home of some."""

BROKERS = 3

DATABASE = "plant"


def broker_toml(port: int, url: str, predictor: str) -> str:
    """A black box without snapshots is brought back by all samples that there ever were."""
    return f"""[listen]
address = "127.0.0.1:{port}"
[predictor]
use = "{predictor}"
[recorder]
url = "{url}"
replay = 1000000000
"""
