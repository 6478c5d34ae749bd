"""The example plug-in, installed as a stranger would: found by name, tried, used and cited."""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import videoespresso as ve
from videoespresso.cli.app import main
from videoespresso.cli.console import Exit, err, out
from videoespresso.errors import SettingsError
from videoespresso.settings import Settings
from videoespresso.tools.grounding import detector

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "examples/plugin"
STREET = ROOT / "examples/videos/street.mp4"


def can_build() -> bool:
    """Whether this environment can make a wheel without fetching anything first."""
    if importlib.util.find_spec("setuptools") is None:
        return False
    major, minor = importlib.metadata.version("setuptools").split(".")[:2]
    return (int(major), int(minor)) >= (70, 1) or importlib.util.find_spec("wheel") is not None


def by_pip(source: Path, target: Path) -> None:
    """Built and installed by pip, with what is here."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def by_hand(source: Path, target: Path) -> None:
    """What pip would lay down, from the same pyproject.toml: the package and its metadata."""
    project = tomllib.loads((source / "pyproject.toml").read_text())
    about = project["project"]
    for package in project["tool"]["setuptools"]["packages"]:
        shutil.copytree(source / package, target / package)
    info = target / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in about["entry-points"].items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path that holds the plug-in; built from a copy, as building leaves traces."""
    source, target = tmp_path / "source", tmp_path / "site"
    ignore = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(PLUGIN, source, ignore=ignore)
    target.mkdir()
    (by_pip if can_build() else by_hand)(source, target)
    monkeypatch.syspath_prepend(str(target))
    out.cache_clear()
    err.cache_clear()
    yield target
    for name in ("videoespresso_brightness", "videoespresso_brightness.blobs"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("installed")
def test_it_is_listed_with_who_brought_it(capsys: Any) -> None:
    assert main(["tools", "list"]) == Exit.ANSWERED
    (line,) = [row for row in capsys.readouterr().out.splitlines() if row.startswith("brightness")]
    assert "videoespresso-brightness" in line


@pytest.mark.usefixtures("installed")
def test_it_is_tried_on_frames_and_on_a_stretch(capsys: Any) -> None:
    line = ["tools", "try", "brightness", str(STREET), "--detector", "off"]
    assert main([*line, "--at", "5"]) == Exit.ANSWERED
    assert capsys.readouterr().out.count(" of 255.") == 3
    assert main([*line, "--arg", "start_s=2", "--arg", "end_s=4"]) == Exit.ANSWERED
    assert capsys.readouterr().out.count(" of 255.") == 2


@pytest.mark.usefixtures("installed", "as_a_reader")
def test_it_is_used_in_an_answer_and_cited() -> None:
    settings = Settings.load({"tools": ["brightness"]}, environ={})
    answer = ve.ask(STREET, "Why does the white car stop?", settings=settings)
    said = [step for step in answer.evidence if step.source == "brightness"]
    assert len(said) == len(answer.core_frames)
    assert {step.frame_id for step in said} == {core.frame.id for core in answer.core_frames}
    assert all(" of 255." in step.text for step in said)
    assert answer.settings["tools"] == "brightness"


@pytest.mark.usefixtures("installed", "as_a_reader")
def test_its_detector_is_used_in_an_answer_and_its_boxes_are_counted() -> None:
    settings = Settings.load({"detector": "blobs:red,blue", "tools": ["count"]}, environ={})
    answer = ve.ask(STREET, "Why does the white car stop?", settings=settings)
    assert answer.settings["detector"] == "blobs:red,blue"
    labels = {box.label for core in answer.core_frames for box in core.boxes}
    assert labels
    assert labels <= {"red patch", "blue patch"}
    counted = [step for step in answer.evidence if step.source == "count"]
    assert counted
    assert any(label in step.text for step in counted for label in labels)


@pytest.mark.usefixtures("installed")
def test_its_detector_finds_patches_where_they_are() -> None:
    picture = Image.new("RGB", (400, 200), (90, 90, 90))
    picture.paste((220, 30, 30), (40, 20, 120, 100))
    picture.paste((30, 30, 220), (200, 100, 300, 180))
    found = {box.label: box for box in detector("blobs").detect(picture)}
    assert set(found) == {"red patch", "blue patch"}
    assert found["red patch"].xyxy == pytest.approx((0.1, 0.1, 0.3, 0.5), abs=0.02)
    assert found["blue patch"].xyxy == pytest.approx((0.5, 0.5, 0.75, 0.9), abs=0.02)
    assert min(box.score for box in found.values()) > 0.9


@pytest.mark.usefixtures("installed")
def test_a_wrong_spec_is_told_with_what_is_installed() -> None:
    with pytest.raises(SettingsError, match="no colour of"):
        detector("blobs:pink")
    with pytest.raises(SettingsError) as caught:
        detector("blob")
    assert "blobs, off" in caught.value.hint
