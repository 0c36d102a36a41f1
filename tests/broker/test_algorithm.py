"""The sources of `chart` belong to the number of its algorithm."""

import hashlib
from pathlib import Path

from broker.predictors import chart, failures
from broker.predictors.chart.charts import Chart

PIN = Path(__file__).with_name("chart.algorithm")

QUESTION = """
The sources of `chart` have changed. Can an answer differ, or does this code not read a snapshot of
the former one?
  yes: raise Chart.algorithm. After the update the predictor of each agent learns again.
  no:  leave it. Snapshots of the former code are restored into this one.
In both cases write this line into {path}:
{line}
"""


def test_who_changes_chart_says_whether_it_is_another_algorithm() -> None:
    sources = [*Path(chart.__file__).parent.glob("*.py"), Path(failures.__file__)]
    digest = hashlib.sha256()
    for path in sorted(sources, key=lambda each: each.name):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    line = f"{Chart.algorithm} {digest.hexdigest()}\n"
    assert PIN.read_text() == line, QUESTION.format(path=f"tests/broker/{PIN.name}", line=line)
