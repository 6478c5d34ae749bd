"""The caption memory: one contract over the embedded Chroma and a real Chroma server."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.captions import STREET, Words, caption, chroma_server, texts

from videoespresso.memory.captions import RECENT, CaptionMemory, CaptionMemoryWarning

ROOT = Path(__file__).resolve().parents[2]


Open = Callable[..., CaptionMemory]


@pytest.fixture(scope="module")
def chroma_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server, `chroma run`, for the module; it is gone when the fixture ends."""
    with chroma_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(params=["embedded", "server"])
def open_memory(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same memory each time it is called; every test has its own video ids."""
    if request.param == "embedded":
        return lambda embed=None: CaptionMemory.open(tmp_path, embed or Words())
    url = request.getfixturevalue("chroma_url")
    return lambda embed=None: CaptionMemory.open(url, embed or Words(), root=tmp_path)


@pytest.fixture
def v(request: pytest.FixtureRequest) -> str:
    """A video id of this test alone, as the server is shared by all."""
    return "v" + str(abs(hash(request.node.nodeid)))


def test_what_was_added_comes_back_and_is_found(open_memory: Open, v: str) -> None:
    memory = open_memory()
    memory.add(v, STREET)
    assert memory.captions(v) == STREET
    found = memory.search("car stops", [v], 2)
    assert [f.caption for f in found] == [STREET[1], STREET[0]]
    assert {f.video_id for f in found} == {v}
    assert found[0].score == pytest.approx(2 / np.sqrt(6), abs=1e-5)  # cosine of 2 of 3 words
    assert found[1].score == pytest.approx(1 / np.sqrt(6), abs=1e-5)


def test_a_memory_that_is_not_eager_indexes_at_the_first_search(open_memory: Open, v: str) -> None:
    memory = open_memory()
    memory.eager = False
    memory.add(v, STREET)
    assert memory.captions(v) == STREET
    before = memory.stats().indexed
    assert texts(memory, "car stops", [v], 1) == ["red car stops"]
    assert memory.stats().indexed == before + len({c.text for c in STREET}) > 0


def test_captions_of_few_videos_are_kept_in_the_process(tmp_path: Path) -> None:
    """The others are read again: what a run over thousands of videos takes does not grow."""
    memory = CaptionMemory.open(tmp_path, Words())
    memory.eager = False
    for k in range(RECENT + 5):
        memory.add(f"v{k}", STREET)
        assert memory.captions(f"v{k}") == STREET
    assert memory._files._parsed.cache_info().currsize == RECENT
    assert memory.captions("v0") == STREET


def test_another_process_finds_it_too(open_memory: Open, v: str) -> None:
    open_memory().add(v, STREET)
    embed = Words()
    memory = open_memory(embed)
    assert memory.captions(v) == STREET
    assert texts(memory, "dog", [v], 1) == ["dog crosses the road"]
    assert embed.asked == ["dog"]  # the captions are not embedded again


def test_equal_scores_are_in_order_of_time(open_memory: Open, v: str) -> None:
    memory = open_memory()
    memory.add(v, STREET[::-1])
    found = memory.search("red car drives", [v], 5)
    assert [f.caption.time_s for f in found] == [0.0, 4.0, 1.0, 2.0, 3.0]
    assert found[0].score == found[1].score == 1.0


def test_ties_at_the_edge_are_cut_by_time_not_by_chance(open_memory: Open, v: str) -> None:
    """300 texts of the same words in other orders have equal vectors; the earliest win."""
    memory = open_memory()
    words = ["one", "two", "six", "ten", "red", "car"]
    orders = [" ".join(np.random.default_rng(k).permutation(words)) for k in range(300)]
    memory.add(v, [caption(float(k), f"{text}{' ' * k}") for k, text in enumerate(orders)][::-1])
    found = memory.search("red car", [v], 7)
    assert [f.caption.time_s for f in found] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_search_over_several_videos_or_one(open_memory: Open, v: str) -> None:
    memory = open_memory()
    other, third = v + "b", v + "c"
    memory.add(v, STREET)
    memory.add(other, [caption(0.0, "dog crosses the road"), caption(1.0, "cat sleeps")])
    memory.add(third, [caption(0.0, "cat sleeps")])
    assert "cat sleeps" not in texts(memory, "cat", [v], 9)
    both = memory.search("dog crosses the road", [other, v], 3)
    assert [(f.video_id, f.caption.time_s) for f in both] == [(other, 0.0), (v, 2.0), (v, 3.0)]
    assert [f.video_id for f in memory.search("cat sleeps", [v, other, third], 2)] == [other, third]
    assert {v, other, third} <= set(memory.video_ids())


def test_only_what_is_to_be_kept_counts(open_memory: Open, v: str) -> None:
    """A thousand captions are nearer, many of them alike, among which Chroma's graph loses its
    way; of the text that is kept one instant is."""
    memory = open_memory()
    nearer = [caption(k / 10, f"dog {'crosses ' * (k % 7)}{' ' * k}") for k in range(1000)]
    memory.add(v, [*nearer, caption(200.0, "cat sleeps"), caption(201.0, "cat sleeps")])
    found = memory.search("dog crosses", [v], 5, keep=lambda c: c.time_s in (0.0, 201.0))
    assert [f.caption.time_s for f in found] == [0.0, 201.0]
    assert memory.search("dog", [v], 5, keep=lambda _c: False) == []


def test_nothing_to_find(open_memory: Open, v: str) -> None:
    memory = open_memory()
    assert memory.captions(v) == []
    assert memory.search("dog", [v], 3) == []
    memory.add(v, [])
    memory.add(v, [caption(0.0, ""), caption(1.0, "dog")])
    assert memory.captions(v)[0].text == ""
    assert [f.caption.time_s for f in memory.search("dog", [v], 3)] == [1.0]
    assert memory.search(" ", [v], 3) == []
    assert memory.search("dog", [v], 0) == []
    assert memory.search("dog", [], 3) == []


def test_a_second_caption_of_a_frame_replaces_the_first(open_memory: Open, v: str) -> None:
    memory = open_memory()
    memory.add(v, STREET)
    memory.add(v, [caption(1.0, "green bus waits")])
    assert [c.text for c in memory.captions(v)].count("red car stops") == 0
    assert "red car stops" not in texts(memory, "red car stops", [v], 9)
    assert texts(memory, "green bus", [v], 1) == ["green bus waits"]
    assert len(memory.captions(v)) == len(STREET)


def test_adding_the_same_again_costs_nothing(open_memory: Open, v: str, tmp_path: Path) -> None:
    embed = Words()
    memory = open_memory(embed)
    memory.add(v, STREET)
    assert sorted(embed.asked) == ["dog crosses the road", "red car drives", "red car stops"]
    size = (tmp_path / "captions" / f"{v}.jsonl").stat().st_size
    memory.add(v, STREET)
    open_memory(embed).add(v, STREET[2:])
    assert len(embed.asked) == 3
    assert (tmp_path / "captions" / f"{v}.jsonl").stat().st_size == size


def test_a_static_hour_hides_nothing(open_memory: Open, v: str) -> None:
    """3,600 equal captions, and each of 20 others is still found by its own words."""
    memory = open_memory(Words(d=4096))
    static = [caption(float(k), "empty street") for k in range(3600)]
    events = [caption(5000.0 + k, f"event{k} happens{k}") for k in range(20)]
    memory.add(v, static + events)
    for event in events:
        (found,) = memory.search(event.text, [v], 1)
        assert (found.caption, found.score) == (event, 1.0)
    assert [f.caption.time_s for f in memory.search("empty street", [v], 3)] == [0.0, 1.0, 2.0]


def test_the_index_knows_video_frame_seconds_and_where_a_caption_was_taken_from(
    open_memory: Open, v: str
) -> None:
    memory = open_memory()
    taken = caption(7.5, "bird flies", shared_from="v@7000")
    memory.add(v, [*STREET, taken])
    with memory._index.where.session() as client:
        name = memory._index.collection_name(v)
        collection = client.get_collection(name, embedding_function=None)
        rows = collection.get(include=["documents", "metadatas"])
        known = dict(zip(rows["documents"], rows["metadatas"], strict=True))
        assert collection.metadata["embedder"] == "words"
    assert known["bird flies"] == {
        "video_id": v, "frame_id": "v@7500", "seconds": 7.5, "shared_from": "v@7000",
    }  # fmt: skip
    assert known["dog crosses the road"] == {"video_id": v, "frame_id": "v@2000", "seconds": 2.0}


def test_another_embedder_makes_its_own_index(open_memory: Open, v: str) -> None:
    open_memory(Words("first")).add(v, STREET)
    second = Words("second", d=16)  # even of another width
    memory = open_memory(second)
    assert texts(memory, "red car stops", [v], 1) == ["red car stops"]
    assert set(second.asked) >= {c.text for c in STREET}
    first = Words("first")
    assert texts(open_memory(first), "dog", [v], 1) == ["dog crosses the road"]
    assert first.asked == ["dog"]


def test_a_model_that_changed_its_width_under_one_name_is_rebuilt(
    open_memory: Open, v: str
) -> None:
    open_memory(Words("same")).add(v, STREET)
    memory = open_memory(Words("same", d=16))
    with pytest.warns(CaptionMemoryWarning):
        assert texts(memory, "red car stops", [v], 1) == ["red car stops"]


def test_entries_that_are_missing_come_back(open_memory: Open, v: str) -> None:
    memory = open_memory()
    memory.add(v, STREET)
    with memory._index.where.session() as client:
        name = memory._index.collection_name(v)
        collection = client.get_collection(name, embedding_function=None)
        collection.delete(ids=collection.get()["ids"][:1])
    with pytest.warns(CaptionMemoryWarning, match="1 of 3 entries are missing"):
        assert len(memory.search("car dog", [v], 9)) == len(STREET)


def test_rebuild_makes_the_index_again_from_the_files(open_memory: Open, v: str) -> None:
    embed = Words()
    memory = open_memory(embed)
    memory.add(v, STREET)
    embed.asked.clear()
    stats = memory.rebuild()
    assert sorted(embed.asked) == ["dog crosses the road", "red car drives", "red car stops"]
    assert (stats.videos, stats.captions, stats.texts, stats.indexed) == (1, 5, 3, 3)
    assert stats.embedder == "words"
    assert texts(memory, "dog", [v], 1) == ["dog crosses the road"]


def test_what_a_killed_process_did_not_index_is_indexed_later(
    open_memory: Open, v: str, tmp_path: Path
) -> None:
    memory = open_memory()
    memory.add(v, STREET[:2])
    with (tmp_path / "captions" / f"{v}.jsonl").open("a") as file:
        file.write(caption(2.0, "dog crosses").model_dump_json() + "\n")
        file.write('{"frame_id": "v@3000", "time_s": 3.0, "te')  # killed in the middle
    for reader in (memory, open_memory()):
        assert texts(reader, "dog", [v], 1) == ["dog crosses"]
        assert len(reader.captions(v)) == 3
    memory.add(v, [caption(3.0, "cat sleeps")])
    assert [c.text for c in open_memory().captions(v)] == [
        "red car drives", "red car stops", "dog crosses", "cat sleeps",
    ]  # fmt: skip


def test_a_damaged_line_is_left_out_with_a_warning(
    open_memory: Open, v: str, tmp_path: Path
) -> None:
    open_memory().add(v, STREET)
    path = tmp_path / "captions" / f"{v}.jsonl"
    path.write_bytes(path.read_bytes().replace(b"red car stops", b"\xff\xfe"))
    with pytest.warns(CaptionMemoryWarning, match="1 damaged line"):
        assert len(open_memory().captions(v)) == len(STREET) - 1


def test_a_forgotten_video_is_gone(open_memory: Open, v: str) -> None:
    memory = open_memory()
    memory.add(v, STREET)
    memory.forget(v)
    assert memory.captions(v) == []
    assert memory.search("dog", [v], 3) == []
    assert open_memory().search("dog", [v], 3) == []
    memory.add(v, STREET[:1])
    assert texts(memory, "car", [v], 9) == ["red car drives"]


def test_threads_may_share_a_memory(open_memory: Open, v: str) -> None:
    memory = open_memory()
    failures: list[BaseException] = []

    def work(k: int) -> None:
        try:
            memory.add(v, [caption(float(10 * k + i), f"word{k} item{i}") for i in range(5)])
            assert memory.search(f"word{k}", [v], 1)
        except BaseException as error:  # noqa: BLE001 - reported below, from the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(memory.captions(v)) == 20
    assert memory.stats().indexed == 20


WRITER = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("error")
root, where, folder, v, me = sys.argv[1:]
sys.path[:0] = [root, root + "/src"]
from tests.helpers.captions import Words, caption
from videoespresso.memory.captions import RECENT
from videoespresso.memory.captions import CaptionMemory
memory = CaptionMemory.open(where, Words(), root=Path(folder))
print("ready", flush=True); sys.stdin.readline()
for k in range(3):
    first = (200 if me == "b" else 0) + 30 * k
    memory.add(v, [caption(float(first + i), f"{me}{first + i} item{i}") for i in range(30)])
    assert memory.search(f"{me}{first}", [v], 1)[0].score > 0.5
print("done", flush=True)
"""


@pytest.mark.parametrize("kind", ["embedded", "server"])
def test_two_processes_writing_at_once_lose_nothing(
    kind: str, tmp_path: Path, v: str, request: pytest.FixtureRequest
) -> None:
    where = str(tmp_path) if kind == "embedded" else request.getfixturevalue("chroma_url")
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WRITER, ROOT, where, tmp_path, v, me],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
            )
            for me in "ab"
        ]  # fmt: skip
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:  # both are ready: now let them go at the same time
            writer.communicate("\n", timeout=240)
            assert writer.returncode == 0
    memory = CaptionMemory.open(where, Words(), root=tmp_path)
    assert len(memory.captions(v)) == 180
    assert memory.stats().indexed == 180
    embed = Words()
    found = CaptionMemory.open(where, embed, root=tmp_path).search("item3", [v], 180)
    assert len(found) == 180
    assert embed.asked == ["item3"]


def test_chroma_never_uses_its_own_embedder(
    open_memory: Open, v: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chromadb.utils import embedding_functions  # noqa: PLC0415

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("Chroma's default embedder downloads a model")

    monkeypatch.setattr(embedding_functions.DefaultEmbeddingFunction, "__call__", refuse)
    memory = open_memory()
    memory.add(v, STREET)
    assert memory.search("dog", [v], 1)
    with memory._index.where.session() as client:
        settings = client.get_settings()
        assert settings.anonymized_telemetry is False
