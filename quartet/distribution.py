"""What was installed: the distribution, its version, and what its extras require."""

import sys

NAME = "quartet-edge"
"""The name for installers. The packages in it are agent, broker, quartet and wire."""


def version() -> str:
    """The version of the distribution."""
    from importlib import metadata  # noqa: PLC0415 - costs 1.6 MB, and is rarely asked

    return metadata.version(NAME)


def to_install(extra: str) -> str:
    """The command that installs what an extra requires.

    It names the requirements and never the distribution: an index may give that name to somebody
    else. A marker beside the extra's own is left out.
    """
    from importlib import metadata  # noqa: PLC0415 - as above

    listed = [each.partition(";") for each in metadata.requires(NAME) or ()]
    ours = [
        f"'{requirement.strip()}'"
        for requirement, _, marker in listed
        if marker.replace('"', "'").rstrip().endswith(f"extra == '{extra}'")
    ]
    return " ".join(["pip install", *ours])


def sees_debian_packages() -> bool:
    """Whether a virtual environment of this Python can have the libraries that apt installs."""
    return sys.base_prefix == "/usr"
