"""What several contract suites are run on."""

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers import training as helper

from videoespresso.models.embedded import pack


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> helper.Make:
    """A family's tiny model to be taught, made once."""
    pytest.importorskip("trl")
    from tests.helpers.tiny_models import FAMILIES  # noqa: PLC0415 - an extra

    made: dict[str, Path] = {"pack": Path(next(iter(pack.__path__))) / "torch"}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = FAMILIES[name](tmp_path_factory.mktemp(name))
        return made[name]

    return make


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """System messages of one line."""
    helper.shorten(monkeypatch)


@pytest.fixture
def quiet_ends() -> Iterator[None]:
    """SDKs leave connections to the garbage collector, which would warn in a later test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
