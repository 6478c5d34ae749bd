"""A set of questions with the videos they are about: what an evaluation runs on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from videoespresso.errors import UserError
from videoespresso.theatre.film import film, question_row, truth, write_json
from videoespresso.theatre.questions import questions
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
