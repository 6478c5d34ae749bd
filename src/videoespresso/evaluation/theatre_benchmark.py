"""The theatre as a benchmark: questions of its test split, exact truth of every instant."""

import functools
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from videoespresso.dataset_record import LETTERS, DatasetItem, EvidenceSentence, SourceVideo
from videoespresso.errors import UserError
from videoespresso.evaluation.benchmarks import Given
from videoespresso.evaluation.cases import Benchmark, Case, Truth
from videoespresso.evaluation.stress import STAGED
from videoespresso.evidence_scores import Placed
from videoespresso.tasks import TASKS
from videoespresso.theatre import SPLITS, Story, make_story
from videoespresso.theatre.film import KEY_EVERY_S, QUALITY, film, longer, moved
from videoespresso.theatre.questions import Question, questions
from videoespresso.theatre.questions.law import NAMES
from videoespresso.theatre.style import StyleFamily
from videoespresso.theatre.truth import carried, contrary, sentence_truth
from videoespresso.theatre.truth.language import is_called

A_STORY = 10
"""Questions asked about one story: a film costs more than a question."""
LOOKED_THROUGH = 4
"""Stories looked through for each one that is filmed: one in seven has anything to cook."""
PER_TASK = 2
"""Questions of one task about one story at most, of different families."""
BEGINS: dict[StyleFamily, int] = {"train": 0, "held_out": 50_000, "winter": 0}
"""How far into the test split a style begins. The held-out style has stories of its own, winter
those of the train style: what a look costs is then measured on the very same questions."""
SMALL = 64
"""Width in pixels of the pictures by which a story's look is known again."""


@dataclass(frozen=True)
class Item:
    """One question about one story. seconds: of a film that is made so long, 0 for its own."""

    seed: int
    style: StyleFamily
    question: Question
    seconds: float = 0.0

    @property
    def id(self) -> str:
        return f"{self.style}-{self.seed}-{self.question.family}"

    @property
    def video(self) -> str:
        return f"{self.style}-{self.seed}"


def restaged(item: Item, kind: str, strength: int) -> Item:
    """The same question about a film in another style, or of another length (STAGED)."""
    amount = STAGED[kind][strength - 1]
    if isinstance(amount, str):
        return replace(item, style=amount)
    _, at = longer(make_story(item.seed, item.style), amount)
    return replace(item, seconds=amount, question=moved(item.question, at))


@functools.lru_cache(maxsize=8)
def story_of(seed: int, style: StyleFamily, seconds: float = 0.0) -> Story:
    """The story of an item."""
    story = make_story(seed, style)
    return longer(story, seconds)[0] if seconds else story


@functools.lru_cache(maxsize=8)
def draw(n: int, style: StyleFamily = "train", each: int = A_STORY) -> tuple[Item, ...]:
    """n questions with their stories, as even over the 14 tasks as the stories allow.

    Looks at what a story can be asked, never at its answers. The same n gives the same items.
    each: questions about one story at most.
    """
    first, end = SPLITS["test"]
    first += BEGINS[style]
    many = LOOKED_THROUGH * -(-n // each)
    pool = {
        seed: list(questions(make_story(seed, style), PER_TASK))
        for seed in range(first, min(first + many, end))
    }
    need = Counter[str]({task: -(-n // len(TASKS)) for task in TASKS})
    chosen: list[Item] = []
    while pool and len(chosen) < n:
        best = max(pool, key=lambda s: (_worth(pool[s], need, each), -s))
        for question in _most_needed(pool.pop(best), need, each)[: n - len(chosen)]:
            need[question.task] -= 1
            chosen.append(Item(best, style, question))
    return tuple(chosen)


def _most_needed(pool: Sequence[Question], need: Counter[str], each: int) -> list[Question]:
    """`each` of a story's questions: those whose tasks lack most, in the order they came."""
    left, rest = need.copy(), list(pool)
    kept: list[Question] = []
    while rest and len(kept) < each:
        k = max(range(len(rest)), key=lambda i: (left[rest[i].task], -i))
        question = rest.pop(k)
        left[question.task] -= 1
        kept.append(question)
    return sorted(kept, key=pool.index)


def _worth(pool: Sequence[Question], need: Counter[str], each: int) -> int:
    """How much a story would fill: what its tasks lack, rare ones first."""
    return sum(max(0, need[q.task]) for q in _most_needed(pool, need, each))


def by_video(items: Sequence[Item]) -> Iterator[list[Item]]:
    """The items of each video, videos in the order of their first item."""
    for video in dict.fromkeys(item.video for item in items):
        yield [item for item in items if item.video == video]


def digest_of(paths: Sequence[Path]) -> str:
    """Twelve digits that change when any of the files does."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


@functools.lru_cache(maxsize=4096)
def look_of(seed: int, style: StyleFamily, seconds: float = 0.0) -> str:
    """Twelve digits that change when the story or the way it is drawn does.

    From a small picture of each phase, without grain, which is drawn anew each time.
    """
    story = story_of(seed, style, seconds)
    digest = hashlib.sha256(repr((story, QUALITY, KEY_EVERY_S)).encode())
    for phase in story.phases:
        scene = story.scene((phase.t0 + phase.t1) / 2)
        still = replace(scene, style=replace(scene.style, grain=0.0))
        digest.update(still.render(SMALL).tobytes())
    return digest.hexdigest()[:12]


def filmed(item: Item, folder: Path) -> Path:
    """The film of an item's story; made when it is not there.

    Its name says how the story looks: films of another theatre are not taken. Raises UserError
    when it cannot be written.
    """
    return filmed_story(item.seed, item.style, folder, item.seconds)


def filmed_story(seed: int, style: StyleFamily, folder: Path, seconds: float = 0.0) -> Path:
    """The film of a story, as `filmed`."""
    path = folder / f"{style}-{seed}-{look_of(seed, style, seconds)}.mp4"
    if not path.exists():
        film(story_of(seed, style, seconds), path)
    return path


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
