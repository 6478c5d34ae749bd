"""What is asked: questions of the theatre's test split, balanced over tasks, and their films."""

import functools
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from videoespresso.evaluation.stress import STAGED
from videoespresso.tasks import TASKS
from videoespresso.theatre import SPLITS, Story, make_story
from videoespresso.theatre.film import KEY_EVERY_S, QUALITY, film
from videoespresso.theatre.questions import Question, questions
from videoespresso.theatre.restaged import longer, moved
from videoespresso.theatre.style import StyleFamily

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
