"""`python -m lab.films`: seeded, of different shots, planted truly, and goes on where it was."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from lab import density, films
from lab.films import EVENTS_S, PIECE_S, Shot, join, main, pictures, pieces, truth, write_piece


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_plan_is_seeded_and_fills_the_film() -> None:
    film = pieces(300.0, 3, 2, ["clip.mp4"])
    assert film == pieces(300.0, 3, 2, ["clip.mp4"])
    assert film != pieces(300.0, 4, 2, ["clip.mp4"])
    assert [round(sum(shot.seconds for shot in piece), 3) for piece in film] == [PIECE_S] * 10
    shots = [shot for piece in film for shot in piece]
    assert len({shot.seed for shot in shots}) == len(shots) > 25
    assert {shot.source for shot in shots} == {"theatre", "clip.mp4"}


def test_events_are_of_each_length_and_in_the_theatre() -> None:
    planned = pieces(600.0, 1, 3, ["clip.mp4"])
    found = truth([[replace(s, source="theatre") for s in piece] for piece in planned])
    lengths = [round(e["end_s"] - e["start_s"], 3) for e in found["events"]]
    assert sorted(lengths) == [2.0] * 3 + [5.0] * 3 + [15.0] * 3
    assert all("balloon" in e["text"] for e in found["events"])
    assert not any("balloon" in shot["caption"] for shot in found["shots"])
    inside = [
        shot
        for event in found["events"]
        for shot in found["shots"]
        if shot["start_s"] < event["start_s"] and event["end_s"] < shot["end_s"]
    ]
    assert len(inside) == 9, "no cut gives an event away"


def test_more_events_than_pieces_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        pieces(60.0, 1, 1, [])
    with pytest.raises(SystemExit):
        main(["nowhere", "--minutes", "1", "--events", "9"])


def test_who_is_planted_is_seen_while_the_event_lasts_and_not_before() -> None:
    shot = Shot(3.0, films.THEATRE, "seen", (1.0, 2.0))
    without = list(pictures(replace(shot, event_s=None), None))
    planted = list(pictures(shot, None))
    differs = [bool((a != b).any()) for a, b in zip(without, planted, strict=True)]
    assert not any(differs[:24])
    assert all(differs[26:49])
    assert not any(differs[52:])


def test_the_pieces_are_joined_without_a_gap(tmp_path: Path) -> None:
    """Two pieces of two shots: every frame at its instant, a key frame where a piece begins."""
    plan = [[Shot(0.4, films.THEATRE, f"{k} {n}") for n in range(2)] for k in range(2)]
    files = [write_piece(tmp_path / f"{k}.mp4", shots, None) for k, shots in enumerate(plan)]
    again = write_piece(tmp_path / "again.mp4", plan[0], None)
    assert digest(again) == digest(files[0])
    join(files, tmp_path / "film.mp4")
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert (stream.width, stream.height, stream.average_rate) == (1280, 720, 25)
    assert [round(f.time * 25) for f in frames if f.time is not None] == list(range(40))
    assert frames[0].key_frame
    assert frames[20].key_frame


def test_an_interrupted_film_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(films, "PIECE_S", 0.4)
    monkeypatch.setattr(films, "SHORTEST_S", 0.2)
    shown = ["--minutes", "0.0135", "--no-clips", "--jobs", "1"]
    monkeypatch.setattr(films, "join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        main([str(tmp_path), *shown])
    (parts,) = tmp_path.glob("*.parts")
    kept = {f: f.stat().st_mtime_ns for f in parts.iterdir()}
    assert len(kept) == 2
    monkeypatch.setattr(films, "join", join)
    monkeypatch.setattr(films, "write_piece", lambda *_: pytest.fail("encoded again"))
    assert main([str(tmp_path), *shown]) == 0
    film = Path(capsys.readouterr().out.strip())
    assert film.is_file()
    assert len(json.loads(film.with_suffix(".json").read_text())["shots"]) == 2
    assert not parts.exists()


def test_density_counts_what_an_overview_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "film.mp4"
    write_piece(film, [Shot(1.0, films.THEATRE, "short")], None)
    spans = [(0.0, 0.5), (0.5, 1.0)]
    about = {
        "seconds": 1.0,
        "shots": [{"start_s": a, "end_s": b} for a, b in spans],
        "events": [{"start_s": k - 0.5, "end_s": k - 0.5 + s} for s in EVENTS_S for k in (0, 9)],
    }
    film.with_suffix(".json").write_text(json.dumps(about))
    assert density.main([str(film), "--frames", "1"]) == 0
    head, _, *_, row = capsys.readouterr().out.splitlines()
    assert head == "n: 2 events a length, 2 shots"
    assert [cell.split()[0] for cell in row.strip("| ").split(" | ")[:7]] == [
        *("1", "1", "1.0"),
        *("50%", "50%", "50%"),
        "50%",
    ]


def test_a_real_clip_is_altered_and_fills_the_picture(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_piece(clip, [Shot(0.4, films.THEATRE, "a clip")], None)
    (first, *_), (other, *_) = (
        list(pictures(Shot(0.2, clip.name, seed), tmp_path)) for seed in ("one", "two")
    )
    assert first.shape == other.shape == (720, 1280, 3)
    assert np.abs(first.astype(int) - other).mean() > 5
