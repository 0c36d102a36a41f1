"""A plant with TLS: its authority, its broker's settings, and those of its agents."""

from pathlib import Path

from support.certificates import Ca, Files
from support.processes import Agent


class Plant:
    """Settings files in a directory; the broker accepts what `ca` signs and has not revoked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = Ca(directory)
        self.broker = self.ca.broker()
        self.crl = self.ca.revoke()

    def broker_toml(self, more: str = "") -> str:
        return self._write(
            "broker.toml",
            f'{more}\n[predictor]\nuse = "parity"\n'
            f'[tls]\ncertificate = "{self.broker.certificate}"\n'
            f'key = "{self.broker.key}"\nclient_ca = "{self.ca.path}"\ncrl = "{self.crl}"\n',
        )

    def agent_toml(
        self, address: str, agent_id: str, files: Files | None, *, ca: Path | None = None
    ) -> str:
        """Of an agent that shows this certificate, and trusts this authority or the plant's."""
        own = f'certificate = "{files.certificate}"\nkey = "{files.key}"\n' if files else ""
        return self._write(
            f"{agent_id}.toml",
            f'[agent]\nid = "{agent_id}"\n[broker]\naddress = "{address}"\n'
            f'[link]\nbackoff_max_s = 0.5\n[tls]\nca = "{ca or self.ca.path}"\n{own}',
        )

    def _write(self, name: str, text: str) -> str:
        path = self.directory / name
        path.write_text(text)
        return str(path)


def endless(config: str, dataset: Path, *more: str) -> Agent:
    return Agent("--config", config, "--simulate", str(dataset), "--loop", "--rate", "100", *more)
