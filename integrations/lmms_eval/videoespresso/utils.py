"""What the two tasks ask and score, by the code of `videoespresso eval score`."""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videoespresso.dataset.formats.conversion_report import Report
from videoespresso.dataset.formats.released import ReleasedReader
from videoespresso.dataset.formats.released_boxes import RELEASED
from videoespresso.dataset.formats.timestamps import Timestamps
from videoespresso.dataset_record import DatasetItem
from videoespresso.evaluation import protocols
from videoespresso.evaluation.cases import file_of
from videoespresso.memory.captions import Embedder

Doc = dict[str, Any]
ASKED = "Answer with the letter of the option."


def item(doc: Doc) -> DatasetItem:
    """A record of the bench, in all the spellings that `dataset convert` reads."""
    return ReleasedReader(RELEASED, Timestamps(None), Report()).read(doc)


def doc_to_visual(doc: Doc) -> list[str]:
    """The video's path, below VIDEOESPRESSO_VIDEOS. Raises VideoError where there is none."""
    root = Path(os.environ.get("VIDEOESPRESSO_VIDEOS", "."))
    return [str(file_of(item(doc).video.path or "", [root])())]


def letter_prompt(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
    """The question, its options, and how to answer."""
    question = item(doc)
    options = [f"({'ABCDEFGHIJ'[k]}) {text}" for k, text in enumerate(question.options)]
    return "\n".join([question.question, *options, ASKED])


def letter_results(doc: Doc, results: Sequence[str]) -> dict[str, Doc]:
    """The verdict of the letter protocol; a reply without a letter is wrong."""
    (verdict,) = protocols.letter([item(doc)], [results[0]]).verdicts
    return {
        "letter": _scored(doc, verdict.credit == 1),
        "unparsed": _scored(doc, verdict.why == "unparsed"),
    }


def open_results(doc: Doc, results: Sequence[str]) -> dict[str, Doc]:
    """The verdict of Algorithm 1."""
    (verdict,) = protocols.open_ended([item(doc)], [results[0]], encoder=_encoder()).verdicts
    return {"open": _scored(doc, verdict.credit == 1)}


def mean(scores: Sequence[Doc]) -> float:
    """Over all items."""
    return sum(one["score"] for one in scores) / len(scores)


def _scored(doc: Doc, hit: bool) -> Doc:
    """lmms-eval takes the clusters of its error from the same dict as the score."""
    return {"score": float(hit), "video_path": item(doc).video.path}


@functools.cache
def _encoder() -> Embedder:
    from videoespresso.models.paid_embedder import within_limits  # noqa: PLC0415 - open only

    return within_limits(os.environ.get("VIDEOESPRESSO_ENCODER", "wordllama"))
