"""Exports are trained on by the trainers they are for: one optimisation step each, on a tiny model.

ms-swift and LLaMA-Factory want older versions of what we use, so that each gets an environment of
its own, which is downloaded: `make test-trainers`.
"""

import json
import os
import site
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.released import dataset
from tests.helpers.tiny_models import qwen

from videoespresso.dataset.formats.convert import convert
from videoespresso.dataset.formats.lengths import counter
from videoespresso.dataset.formats.writing import Choices

pytestmark = [pytest.mark.network, pytest.mark.extras, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]
MS_SWIFT = ("ms-swift==4.6.0", "qwen-vl-utils")
LLAMA_FACTORY = ("llamafactory==0.9.5",)


def environment(folder: Path, packages: tuple[str, ...]) -> Path:
    """Python of a fresh environment that has what this one has, and older where the packages want
    it so."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "ours.pth").write_text("\n".join(site.getsitepackages()))
    pip = [folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *packages], check=True)
    return folder / "bin/python"


def trained(python: Path, trainer: str, folder: Path) -> dict[str, Any]:
    """What the trainer made of the rows, and how its step went."""
    places = [folder / "model", folder / "export", folder / "out"]
    ran = subprocess.run(
        [python, ROOT / "tests/helpers/trainer_run.py", trainer, *places],
        cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "USE_HF": "1", "CUDA_VISIBLE_DEVICES": "",
                          "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1",
                          "MODELSCOPE_CACHE": str(folder / "modelscope")},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, Any] = json.loads(ran.stdout.rpartition("RESULT ")[2].partition("\n")[0])
    assert found["steps"] == 1
    assert 0 < found["loss"] < 20
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny Qwen2.5-VL."""
    (tmp_path / "model").mkdir()
    return qwen(tmp_path / "model")


@pytest.mark.usefixtures("model")
def test_ms_swift_writes_our_boxes_as_its_model_reads_them(tmp_path: Path) -> None:
    choices = Choices(replies="text")
    convert(dataset(tmp_path / "d"), tmp_path / "export", to="ms-swift", choices=choices)
    found = trained(environment(tmp_path / "env", MS_SWIFT), "ms-swift", tmp_path)
    # 64 x 36 pixels are shown as 84 x 56, whose pixels Qwen2.5-VL reads
    marks = "<|object_ref_start|>light<|object_ref_end|><|box_start|>(8,11),(25,22)<|box_end|>"
    assert found["learned"] == [f"The {marks} turns red. The car stops.<|im_end|>\n"] * 3


def test_llama_factory_learns_the_last_reply_and_counts_as_we_do(
    tmp_path: Path, model: Path
) -> None:
    counted: list[int] = []
    count = counter(f"hf:{model}")

    def tokens(conversation: Any) -> int:
        counted.append(count(conversation))
        return counted[-1]

    choices = Choices(tokens=tokens)
    done = convert(dataset(tmp_path / "d"), tmp_path / "export", to="llama-factory",
                   choices=choices)  # fmt: skip
    assert done.longest == max(counted)
    python = environment(tmp_path / "env", LLAMA_FACTORY)
    found = trained(python, "llama-factory", tmp_path)
    reply = '{"answered":true,"answer":"because the light is red","choice":"B"}'
    assert found["learned"] == [f"{reply}<|im_end|>\n"] * 3
    assert found["tokens"] == counted
    assert found["cut"] == [counted[0] - 100] * 3, "nothing was said"
