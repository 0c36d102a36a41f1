"""The other agents of this computer: what two configurations name, and only one agent can have."""

import contextlib
from collections.abc import Iterator

from agent.check.findings import Findings, failed, passed, skipped
from agent.config import Settings
from agent.config.source import Ads1115Settings, VirtualAds1115Settings
from agent.instance import COLD, HOT, Instance
from quartet.errors import SettingsError
from quartet.inspection import Remark
from quartet.settings import load

# What it is, and the key that names it.
_Claims = dict[str, str]


def check_neighbours(settings: Settings, instance: Instance) -> Findings:
    """A finding for each thing that is named twice; none on a computer with one agent."""
    if folder := instance.apart_from:
        detail = f"this configuration is of no agent in {folder}, and is not compared with those"
        yield skipped("other agents", detail)
    if not instance.beside:
        return
    shared = list(_shared(settings, instance))
    for text in shared:
        yield failed("other agents", text, "give each agent its own, or remove that file")
    if not shared:
        others = ", ".join(path.name for path in instance.beside)
        yield passed("other agents", f"nothing is shared with {others}")


def inspect_neighbours(settings: Settings, instance: Instance) -> Iterator[Remark]:
    """The same before a start. It is no failure: the other agent may not run any more."""
    for text in _shared(settings, instance):
        yield Remark(f"{text}: only one of the two agents can have it", fails=False)


def _shared(settings: Settings, instance: Instance) -> Iterator[str]:
    ours = _claims(settings, instance.name)
    for path in instance.beside:
        with contextlib.suppress(SettingsError):  # its own check tells what is wrong with it
            theirs = _claims(load(path, Settings), instance.beside[path])
            for what in ours.keys() & theirs.keys():
                yield f"{ours[what]}: {what} is also {theirs[what]} in {path}"


def _claims(settings: Settings, name: str) -> _Claims:
    spool, source = settings.spool, settings.source
    claims = {
        spool.directory or str(COLD / name): "spool.directory",
        spool.hot_directory or str(HOT / name): "spool.hot_directory",
    }
    for broker in settings.broker.addresses:
        claims[f"{settings.agent.device_id} at {broker}"] = "agent.id"
    if isinstance(source, Ads1115Settings) and not isinstance(source, VirtualAds1115Settings):
        claims[f"the chip at {source.chip_address:#x} on bus {source.bus}"] = "source.address"
    for key, output in (("alarm", settings.outputs.alarm), ("status", settings.outputs.status)):
        if output:
            claims[f"GPIO{output.pin}"] = f"outputs.{key}.pin"
    return claims
