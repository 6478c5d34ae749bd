"""`models pull detector --yolo`: by name and by file, its licence said, nothing broken kept."""

import json
from pathlib import Path

import pytest
from tests.helpers.web import Site, serve, status

from videoespresso.cli.app import main
from videoespresso.models.weights import folder, pulled_detector
from videoespresso.settings import Settings

pytestmark = pytest.mark.extras
ASSET = "/ultralytics/assets/yolo11n.pt"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An untrained YOLO11n, as ultralytics saves it."""
    ultralytics = pytest.importorskip("ultralytics")
    file = tmp_path_factory.mktemp("yolo") / "made.pt"
    ultralytics.YOLO("yolo11n.yaml").save(file)
    return file.read_bytes()


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Site:
    """ultralytics' own download, led from GitHub to this machine."""
    downloads = pytest.importorskip("ultralytics.utils.downloads")
    real = downloads.safe_download
    site = Site()

    def safe_download(url: str, **options: object) -> object:
        assert url.startswith("https://github.com/ultralytics/assets/releases/download/")
        return real(url=site.url(ASSET), **{**options, "retry": 0})

    monkeypatch.setattr(downloads, "safe_download", safe_download)
    return site


def test_by_name(checkpoint: bytes, github: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with github:
        github.pages[ASSET] = serve(checkpoint, kind="application/octet-stream")
        assert main(["models", "pull", "detector", "--yolo", "yolo11n", "--yes", "--json"]) == 0
    said = capsys.readouterr()
    assert said.err.count("AGPL-3.0") == 1
    place = folder(Settings.load(), "detector")
    [row] = json.loads(said.out)
    assert row["spec"] == pulled_detector(Settings.load()) == f"yolo:{place / 'yolo11n.pt'}"
    assert row["licence"] == "AGPL-3.0"
    assert (place / "yolo11n.pt").read_bytes() == checkpoint


@pytest.mark.parametrize("answer", ["nothing", "junk"])
def test_what_cannot_be_had_leaves_nothing(
    github: Site, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with github:
        junk = serve(b"junk" * 50_000, kind="application/octet-stream")
        github.pages[ASSET] = junk if answer == "junk" else status(404)
        assert main(["models", "pull", "detector", "--yolo", "yolo11n", "--yes"]) == 2
    assert "could not be fetched" in capsys.readouterr().err
    assert pulled_detector(Settings.load()) is None
    assert not list(Settings.load().models_dir.rglob("*.pt"))


def test_by_file_and_by_a_wrong_name(
    tmp_path: Path, checkpoint: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "best.pt").write_bytes(checkpoint)
    assert main(["models", "pull", "detector", "--yolo", str(tmp_path / "best.pt")]) == 0
    assert pulled_detector(Settings.load()) == (
        f"yolo:{folder(Settings.load(), 'detector') / 'best.pt'}"
    )
    assert main(["models", "pull", "detector", "--yolo", "yolo11nn", "--yes"]) == 2
    assert "Did you mean yolo11n" in capsys.readouterr().err
    assert main(["models", "pull", "vlm", "--yolo", "yolo11n", "--yes"]) == 2
