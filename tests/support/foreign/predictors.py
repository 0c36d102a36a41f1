"""Places for foreign text: what a predictor says of itself."""

from support.foreign.place import EVIL, NAME, Evil, Place

from broker.__main__ import main as broker_main
from broker.access import Access
from broker.config import LimitsSettings
from broker.host import Host
from broker.lines import Lines
from broker.model import Answer
from broker.predictors import BlackBox
from broker.predictors.load import load as load_predictor
from broker.recorder.memory import MemoryRecorder
from broker.service import Service
from broker.transport.memory import MemoryTransport
from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerRequest


class _MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class EvilMute(Evil):
    error = _MuteError("seen")


class Talkative(Evil):
    def explain(self) -> str:
        return EVIL


def explanation_of_a_black_box(place: Place) -> None:
    place.add(Host("press-1", Talkative(), keeps_state=False).explain(Answer(0, True), 0))


def black_box_that_cannot_tell(place: Place) -> None:
    for make in (Evil, EvilMute):
        host = Host("press-1", make(), keeps_state=True)
        assert host.explain(Answer(0, True), 0) is None
        assert host.snapshot() is None
    place.add("seen")


async def black_box_that_raises(place: Place) -> None:
    for make in (Evil, EvilMute):
        access = Access(None, LimitsSettings(), None)
        service = Service(Lines(BlackBox(make, ""), MemoryRecorder()), access)
        transport = MemoryTransport()
        await transport.start({METHOD_PATH: service.serve})
        call = transport.call(METHOD_PATH)
        await call.send(BrokerRequest(id=0).SerializeToString())
        place.add((await call.ending()).reason)
        await transport.stop(0)


def module_of_a_black_box(place: Place) -> None:
    place.monkeypatch.chdir(place.directory)
    place.monkeypatch.syspath_prepend(str(place.directory))
    place.file(f"raise ValueError({EVIL!r})\n", "evil_module.py")
    place.fails(lambda: load_predictor("evil_module:Box", {}))
    place.fails(lambda: load_predictor(NAME, {}))


def offline_black_box(place: Place) -> None:
    place.monkeypatch.chdir(place.directory)
    place.monkeypatch.syspath_prepend(str(place.directory))
    body = f"    def predict(self, sample):\n        if sample.id: raise ValueError({EVIL!r})\n"
    place.file(f"class Box:\n{body}        return False\n", "evil_offline.py")
    table = place.file("1,2,3,4\n" * 5, NAME)
    assert broker_main(["evaluate", str(table), "--predictor", "evil_offline:Box"]) == 1
    assert broker_main(["check-predictor", "evil_offline:Box"]) == 1
