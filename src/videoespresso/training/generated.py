"""What a model writes before it is taught: the evidence that stage 2 reads, and replies of its own
for `prefer`. Written once, to `generated.jsonl`, by weights, prompt and number."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from videoespresso.errors import ModelOutputError
from videoespresso.training import data as records
from videoespresso.training import rewards
from videoespresso.training.data import Row
from videoespresso.training.pairs import pair
from videoespresso.training.recipes import Recipe
from videoespresso.training.reward_choice import DEFAULTS, total
from videoespresso.training.validation import Examiner

FILE: Final = "generated.jsonl"
JUDGES: Final = {"format": rewards.format, "frames": rewards.frames, "boxes": rewards.boxes}
"""By which a model's own evidence is found wrong: the rewards that need no model."""
WRONG: Final = 0.5
"""Evidence is wrong that earns at most this share of what the record's own earns."""


class Generated:
    """The texts of a run's folder. began_with: names the model that writes."""

    def __init__(self, out: Path, began_with: tuple[str, str]) -> None:
        self._file, self._began_with = out / FILE, began_with
        self._known: dict[str, str] = {}
        if self._file.is_file():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                    self._known[record["key"]] = record["text"]
                except (ValueError, KeyError):
                    continue

    def text(self, row: Row, write: Callable[[], str], number: int = 0) -> str:
        """What the model writes to a row's prompt, "" where it cannot be read. Raises OSError."""
        prompt = repr((*self._began_with, row.conversation[:2], *([number] if number else [])))
        key = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        if key not in self._known:
            try:
                self._known[key] = write()
            except ModelOutputError:
                self._known[key] = ""
            entry = {"key": key, "id": row.id, "text": self._known[key]}
            with self._file.open("a", encoding="utf-8") as log:
                log.write(json.dumps(entry, ensure_ascii=False) + "\n")
        return self._known[key]


def with_evidence(
    rows: Sequence[Row], recipe: Recipe, texts: Generated, examiner: Examiner
) -> list[Row]:
    """Rows whose evidence stage 1 has written, all or (mixed) every other one by its id; where it
    wrote none that can be read, the record's own stays."""
    made = []
    for row in rows:
        item = row.item
        if item is None or (recipe.evidence == "mixed" and not _chosen(row.id)):
            made.append(row)
            continue
        text = texts.text(row, partial(examiner.evidence, row, item))
        made.append(records.with_evidence(row, text) if text else row)
    return made


def _chosen(name: str) -> bool:
    """Every other row, by its id."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[0] < 128


def own_pairs(
    rows: Sequence[Row], recipe: Recipe, texts: Generated, examiner: Examiner
) -> list[Row]:
    """Pairs of what records say and wrong evidence of the model's own, `recipe.rollouts` tries a
    record. rows: planted pairs, of which each record's first names its prompt."""
    made = []
    for row in {row.conversation[:2]: row for row in rows}.values():
        if row.item is None:
            continue
        plain, columns = replace(row, id=row.item.id), rewards.columns(row.item)
        best = earned(columns["reply"], columns)
        wrong = dict.fromkeys(
            text
            for number in range(1, recipe.rollouts + 1)
            if (text := texts.text(plain, partial(examiner.evidence, row, row.item), number))
            and earned(text, columns) <= WRONG * best
        )
        made += [pair(plain, text, "own reply") for text in wrong]
    return made


def earned(text: str, columns: Mapping[str, Any]) -> float:
    """What a text earns by JUDGES. columns: `rewards.columns`."""
    lists = {name: [value] for name, value in columns.items()}
    values = {name: judge(["?"], [text], **lists)[0] for name, judge in JUDGES.items()}
    return total(values, {name: DEFAULTS[name] for name in JUDGES})
