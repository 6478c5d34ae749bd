"""The recipe of the pack, in small: every stage runs, resumes, and its export is the same model."""

import importlib.util
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from videoespresso.cli.app import main
from videoespresso.dataset import records_io
from videoespresso.dataset.formats import conversations
from videoespresso.training.pack.shape import IMAGE_TEXT

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch's older exporter
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
if importlib.util.find_spec("torch") is None:
    pytest.skip("extra `train` is not installed", allow_module_level=True)


RECORDS = "60"


def teach(out: Path) -> None:
    """The recipe in seconds. In a process of its own: exporters warn as they please."""
    records = out / "records"
    if not records.exists():
        build = ["theatre", "build", "--split", "train", "--n", RECORDS, "--records", str(records)]
        assert main(build) == 0
    line = [sys.executable, "-m", "lab.pack.pretrain", str(records), "--out", str(out)]
    small = ["--scale", "0.004", "--threads", "2"]
    done = subprocess.run([*line, *small], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def steps(out: Path) -> dict[str, int]:
    """How far each stage came."""
    import torch  # noqa: PLC0415 - extra `train`

    return {s: torch.load(out / f"{s}.pt")["step"] for s in ("vision", "language", "joint")}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pack")
    teach(out)
    assert main(["train", "export-onnx", str(out / "model"), "--out", str(out / "pack")]) == 0
    return out


def test_a_branch_learns_as_if_it_stood_alone(run_folder: Path) -> None:
    """A lesson's branches give what each gives as a conversation of its own, padding or not."""
    import torch  # noqa: PLC0415 - extra `train`
    from lab.pack.batches import BRANCHED, encode, padded  # noqa: PLC0415
    from lab.pack.frames import FrameSet  # noqa: PLC0415 - extra `train`
    from lab.pack.lessons import Teacher  # noqa: PLC0415 - extra `train`
    from lab.pack.train import Run  # noqa: PLC0415 - extra `train`

    from videoespresso.training.pack.shape import SMALL  # noqa: PLC0415 - extra `train`

    run, frames = Run(run_folder, SMALL, {}), FrameSet.load(run_folder / "frames")
    tokenizer = run.tokenizer(frames)
    text = run.model(tokenizer).eval().model.text_model
    teacher = Teacher(frames, 5, with_images=False)
    several = (
        next(one for one in iter(draw, None) if len(one.branches) > 1)
        for draw in (teacher.selecting, teacher.reasoning)
    )
    rows = [encode(tokenizer, one, 0.0) for one in several]
    batch = padded(rows, max(len(row.ids) for row in rows) + 3)
    with torch.no_grad():
        text.config._attn_implementation = BRANCHED
        together = text(
            input_ids=batch.ids, position_ids=batch.positions, spans=batch.spans, use_cache=False
        ).last_hidden_state
        text.config._attn_implementation = "sdpa"
        for i, row in enumerate(rows):
            start, branches = row.spans
            assert len(branches) > 1
            for a, b in branches:
                alone = text(
                    input_ids=torch.tensor([row.ids[:start] + row.ids[a:b]]), use_cache=False
                ).last_hidden_state[0]
                torch.testing.assert_close(together[i, a:b], alone[start:], atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(together[i, :start], alone[:start], atol=1e-4, rtol=1e-4)


def test_one_call_with_a_mask_learns_the_same_as_a_call_a_branch(run_folder: Path) -> None:
    """What a GPU does against what a CPU does: loss, accuracy and gradients, pictures included."""
    import torch  # noqa: PLC0415 - extra `train`
    from lab.pack.batches import BRANCHED, MASKED, Pixels, forward  # noqa: PLC0415
    from lab.pack.frames import FrameSet  # noqa: PLC0415 - extra `train`
    from lab.pack.train import Batches, Run  # noqa: PLC0415 - extra `train`

    from videoespresso.training.pack.shape import SMALL  # noqa: PLC0415 - extra `train`

    run, frames = Run(run_folder, SMALL, {}), FrameSet.load(run_folder / "frames")
    tokenizer = run.tokenizer(frames)
    model = run.model(tokenizer)
    course = Batches(tokenizer, frames, "joint", 1, 5, 1)
    batch = next(b for b in course if b.images and len(b.spans) > 1)
    found = []
    for attention in (BRANCHED, MASKED):
        model.model.text_model.config._attn_implementation = attention
        model.zero_grad()
        loss, right = forward(model, batch, Pixels(frames, "cpu"), "cpu")
        loss.backward()
        weights = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append([loss.detach(), right, *weights])
    assert float(found[0][0]) > 0
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-3)


def test_all_stages_ran_and_a_rerun_trains_nothing(run_folder: Path) -> None:
    before = steps(run_folder)
    assert all(count > 0 for count in before.values())
    teach(run_folder)
    assert steps(run_folder) == before


def test_the_exported_graphs_are_the_trained_model(run_folder: Path) -> None:
    """ONNX Runtime, with its cache and left padding, says what transformers says."""
    import torch  # noqa: PLC0415 - extra `train`
    from PIL import Image  # noqa: PLC0415 - extra `train`
    from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: PLC0415 - extra `train`

    from videoespresso.models.embedded.runtime import PackRuntime  # noqa: PLC0415 - extra `train`

    twin = run_folder / "pack" / "torch"
    pack = PackRuntime(run_folder / "pack" / "lvlm")
    processor = AutoProcessor.from_pretrained(twin)
    model = AutoModelForImageTextToText.from_pretrained(twin, dtype=torch.float32).eval()
    rng = np.random.default_rng(0)
    images = [
        Image.fromarray(rng.integers(0, 255, (180, 320, 3), dtype=np.uint8)) for _ in range(2)
    ]
    told = [
        {"role": "system", "content": [{"type": "text", "text": "You are the captioner.\nMore."}]},
        {
            "role": "user",
            "content": [
                {"type": "image"},
                {"type": "image"},
                {"type": "text", "text": "Describe this frame."},
            ],
        },
    ]
    text = processor.apply_chat_template(told, add_generation_prompt=True)
    prompt = pack.prompt(told, images)
    assert prompt.text == text
    inputs = processor(text=text, images=images, return_tensors="pt")
    # transformers' processor resizes twice, the pack once: of noise that makes other pictures
    inputs["pixel_values"] = torch.from_numpy(pack.pixels(images))[None]
    with torch.no_grad():
        expected = model.generate(
            **inputs,
            max_new_tokens=12,
            do_sample=False,
            output_scores=True,
            return_dict_in_generate=True,
        )
    # a model of seconds hardly prefers one token to another: compared as far as it does
    leads = [float(best - next_) for best, next_ in (s[0].topk(2).values for s in expected.scores)]
    sure = next((k for k, lead in enumerate(leads) if lead < 0.02), len(leads))
    assert sure > 0
    new = expected.sequences[0, inputs["input_ids"].shape[1] :][:sure]
    said = processor.tokenizer.decode(new, skip_special_tokens=True)
    short = pack.prompt(
        [told[0], {"role": "user", "content": [{"type": "text", "text": "Hi."}]}], []
    )
    ours = pack.generate([prompt, short], sure)
    assert ours[0] == said
    assert ours[1] == pack.generate([short], sure)[0], "padding changes nothing"
    assert "".join(pack.stream(prompt, sure)) == ours[0]


def test_what_is_taught_is_what_a_record_s_conversation_says(run_folder: Path) -> None:
    """Each role's lesson, token by token, is what the processor makes of the conversation that
    `train` teaches from the same record; nothing is worn."""
    from lab.pack.conversation import lesson  # noqa: PLC0415 - extra `train`
    from transformers import AutoProcessor  # noqa: PLC0415 - extra `train`

    processor = AutoProcessor.from_pretrained(run_folder / "model")
    taught = 0
    for item in itertools.islice(records_io.read_items(run_folder / "records"), 8):
        numbered = item.model_copy(
            update={
                "core_frames": tuple(
                    f.model_copy(update={"image": str(n)}) for n, f in enumerate(item.core_frames)
                )
            }
        )
        for one in (
            conversations.answer_conversation(numbered, "json", "frames"),
            conversations.select_conversation(numbered, "json"),
            next(iter(conversations.caption_conversations(numbered))),
        ):
            made = lesson([one], with_images=True)
            messages = [
                {"role": m.role, "content": [
                    {"type": "text", "text": p} if isinstance(p, str) else {"type": "image"}
                    for p in m.parts]}
                for m in one
            ]  # fmt: skip
            whole = processor.apply_chat_template(messages)
            told = made.shared + "".join(text for text, _ in made.branches[0])
            assert told.replace(IMAGE_TEXT, "<image>") == whole
            learned = "".join(text for text, learn in made.branches[0] if learn)
            replies = ["".join(map(str, m.parts)) for m in one if m.role == "assistant"]
            assert learned == "".join(f"{reply}<|end|>" for reply in replies)
            taught += 1
    assert taught == 24


def test_the_pack_that_comes_out_is_asked(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of `make pack`: an evaluation of what was exported, all roles by it."""
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "cache"))
    out = tmp_path / "scores"
    line = ["eval", "run", "theatre:test", "--n", "1", "--out", str(out), "--jobs", "1",
            "--profile", "embedded", "-m", f"embedded:{run_folder / 'pack'}"]  # fmt: skip
    assert main(line) in (0, 3), "taught for seconds, it may say nothing that can be read"
    facts = json.loads((run_folder / "pack/lvlm/pack.json").read_text())
    assert facts["digest"] in (out / "run.json").read_text()
