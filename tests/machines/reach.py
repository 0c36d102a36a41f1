"""What a machine is given so that pip and TLS inside it reach what they reach on the host."""

import ast
import configparser
import io
import re
import subprocess
import sys
from pathlib import Path

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def pip_settings() -> dict[str, str]:
    """The host's settings of pip, those of its environment first; none where it has no pip."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings: dict[str, str] = {}
    for line in sorted(listed.stdout.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = ast.literal_eval(value)
    return settings


def pip_conf(settings: dict[str, str]) -> str:
    """The same as a file of pip's; a value of many lines stays one."""
    parser = configparser.RawConfigParser()
    parser["global"] = {name: value.strip() for name, value in settings.items()}
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def shared_paths(settings: dict[str, str]) -> list[Path]:
    """What of the host's files a machine must see: certificates, and what pip's settings name."""
    values = "\n".join(settings.values())
    named = [Path(path) for path in re.findall(r"(?:^|\s|file://)(/\S+)", values)]
    # An index on the disk is a directory 'simple', and the files that it names lie beside it.
    seen = [path.parent if path.name == "simple" else path for path in named]
    return sorted({path for path in (_CERTIFICATES, *seen) if path.exists()})
