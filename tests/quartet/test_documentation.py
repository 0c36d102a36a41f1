"""What the documentation tells people to write is understood."""

import re
from pathlib import Path

import pytest

import agent.config
import broker.config
from quartet.settings import load

ROOT = Path(__file__).parents[2]
BROKERS = ("[listen]", "[recorder]", "[predictor]")


def examples() -> list[tuple[str, str]]:
    return [
        (f"{name}:{text[: found.start()].count(chr(10)) + 1}", found[1])
        for name in ("README.md", "docs/black-box.md", "docs/hardware.md")
        for text in [(ROOT / name).read_text("utf-8")]
        for found in re.finditer(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize("where", [where for where, _ in examples()])
def test_each_example_of_a_configuration_is_right(where: str, tmp_path: Path) -> None:
    text = dict(examples())[where]
    if re.search(r"^\[source\.sensor", text, re.MULTILINE) and "[source]" not in text:
        text = '[source]\nkind = "ads1115"\n' + text
    path = tmp_path / "some.toml"
    path.write_text(text)
    load(path, broker.config.Settings if text.startswith(BROKERS) else agent.config.Settings)


@pytest.mark.parametrize("kind", [agent.config.Settings, broker.config.Settings])
def test_each_table_of_a_configuration_is_in_the_readme(kind: type) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for table in kind.__struct_fields__:
        assert f"[{table}" in readme
