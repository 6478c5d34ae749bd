"""Where a caption memory may be, and places that fail."""

import socket
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers.captions import STREET, Words, chroma_server, free_port, texts

from videoespresso.errors import MemoryStoreError, SettingsError
from videoespresso.memory.captions import CaptionMemory


def test_the_default_place_is_the_cache_folder(cache_folder: Path) -> None:
    memory = CaptionMemory.open(None, Words())
    assert not (cache_folder / "memory").exists()  # nothing is made until something is kept
    memory.add("v", STREET)
    assert (cache_folder / "memory" / "captions" / "v.jsonl").exists()


@pytest.mark.parametrize("video_id", ["", "../v", "a/b", ".hidden", "v" * 200, "v\n"])
def test_an_id_that_could_name_another_file_is_refused(video_id: str, tmp_path: Path) -> None:
    memory = CaptionMemory.open(tmp_path, Words())
    with pytest.raises(MemoryStoreError):
        memory.add(video_id, STREET)


@pytest.mark.parametrize(
    "where", ["ftp://host", "http://", "http://host:port", "http://host/path", "http://u:p@host"]
)
def test_a_place_that_is_none_is_refused(where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        CaptionMemory.open(where, Words())
    assert caught.value.hint


def test_no_server_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(MemoryStoreError, match="no Chroma server answers") as caught:
        CaptionMemory.open(f"http://127.0.0.1:{free_port()}", Words(), root=tmp_path)
    assert "chroma run" in caught.value.hint


def test_a_server_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videoespresso.memory.caption_index.CONNECT_S", 0.2)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(MemoryStoreError):
            CaptionMemory.open(f"http://127.0.0.1:{mute.getsockname()[1]}", Words(), root=tmp_path)


def test_a_server_that_goes_away_loses_no_captions(tmp_path: Path) -> None:
    with chroma_server(tmp_path) as url:
        memory = CaptionMemory.open(url, Words(), root=tmp_path)
        memory.add("v", STREET[:2])
    with pytest.raises(MemoryStoreError):
        memory.add("v", STREET[2:])
    assert memory.captions("v") == STREET
    local = CaptionMemory.open(tmp_path, Words())  # the same captions, an index of our own
    assert texts(local, "dog", ["v"], 1) == ["dog crosses the road"]


def test_the_files_survive_when_the_embedder_fails(tmp_path: Path) -> None:
    class Broken(Words):
        def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
            raise MemoryStoreError("no vectors today")

    memory = CaptionMemory.open(tmp_path, Broken())
    with pytest.raises(MemoryStoreError, match="no vectors"):
        memory.add("v", STREET)
    assert texts(CaptionMemory.open(tmp_path, Words()), "dog", ["v"], 1)
