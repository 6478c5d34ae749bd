"""What several tests of whole commands share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def readers_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of somebody who reads all guides: a film that was looked at for one block is known to the
    next."""
    return tmp_path_factory.mktemp("reader")


@pytest.fixture
def as_a_reader(readers_cache: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of a cache of the test's own."""
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(readers_cache))
