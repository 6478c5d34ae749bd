"""The scale run, small: each of its parts finds what it is there to find."""

import os
import random
from pathlib import Path
from typing import Any

import pytest
from lab.reliability import faults, page, seeds, settings_files, videos
from lab.reliability.trials import PATIENCE_S, Trials
from lab.reliability.videos import MUTATIONS, mutated

from videoespresso import settings_file
from videoespresso.errors import VideoError


def behave(how: Any) -> dict[str, Any]:
    if how == "crash":
        os.abort()
    if how == "hang":
        while True:
            pass
    return {"outcome": how}


def test_a_trial_that_crashes_or_hangs_is_noticed_and_the_next_one_runs() -> None:
    trials = Trials(behave)
    try:
        assert trials.run("ok")["outcome"] == "ok"
        assert trials.run("crash")["outcome"] == "crash"
        assert trials.run("ok")["outcome"] == "ok"
        trials.patience_s = 0.5
        assert trials.run("hang")["outcome"] == "hang"
        trials.patience_s = PATIENCE_S
        assert trials.run("ok")["outcome"] == "ok"
    finally:
        trials.end()


def fails(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (VideoError("a.mp4 is empty", hint="copy it again"), "typed"),
        (VideoError("a.mp4 is empty"), "untyped"),
        (ValueError("instants must grow"), "untyped"),
        (VideoError("a.mp4: the decoder ended with status 1 (TypeError)", hint="x"), "untyped"),
        (VideoError("a.mp4: the decoder ended with status -11", hint="x"), "typed"),
    ],
)
def test_an_error_without_a_remedy_is_none_of_ours(error: Exception, outcome: str) -> None:
    assert videos.outcome(lambda: fails(error))["outcome"] == outcome


def test_the_same_number_is_the_same_damage() -> None:
    data = bytes(range(256)) * 20
    for number in range(40):
        one, other = (mutated(data, random.Random(number)) for _ in range(2))
        assert one == other
    for mutate in MUTATIONS:
        draws = (mutate(bytearray(data), random.Random(n)) for n in range(5))
        assert any(bytes(changed) != data for changed in draws), mutate.__name__


def test_there_are_twenty_containers_and_twenty_codecs() -> None:
    assert len({Path(seed.name).suffix for seed in seeds.SEEDS}) >= 20
    assert len({seed.codec for seed in seeds.SEEDS}) >= 20


def test_damaged_videos_are_typed_errors_and_known_ones_are_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tuple(s for s in seeds.SEEDS if s.name in ("h264.mp4", "mpeg4.avi", "ffv1.mkv"))
    monkeypatch.setattr(seeds, "SEEDS", few)
    found = list(videos.trials(tmp_path, 8, known={"video 0", "video 5"}))
    assert [r["key"] for r in found] == [f"video {n}" for n in (1, 2, 3, 4, 6, 7)]
    assert {r["outcome"] for r in found} <= {"ok", "typed"}
    assert not [f for f in tmp_path.iterdir() if f.name.startswith("damaged")]


def test_the_page_says_how_many_and_names_what_is_bad(tmp_path: Path) -> None:
    records = [
        {"key": f"video {n}", "part": "videos", "outcome": outcome, "seed": "a.mp4",
         "peak": 1 << 20, "commit": "abc", "machine": "m"}
        for n, outcome in enumerate(["ok", "typed", "hang"])
    ]  # fmt: skip
    page.write(tmp_path / "r" / "page.md", records)
    text = (tmp_path / "r" / "page.md").read_text()
    assert "n = 3" in text
    assert "Bad: 1 of 3" in text
    assert "`video 2`: hang" in text
    kept = text.replace("## Damaged videos", "## Kills of `ask`\n\n7 of them.\n\n## Damaged videos")
    (tmp_path / "r" / "page.md").write_text(f"{kept}\n{page.NOTES}\n\nMuch.\n")
    page.write(tmp_path / "r" / "page.md", records[:1])
    text = (tmp_path / "r" / "page.md").read_text()
    assert "n = 1;" in text
    assert "n = 3;" not in text
    assert text.index("7 of them.") < text.index("## Damaged videos") < text.index("Much.")


def test_settings_of_a_stranger_that_count_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = str(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.chdir(tmp_path)
    assert settings_files.trial((given, b"fps = 1"))["outcome"] == "ok"
    assert settings_files.trial((given, b"[[["))["outcome"] == "typed"
    assert len(settings_files.texts()) >= 60
    monkeypatch.setattr(settings_file, "trusted", lambda *_: True)
    assert settings_files.trial((given, b"cache_dir = 'x'"))["outcome"] == "obeyed"


def test_faults_are_forty_and_each_is_a_typed_error_or_a_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert len(faults.faults()) >= 40
    for name in ("tls", "half chunk", "invalid utf-8", "429 after 'nan'", "key echoed"):
        assert faults.trial(("openai", name, "words"))["outcome"] in ("ok", "typed"), name
