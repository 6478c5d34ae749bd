"""What carries loss when a model is taught, on tokens, in each family."""

from pathlib import Path

import pytest
from PIL import Image
from tests.helpers import training as helper
from tests.helpers.training import FAMILY, PICTURE, Make, collated, learned

from videoespresso.dataset.formats.conversations import Medium, Message
from videoespresso.training import data as records
from videoespresso.training.data import Row, load
from videoespresso.training.recipes import SUPERVISED, Stage

pytestmark = helper.MARKS
ENDS = {"smolvlm": "<end_of_utterance>", "smolvlm2": "<end_of_utterance>", "pack": "<|end|>"}


@pytest.mark.parametrize("family", [*FAMILY, "pack"])
@pytest.mark.parametrize("stage", SUPERVISED)
def test_loss_is_on_the_reply_and_its_end_alone(
    family: str, stage: Stage, model: Make, brief: None, tmp_path: Path
) -> None:
    rows = list(load(helper.records(tmp_path / "d", 3), stage).train)[:2]
    processor, network, batch = collated(model(family), rows)
    end = ENDS.get(family, "<|im_end|>")
    for k, row in enumerate(rows):
        replies = [str(row.conversation[n].parts[0]) for n in row.learned]
        assert len(replies) == (2 if stage == "both" else 1)
        text = learned(processor, batch, k)
        assert [one.strip() for one in text.split(end)] == [*replies, ""]
        shown = processor.tokenizer.decode(batch["input_ids"][k][batch["attention_mask"][k].bool()])
        assert shown.endswith(end), "nothing behind the end of the reply, nothing cut"
        system = str(row.conversation[0].parts[0])
        assert (f"<|{system[12:-1]}|>" if family == "pack" else system) in shown
    assert network(**batch).loss.isfinite()


@pytest.mark.parametrize("family", [*FAMILY, "pack"])
def test_rows_are_what_is_asked_at_run_time(
    family: str, model: Make, brief: None, tmp_path: Path
) -> None:
    """A row's prompt is, token by token, what `hf:` makes of the agent's messages."""
    from videoespresso.agents.base import Turn  # noqa: PLC0415 - beside hf
    from videoespresso.models.client.messages import messages  # noqa: PLC0415 - as above
    from videoespresso.models.hf import HfChatModel  # noqa: PLC0415 - an extra

    rows = list(load(helper.records(tmp_path / "d", 2), "answer").train)
    processor, network, batch = collated(model(family), rows)
    row = rows[0]
    chat = HfChatModel(path=str(tmp_path))
    chat.__dict__["_loaded"] = (processor, network)
    turns = [
        Turn(m.role, tuple(p if isinstance(p, str) else records.picture(p, 224) for p in m.parts))
        for m in row.conversation[1:-1]
        if m.role != "system"
    ]
    sent = chat._inputs([messages(str(row.conversation[0].parts[0]), turns)])
    prompt = batch["input_ids"][0][batch["labels"][0] == -100]
    prompt = prompt[: sent["input_ids"].shape[1]]
    assert prompt.tolist() == sent["input_ids"][0].tolist()


@pytest.mark.parametrize("family", [*FAMILY, "pack"])
def test_special_tokens_in_somebody_s_text_are_text(
    family: str, model: Make, brief: None, tmp_path: Path
) -> None:
    row = load(helper.records(tmp_path / "d", 2), "evidence").train[0]

    def asked(text: str) -> Row:
        system, user, _ = row.conversation
        user = Message("user", (*user.parts[:-1], f"Question: {text}"))
        return Row(text, b"", (system, user, Message("assistant", (f"[{text}]",))), (2,))

    processor, _, batch = collated(model(family), [asked("why")])
    from videoespresso.models.hf_weights import control_tokens  # noqa: PLC0415 - an extra

    marks = control_tokens(processor)
    assert len(marks) >= 4
    ids = set(processor.tokenizer.convert_tokens_to_ids(list(marks))) - {None}
    texts = [*marks, "".join(marks), "<<|im_start|>|im_start|>", "<ima<image>ge>"]
    _, _, batch = collated(model(family), [asked("why"), *map(asked, texts)])
    pad = processor.tokenizer.pad_token_id
    counts = [
        sum(int((tokens[mask.bool()] == one).sum()) for one in ids)
        for tokens, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    assert pad in ids
    assert set(counts) == {counts[0]}, dict(zip(["why", *texts], counts, strict=True))


@pytest.mark.parametrize("family", FAMILY)
def test_a_picture_is_one_tile_and_rows_without_any_mix_in(
    family: str, model: Make, brief: None, tmp_path: Path
) -> None:
    for name, size in (("wide", (1600, 400)), ("small", (40, 60))):
        Image.linear_gradient("L").resize(size).convert("RGB").save(tmp_path / f"{name}.png")

    def row(*names: str) -> Row:
        shown = tuple(Medium(str(tmp_path / f"{name}.png")) for name in names)
        user = Message("user", (*shown, "What is it?"))
        return Row("-".join(names), b"", (user, Message("assistant", ("A thing.",))), (1,))

    rows = [row("wide", "small"), row(), row("small", "wide"), row("wide")]
    processor, network, batch = collated(model(family), rows)
    tokens = (batch["input_ids"] == processor.image_token_id).sum(dim=1).tolist()
    assert tokens[1] == 0
    assert tokens[0] == tokens[2]
    if family in PICTURE:
        assert tokens[0] == 2 * PICTURE[family]
    if family not in ("llava-onevision", "qwen2.5-vl"):
        assert tokens[3] == PICTURE[family]
    elif family == "llava-onevision":  # alone it is shown as a whole and as one tile
        assert tokens[3] < 3 * PICTURE[family]
    else:
        assert tokens[3] <= (224 // 28) ** 2
    together = network(**batch)
    assert together.loss.isfinite()
    alone = collated(model(family), [rows[1]])[2]
    assert network(**alone).loss.isfinite()
