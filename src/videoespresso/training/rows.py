"""Rows as tensors: pieces of text tokenised apart, pictures through the model's own processor."""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from videoespresso.dataset.formats.conversations import media_in
from videoespresso.errors import UserError
from videoespresso.training.data import Row, picture
from videoespresso.training.families import Chat

IGNORED: Final = -100
"""A label that carries no loss, as in torch."""
TOKENS: Final = "tokens.json"
"""Where the lengths of rows are kept, by what they depend on."""


class Length(NamedTuple):
    """Tokens of a row: all, of its pictures, and those that carry loss."""

    tokens: int
    image_tokens: int
    learned: int
    images: int


class Collator:
    """Makes a batch of rows, by their numbers. side: of a picture, in pixels.

    A batch has what the model's forward takes, "labels", and "row_ids", which the trainer takes
    out (trainer.py). A batch of pairs has all better replies, then all worse ones, and where the
    labels were "completion_mask", as TRL's DPOTrainer reads it.
    """

    def __init__(self, chat: Chat, rows: Sequence[Row], side: int) -> None:
        self._chat, self._rows, self._side = chat, rows, side

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A padded batch of the rows `examples[k]["row"]`."""
        return self.batch([self._rows[example["row"]] for example in examples])

    def batch(self, rows: Sequence[Row]) -> dict[str, Any]:
        """A batch of rows, padded on the right. Raises UserError for a picture that is gone."""
        sides = [row.sides() for row in rows]
        made = self._tensors([side for better in zip(*sides, strict=True) for side in better])
        if rows[0].rejected:
            made["completion_mask"] = (made.pop("labels") != IGNORED).long()
        made["row_ids"] = [row.id for row in rows]
        return made

    def _tensors(self, rows: Sequence[Row]) -> dict[str, Any]:
        import torch

        chat = self._chat
        pieces = [chat.pieces(row.conversation, row.learned) for row in rows]
        images = [[picture(m, self._side) for m in media_in(row.conversation)] for row in rows]
        first = chat.processor(
            text=[one[0][0] for one in pieces],
            images=images if any(images) else None,
            padding=True,
            padding_side="right",
            return_tensors="pt",
            add_special_tokens=False,
        )
        ids, labels = [], []
        for k, one in enumerate(pieces):
            tokens = first["input_ids"][k][first["attention_mask"][k].bool()].tolist()
            learned = [IGNORED] * len(tokens)
            for text, loss in one[1:]:
                more = chat.tokenizer(text, add_special_tokens=False)["input_ids"]
                tokens += more
                learned += more if loss else [IGNORED] * len(more)
            ids.append(torch.tensor(tokens))
            labels.append(torch.tensor(learned))
        made = dict(first)
        pad = chat.tokenizer.pad_token_id
        before = first["input_ids"].shape
        made["input_ids"] = _padded(ids, pad)
        made["labels"] = _padded(labels, IGNORED)
        made["attention_mask"] = _padded([torch.ones_like(one) for one in ids], 0)
        for name, value in first.items():  # what is said of each token, as which are a picture's
            if name not in ("input_ids", "attention_mask") and value.shape == before:
                marks = [value[k][first["attention_mask"][k].bool()] for k in range(len(rows))]
                zeros = [one.new_zeros(len(ids[k]) - len(one)) for k, one in enumerate(marks)]
                made[name] = _padded(
                    [torch.cat(pair) for pair in zip(marks, zeros, strict=True)], 0
                )
        return made

    def length(self, row: Row) -> Length:
        """How long a row is, by the model's own processor, its pictures read; of a pair the longer
        side. What is learned is counted on both."""
        made = self._tensors(row.sides())
        learned = int((made["labels"] != IGNORED).sum())
        token = _image_token(self._chat)
        pictures = int((made["input_ids"][0] == token).sum()) if token is not None else 0
        count = sum(1 for _ in media_in(row.conversation))
        return Length(made["input_ids"].shape[1], pictures, learned, count)


def _padded(rows: Sequence[Any], value: int) -> Any:
    from torch.nn.utils.rnn import pad_sequence

    return pad_sequence(list(rows), batch_first=True, padding_value=value)


def _image_token(chat: Chat) -> int | None:
    token = getattr(chat.processor, "image_token_id", None)
    return int(token) if token is not None else None


def lengths(collator: Collator, rows: Sequence[Row], made_with: str, cache: Path) -> list[Length]:
    """The length of each row. made_with: names processor and side; what was counted is kept in the
    folder `cache`. Raises UserError for a picture that cannot be read."""
    file = cache / f"{hashlib.sha256(made_with.encode()).hexdigest()[:16]}-{TOKENS}"
    known: dict[str, list[int]] = {}
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        known = {}
    measured: list[Length] = []
    new = 0
    try:
        for row in rows:
            key = _key(row)
            if key not in known:
                known[key], new = list(collator.length(row)), new + 1
            measured.append(Length(*known[key]))
    finally:  # what was counted until Ctrl-C is kept, too
        if new:
            _keep(file, known)
    return measured


def _keep(file: Path, known: dict[str, list[int]]) -> None:
    with contextlib.suppress(OSError):  # they are counted again next time
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(known))
        draft.replace(file)


def _key(row: Row) -> str:
    files = [(m.path, Path(m.path).stat().st_size) for m in media_in(row.conversation)]
    text = repr((*(side.conversation for side in row.sides()), row.learned, files))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def refuse_long(rows: Iterable[tuple[Row, Length]], most: int) -> None:
    """Raises UserError for the longest row, if it is longer: nothing is ever cut."""
    over = [(row, length) for row, length in rows if length.tokens > most]
    if not over:
        return
    row, length = max(over, key=lambda pair: pair[1].tokens)
    texts = [part for m in row.conversation for part in m.parts if isinstance(part, str)]
    longest = " ".join(max(texts, key=len, default="").split())[:60]
    pictures = f"{length.images} pictures ({length.image_tokens} tokens)"
    largest = pictures if 2 * length.image_tokens > length.tokens else f'the text "{longest}…"'
    raise UserError(
        f"{len(over)} rows are longer than {most} tokens; the longest is record {row.id} with "
        f"{length.tokens}, longest in it: {largest}",
        hint="Raise --max-tokens, lower --side, or leave them out with --too-long drop.",
    )
