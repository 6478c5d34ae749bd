"""A set of questions with the videos they are about: what an evaluation runs on.

Or records of a dataset with gold evidence: what `dataset build` would write if it made no mistake.
Their core frames are drawn straight, at an instant of each phase that carries the answer; nothing
is filmed, which takes fifty times as long.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from videoespresso.dataset_record import (
    LETTERS,
    DatasetItem,
    EvidenceSentence,
    FrameBox,
    GroundedItem,
    GroupCaption,
    KeyFrame,
    Made,
    SourceVideo,
    item_id,
)
from videoespresso.errors import UserError
from videoespresso.tasks import TASKS
from videoespresso.theatre.film import film, question_row, truth, write_json
from videoespresso.theatre.questions import Question, questions
from videoespresso.theatre.scene import SceneObject
from videoespresso.theatre.stories import SPLITS, Story, make_story
from videoespresso.theatre.style import StyleFamily

Split = Literal["train", "validation", "test"]


def stories(split: Split, style: StyleFamily = "train") -> Iterator[Story]:
    """The stories of a split in the order of their seeds."""
    first, end = SPLITS[split]
    for seed in range(first, end):
        yield make_story(seed, style)


def drawn(n: int, split: Split, style: StyleFamily = "train") -> list[tuple[Story, dict[str, Any]]]:
    """The first n questions of a split, at most one a task and story, with their stories.

    The first n of a longer set are a shorter set. Raises UserError when the split has fewer.
    """
    rows: list[tuple[Story, dict[str, Any]]] = []
    for story in stories(split, style):
        for number, question in enumerate(questions(story)):
            name = {"id": f"{story.seed}-{number}", "video": f"videos/{story.seed}.mp4"}
            rows.append((story, name | question_row(story, question)))
            if len(rows) == n:
                return rows
    raise UserError(f"the split {split} has {len(rows)} questions, not {n}", hint="Ask for fewer.")


def build(n: int, split: Split, folder: Path, style: StyleFamily = "train") -> Iterator[int]:
    """Writes `questions.jsonl`, `videos/<seed>.mp4` and `truth/<seed>.json` below `folder`.

    Yields after each video the number of questions that are ready. A video that is there already
    is kept, so an interrupted run goes on where it was; `questions.jsonl` comes last, when
    everything it names exists.
    """
    rows = drawn(n, split, style)
    ready = 0
    for seed in dict.fromkeys(story.seed for story, _ in rows):
        mine = [(story, row) for story, row in rows if story.seed == seed]
        story, video = mine[0][0], folder / f"videos/{seed}.mp4"
        facts = folder / f"truth/{seed}.json"
        if not (video.exists() and _same_story(facts, story)):
            film(story, video)
            write_json(truth(story), facts)
        ready += len(mine)
        yield ready
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for _, row in rows)
    draft = folder / ".questions.part.jsonl"
    draft.write_text(lines, encoding="utf-8")
    draft.replace(folder / "questions.jsonl")


def _same_story(facts: Path, story: Story) -> bool:
    """Whether the truth beside a video was written for this very story by this theatre."""
    try:
        return bool(json.loads(facts.read_text(encoding="utf-8")) == truth(story))
    except (OSError, ValueError):
        return False


FILE, FRAMES = "records.jsonl", "frames"
QUALITY = 90
"""JPEG's, of a core frame: what H.264 leaves of a film, roughly."""
MOST_ITEMS = 2
"""Key items of a sentence: whoever acts, and whom or what with."""
STAGES = ("caption", "generate", "annotate", "ground_time", "ground_space", "distract")


def build_records(
    n: int, split: Split, folder: Path, style: StyleFamily = "train"
) -> Iterator[int]:
    """Writes `records.jsonl` and `frames/<style>-<seed>-<ms>.jpg`: the first n questions of the
    split's stories, at most one a task and story.

    Yields after each record the number of those that are ready. A picture that is there already is
    kept, so an interrupted run goes on where it was; `records.jsonl` comes last. Raises UserError
    when the split has fewer questions, or where the folder cannot be written.
    """
    items: list[DatasetItem] = []
    try:
        (folder / FRAMES).mkdir(parents=True, exist_ok=True)
        for story, question in _drawn(n, split, style):
            items.append(record(story, question))
            for frame in items[-1].core_frames:
                _picture(story, frame, folder)
            yield len(items)
        draft = folder / f".{FILE}.part"
        lines = (json.dumps(item.model_dump(mode="json"), ensure_ascii=False) for item in items)
        draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        draft.replace(folder / FILE)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror or error}",
            hint="Choose another folder, or make room on the disk.",
        ) from error


def _drawn(n: int, split: Split, style: StyleFamily) -> Iterator[tuple[Story, Question]]:
    made = 0
    for story in stories(split, style):
        for question in questions(story):
            yield story, question
            made += 1
            if made == n:
                return
    raise UserError(f"the split {split} has {made} questions, not {n}", hint="Ask for fewer.")


def record(story: Story, question: Question) -> DatasetItem:
    """A question as a record; its frames' files are named, not drawn. Instants are the question's
    own, so that two questions about a phase see two pictures of it."""
    rng = random.Random(f"record{story.seed}{question.family}")
    name = f"{story.family}-{story.seed}"
    instants = {k: _instant(story, k, rng) for k in question.core}
    objects = {k: story.scene(t).objects for k, t in instants.items()}
    why = dict(reversed(question.evidence))
    task = next(task for task in TASKS if task == question.task)
    made: Any = Made(model="theatre")
    return DatasetItem(
        id=item_id(name, question.text, question.answer),
        video=SourceVideo(path=f"videos/{name}.mp4", duration_s=story.duration_s),
        task=task,
        question=question.text,
        answer=question.answer,
        options=question.options,
        letter=LETTERS[question.correct],
        evidence=tuple(
            sentence(text, question.core.index(k), objects[k]) for k, text in question.evidence
        ),
        core_frames=tuple(
            KeyFrame(
                image=f"{FRAMES}/{name}-{round(t * 1000)}.jpg",
                frame_id=f"{name}@{t}",
                time_s=t,
                caption=why[k],
                captioned=story.phases[k].caption,
                boxes=tuple(FrameBox(xyxy=o.xyxy, score=1.0, label=o.label) for o in objects[k]),
            )
            for k, t in instants.items()
        ),
        captions=tuple(_captions(story, instants, name)),
        seed=story.seed,
        made=dict.fromkeys(STAGES, made),
        extra={"story": name},
    )


def _instant(story: Story, phase: int, rng: random.Random) -> float:
    """A film frame's instant within a phase, in seconds."""
    t0, t1 = story.phases[phase].t0, story.phases[phase].t1
    return round(rng.uniform(t0, t1 - min(0.1, (t1 - t0) / 2)), 3)


def _captions(story: Story, instants: dict[int, float], name: str) -> Iterator[GroupCaption]:
    """One a phase: of its core frame, or of its middle."""
    for k, phase in enumerate(story.phases):
        t = instants.get(k, (phase.t0 + phase.t1) / 2)
        yield GroupCaption(text=phase.caption, frame_id=f"{name}@{t}", time_s=t)


def sentence(text: str, frame: int, objects: list[SceneObject]) -> EvidenceSentence:
    """A sentence with the boxes of whom and what it names, in its order."""
    seen: dict[str, tuple[int, SceneObject]] = {}
    for o in objects:
        if o.phrase in text and o.phrase not in seen:
            seen[o.phrase] = (text.index(o.phrase), o)
    named = sorted(seen.values(), key=lambda one: one[0])[:MOST_ITEMS]
    return EvidenceSentence(
        text=text,
        frame=frame,
        items=tuple(
            GroundedItem(
                name=o.phrase,
                at=at,
                boxes=(FrameBox(xyxy=o.xyxy, frame=frame, score=1.0, label=o.label),),
            )
            for at, o in named
        ),
    )


def _picture(story: Story, frame: KeyFrame, folder: Path) -> None:
    path = folder / frame.image
    if frame.time_s is None or path.exists():
        return
    draft = path.with_name(f".{path.name}.part")
    story.scene(frame.time_s).render(story.width).save(draft, "JPEG", quality=QUALITY)
    draft.replace(path)
