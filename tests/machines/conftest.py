from collections.abc import Iterator

import pytest

from machines.container import Container
from machines.plant import Plant


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with Container("trixie") as trixie, Container("bookworm") as bookworm:
        yield Plant(tmp_path_factory.mktemp("plant"), trixie, bookworm)


@pytest.fixture(params=["trixie", "bookworm"])
def machine(plant: Plant, request: pytest.FixtureRequest) -> Container:
    found: Container = getattr(plant, request.param)
    return found
