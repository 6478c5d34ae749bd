"""An ablation of teaching in small: arms are taught, asked, set in pairs, and not done twice."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of peft about transformers
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch's older exporter
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
if importlib.util.find_spec("trl") is None:
    pytest.skip("extra `train` is not installed", allow_module_level=True)

from lab import train_ablations  # noqa: E402 - an extra
from lab.train_ablations import AXES, Arm  # noqa: E402 - an extra

from videoespresso.dataset import records_io  # noqa: E402
from videoespresso.models.embedded import PACK_TORCH  # noqa: E402
from videoespresso.training.recipes import STAGES  # noqa: E402


def test_axes_are_of_stages_that_there_are() -> None:
    steps = [step.partition(":")[0] for arms in AXES.values() for arm in arms for step in arm.steps]
    assert set(steps) <= {*STAGES}
    assert all(len({arm.name for arm in arms}) == len(arms) > 1 for arms in AXES.values())


def test_arms_are_taught_asked_and_compared_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = (
        Arm("both", ("both",)),
        Arm("without boxes", ("both",), "ours@boxes=off", boxes=False),
        Arm("hopeless", ("rl:gold",)),
    )
    monkeypatch.setitem(AXES, "small", arms)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("validation = 0\nsteps = 1\nbatch = 2\n")
    out = tmp_path / "runs"
    line = ["--base", f"hf:{PACK_TORCH}", "--out", str(out), "--axis", "small", "--records", "4",
            "--n", "4", "--each", "2", "--config", str(recipe)]  # fmt: skip
    assert train_ablations.main(line) == 0
    first = capsys.readouterr().out
    head, _, both, without, hopeless, _ = first.splitlines()
    assert head.startswith("| small | steps | n, films | right letter, % | − both, points |")
    assert both.startswith("| both | 1 | 4, 2 | ")
    assert without.startswith("| without boxes | 1 | 4, 2 | ")
    assert len(without.split(" | ")) == 8
    assert "not measured: `train rl` has no evidence" in hopeless
    boxes = {
        name: sum(len(i.boxes) for r in records_io.read_items(out / "records" / name)
                  for s in r.evidence for i in s.items)
        for name in ("4-records", "4-records-without-boxes")
    }  # fmt: skip
    assert boxes["4-records"] > 0 == boxes["4-records-without-boxes"]
    monkeypatch.setattr(train_ablations, "export_onnx", None)
    assert train_ablations.main(line) == 0
    assert capsys.readouterr().out == first
