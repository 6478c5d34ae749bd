"""What `lab` prints about decoding, starting and selection: every way runs, and counts rightly."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from lab import decode_bench, selection_scores, startup
from tests.helpers.videos import Recipe, encode

from videoespresso.evidence_scores import selection


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s, a key frame a second."""
    options = {"preset": "ultrafast", "g": "10"}
    recipe = Recipe("film.mp4", "libx264", range(120), Fraction(1, 10), options=options)
    return encode(tmp_path_factory.mktemp("films") / recipe.name, recipe)


@pytest.mark.parametrize("way", decode_bench.WAYS)
def test_every_way_looks_at_the_film(film: Path, way: str) -> None:
    expected = {"keys": 12, "keys-plain": 12, "dense-pyav": 80, "dense-decord": 80}
    found = decode_bench.measured(way, str(film))
    assert found["frames"] == expected.get(way, found["frames"]) >= 11
    assert found["seconds"] > 0


def test_rounds_go_on_and_ratios_are_of_pairs(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    took = {"overview": 2.0, "keys": 1.0, "decord": 18.0}
    runs = []

    def alone(way: str, _film: Path, _before: Path | None) -> dict[str, object]:
        runs.append(way)
        use = {"seconds": took[way] * len(runs), "cpu_s": took[way]}
        return {"frames": 12, **use, "mb": 50, "decoder_mb": 60}

    monkeypatch.setattr(decode_bench, "alone", alone)
    out = tmp_path / "runs.jsonl"
    ways = ["--ways", "overview", "keys", "decord"]
    for rounds in ("1", "2", "2"):
        assert decode_bench.main([str(film), "--rounds", rounds, "--out", str(out), *ways]) == 0
    assert runs == ["overview", "keys", "decord", "keys", "decord", "overview"]
    table = capsys.readouterr().out.rpartition("# film.mp4")[2]
    assert "| overview | 12 | 7.00 (2.00 to 12.00) | 2.00 | 50 + 60 | 2 |" in table
    assert re.search(r"\| decord / overview \| .* \| 9\.00 \(.*\) \| 2 \|", table)
    assert len(out.read_text().splitlines()) == 6


def test_another_checkout_is_measured_with_its_own_code(film: Path, tmp_path: Path) -> None:
    """Its `videoespresso` is used, not ours: here one that cannot be imported."""
    broken = tmp_path / "src" / "videoespresso"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise SystemExit(7)")
    with pytest.raises(Exception, match="exit status 7"):
        decode_bench.alone("before", film, tmp_path)


def test_every_pair_and_budget_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert selection_scores.main(["--n", "14"]) == 0
    text = capsys.readouterr().out
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    ways = [row[0].strip("| ") for row in rows if row[0] != "| pair"]
    assert len(ways) == 4 * (2 + 2 * 6)
    assert len(set(ways)) == 14
    assert "n = 14 questions" in text
    rated = {row[0].strip("| "): row[5].strip("| ") for row in rows[::-1] if row[0] != "| pair"}
    assert (rated["captions+top"], rated["uniform"]) == ("100%", "0%")
    assert 0 < int(rated["captions+focus"].rstrip("%")) < 100


def test_answers_stand_beside_the_pair_and_budget_that_they_were_asked_under() -> None:
    row = selection_scores.Row("uniform", 4, "a.mp4", selection([1.0], [[(0.0, 2.0)]]), 0.0)
    rows = [row, row._replace(k=8)]
    text = selection_scores.page(rows, 1, {"uniform:4": "90.0 (80.0 to 95.0), n 10"})
    four, eight = text.split("### 4 frames")[1].split("### 8 frames")
    assert "| right |" in four
    assert four.rstrip().endswith("| 0% | 90.0 (80.0 to 95.0), n 10 |")
    assert "right" not in eight
    assert eight.rstrip().endswith("| 0% |")


def test_startup_prints_each_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def timed(argv: tuple[str, ...], environ: dict[str, str]) -> tuple[float, float]:
        asked.append(("ask" in argv, environ.get("VIDEOESPRESSO_CACHE_DIR")))
        return len(asked), 0.5

    monkeypatch.setattr(startup, "timed", timed)
    assert startup.main(["--rounds", "2"]) == 0
    assert "| cached question | 12.50 (10.00 to 15.00) | 0.50 (0.50 to 0.50) | 2 |" in (
        capsys.readouterr().out
    )
    folders = [folder for is_question, folder in asked if is_question]
    assert folders[0] == folders[1] != folders[2] == folders[3]
