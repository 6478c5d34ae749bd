"""The theatre as a benchmark: questions of its test split, exact truth of every instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videoespresso.dataset_record import LETTERS, DatasetItem, EvidenceSentence, SourceVideo
from videoespresso.errors import UserError
from videoespresso.evaluation.benchmarks import Given
from videoespresso.evaluation.cases import Benchmark, Case, Truth
from videoespresso.evaluation.theatre_items import A_STORY, Item, draw, filmed, look_of
from videoespresso.evidence_scores import Placed
from videoespresso.tasks import TASKS
from videoespresso.theatre import Story, make_story
from videoespresso.theatre.style import StyleFamily
from videoespresso.theatre.truth import carried, contrary, sentence_truth

DEFAULT_N = 280
"""Questions, 20 a task, about thirty films."""
_STYLES: dict[str, StyleFamily] = {
    "test": "train",
    "held_out": "held_out",
    "winter": "winter",
}


@dataclass(frozen=True)
class Theatre:
    """One of its styles. films: the folder they are made in when they are needed. each:
    questions about one film at most."""

    name: str
    style: StyleFamily
    films: Path
    note: str = "synthetic films; the embedded models were taught on others of the same kind"
    each: int = A_STORY

    def cases(self, n: int | None) -> Sequence[Case]:
        """n questions, `DEFAULT_N` for None, as even over the tasks as the stories allow."""
        return [self._case(item) for item in draw(n or DEFAULT_N, self.style, self.each)]

    def _case(self, item: Item) -> Case:
        question, story = item.question, make_story(item.seed, item.style)
        task = next(task for task in TASKS if task == question.task)
        record = DatasetItem(
            id=item.id,
            video=SourceVideo(path=f"{item.video}.mp4", duration_s=story.duration_s),
            task=task,
            question=question.text,
            answer=question.answer,
            options=question.options,
            letter=LETTERS[question.correct],
            evidence=tuple(EvidenceSentence(text=text) for _, text in question.evidence),
            seed=item.seed,
        )
        look = look_of(item.seed, item.style)
        return Case(
            record, item.video, lambda: filmed(item, self.films), truth(story, item), look, True
        )


def truth(story: Story, item: Item) -> Truth:
    """The phases that carry the answer, their sentences, and the boxes of whom these name."""
    phases, q = story.phases, item.question
    spans = tuple((phases[k].t0, phases[k].t1) for k in q.core)

    def boxes(t: float) -> list[Placed]:
        sentences = " ".join(text for k, text in q.evidence if phases[k].t0 <= t <= phases[k].t1)
        return [Placed(t, o.xyxy) for o in story.scene(t).objects if o.phrase in sentences]

    def reading(cited: Sequence[tuple[str, float]]) -> dict[str, list[Any]]:
        texts = [text for text, _ in cited]
        return {
            "sentences": [sentence_truth(story, text, t) for text, t in cited],
            "carried": [carried(text, texts) for _, text in q.evidence],
        }

    return Truth(
        intervals=spans,
        scenes=tuple((span,) for span in spans),
        sentences=tuple(((phases[k].t0 + phases[k].t1) / 2, text) for k, text in q.evidence),
        boxes=boxes,
        read=reading,
        contrary=lambda text, t: contrary(story, text, t),
    )


def theatre(given: Given) -> Benchmark:
    """`theatre:test`, `theatre:held_out`, `theatre:winter`. Raises UserError for another split."""
    split = given.rest or "test"
    if split not in _STYLES:
        raise UserError(
            f"theatre:{split} is none of {', '.join(f'theatre:{name}' for name in _STYLES)}"
        )
    return Theatre(f"theatre:{split}", _STYLES[split], given.films)
