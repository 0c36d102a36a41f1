"""Who streams: a device, or a rehearsal that is new at each run."""

import pytest

from agent.config import (
    AgentSettings,
    Settings,
    SpoolSettings,
    TlsSettings,
    check,
    host_agent_id,
)
from agent.config.source import Ads1115Settings, ReplaySettings, VirtualAds1115Settings
from agent.identity import identity
from agent.model import Identity
from quartet.errors import SettingsError
from wire.metadata import AGENT_ID

REPLAY = ReplaySettings("some.csv")


@pytest.fixture(autouse=True)
def no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("source", [REPLAY, VirtualAds1115Settings()])
@pytest.mark.parametrize("host", ["pc", "x" * 80, ""])
def test_a_simulation_of_nobody_is_a_rehearsal_with_a_new_name_each_time(
    source: ReplaySettings | VirtualAds1115Settings, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.node", lambda: host)
    found = [identity(Settings(source=source)) for _ in range(20)]
    assert len({each.agent_id for each in found}) == 20
    for each in found:
        assert each.is_rehearsal
        assert AGENT_ID.fullmatch(each.agent_id)
        assert each.agent_id.startswith(f"rehearsal-{host_agent_id()[:45]}-")


@pytest.mark.parametrize(
    "settings",
    [
        Settings(source=Ads1115Settings()),
        Settings(),
        Settings(source=REPLAY, spool=SpoolSettings(directory="/var/lib/agent")),
        Settings(source=REPLAY, spool=SpoolSettings(hot_directory="/run/agent")),
    ],
)
def test_a_device_and_a_simulation_with_a_spool_of_its_own_have_the_name_of_the_host(
    settings: Settings,
) -> None:
    assert identity(settings) == Identity(host_agent_id())


def test_a_simulation_is_who_it_is_told_to_be() -> None:
    settings = Settings(source=REPLAY, agent=AgentSettings("press-4"))
    assert identity(settings) == Identity("press-4", is_rehearsal=False)


def test_a_simulation_with_a_certificate_needs_the_name_in_it() -> None:
    settings = Settings(source=REPLAY, tls=TlsSettings("ca.pem"))
    with pytest.raises(SettingsError, match=r"^agent.id: a simulation with \[tls\] .* --agent-id"):
        check(settings)
    check(Settings(source=REPLAY, tls=settings.tls, agent=AgentSettings("press-4")))
