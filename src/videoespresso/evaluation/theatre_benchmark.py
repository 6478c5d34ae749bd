"""The theatre as a benchmark: questions of its test split, exact truth of every instant."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from videoespresso.dataset_record import LETTERS, DatasetItem, EvidenceSentence, SourceVideo
from videoespresso.errors import UserError
from videoespresso.evaluation.benchmarks import Given
from videoespresso.evaluation.cases import Benchmark, Case, Truth
from videoespresso.evaluation.theatre_items import (
    A_STORY,
    Item,
    draw,
    filmed,
    look_of,
    restaged,
    story_of,
)
from videoespresso.evidence_scores import Placed
from videoespresso.tasks import TASKS
from videoespresso.theatre import Story
from videoespresso.theatre.questions import Question
from videoespresso.theatre.questions.law import NAMES
from videoespresso.theatre.style import StyleFamily
from videoespresso.theatre.truth import carried, contrary, sentence_truth
from videoespresso.theatre.truth.language import is_called

DEFAULT_N = 280
"""Questions, 20 a task, about thirty films."""
UNANSWERABLE = 0.2
_STYLES: dict[str, StyleFamily] = {
    "test": "train",
    "held_out": "held_out",
    "winter": "winter",
}


@dataclass(frozen=True)
class Theatre:
    """One of its styles. films: the folder they are made in when they are needed. each: questions
    about one film at most. unanswerable: the share of questions that nothing in the film answers.
    """

    name: str
    style: StyleFamily
    films: Path
    note: str = "synthetic films; the embedded models were taught on others of the same kind"
    each: int = A_STORY
    unanswerable: float = 0.0

    def cases(self, n: int | None) -> Sequence[Case]:
        """n questions, `DEFAULT_N` for None, as even over the tasks as the stories allow."""
        n = n or DEFAULT_N
        none = round(self.unanswerable * n)
        items = draw(n - none, self.style, self.each)
        foreign = itertools.islice(strangers(items), none)
        return [*map(self._case, items), *(self._stranger(*pair) for pair in foreign)]

    def _stranger(self, here: Item, elsewhere: Item) -> Case:
        """A question about a film that does not answer it. What would be right elsewhere stands
        there for the protocols and counts nowhere."""
        asked = self._case(elsewhere, f"{here.video}-asked-{elsewhere.id}")
        item = asked.item.model_copy(update={"video": SourceVideo(path=f"{here.video}.mp4")})
        return replace(
            self._case(here),
            item=item.model_copy(update={"evidence": ()}),
            truth=Truth(),
            unanswerable=True,
            staged=None,
        )

    def _case(self, item: Item, named: str = "") -> Case:
        """named: the id of the item that this one is a restaging of."""
        question, story = item.question, story_of(item.seed, item.style, item.seconds)
        task = next(task for task in TASKS if task == question.task)
        record = DatasetItem(
            id=named or item.id,
            video=SourceVideo(path=f"{item.video}.mp4", duration_s=story.duration_s),
            task=task,
            question=question.text,
            answer=question.answer,
            options=question.options,
            letter=LETTERS[question.correct],
            evidence=tuple(EvidenceSentence(text=text) for _, text in question.evidence),
            seed=item.seed,
        )
        return Case(
            record,
            item.video,
            lambda: filmed(item, self.films),
            truth(story, item),
            look_of(item.seed, item.style, item.seconds),
            made=True,
            staged=lambda kind, strength: self._case(restaged(item, kind, strength), item.id),
        )


def strangers(items: Sequence[Item]) -> Iterator[tuple[Item, Item]]:
    """Pairs of an item and another story's, whose question nothing in the first one's film answers:
    it speaks of somebody who is not there, and none of its proof is so at any instant. A film in
    turn, each question once."""
    films = list({item.video: item for item in items}.values())
    left = sorted(items, key=lambda i: hashlib.sha256(i.id.encode()).hexdigest())
    while left:
        before = len(left)
        for here in films:
            story = story_of(here.seed, here.style)
            stranger = next((i for i in left if _foreign(story, i.question)), None)
            if stranger is not None:
                left.remove(stranger)
                yield here, stranger
        if len(left) == before:
            return


def _foreign(story: Story, question: Question) -> bool:
    phrases = {actor.phrase for phase in story.phases for actor in phase.actors}
    named = {match[0] for match in NAMES.finditer(question.text)}
    absent = any(not any(is_called(phrase, who) for phrase in phrases) for who in named)
    return absent and all(
        sentence_truth(story, text, 0.0).verdict == "contradicted" for _, text in question.evidence
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
    """`theatre:test`, `theatre:held_out`, `theatre:winter`; with `+unanswerable` a fifth of the
    questions is of that kind. Raises UserError for another split."""
    split, plus, more = (given.rest or "test").partition("+")
    if split not in _STYLES or more != ("unanswerable" if plus else ""):
        raise UserError(
            f"theatre:{given.rest} is none of {', '.join(map('theatre:{}'.format, _STYLES))}",
            hint="Each also with +unanswerable: a fifth of its questions nothing answers.",
        )
    share = UNANSWERABLE if plus else 0.0
    return Theatre(
        f"theatre:{given.rest or split}", _STYLES[split], given.films, unanswerable=share
    )
