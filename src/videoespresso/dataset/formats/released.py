"""A released record, train or test, to one of ours. Nothing is lost: what has no field is extra."""

from typing import Any, cast

from pydantic import ValidationError

from videoespresso.dataset.formats import inline, released_fields
from videoespresso.dataset.formats.conversion_report import Report, Unusable
from videoespresso.dataset.formats.released_boxes import Scale
from videoespresso.dataset.formats.timestamps import Timestamps
from videoespresso.dataset_record import (
    LETTERS,
    DatasetItem,
    EvidenceSentence,
    GroundedItem,
    KeyFrame,
    SourceVideo,
    item_id,
)
from videoespresso.tasks import LEADERBOARD, task_of

EXAMPLE = 'A record has at least {"question": "…", "answer": "…"}.'


class ReleasedReader:
    """Reads the records of one file: all boxes have one scale, and a video is probed once."""

    def __init__(self, scale: Scale, timestamps: Timestamps, report: Report) -> None:
        self.scale = scale
        self._timestamps = timestamps
        self._report = report

    def read(self, record: Any) -> DatasetItem:
        """Raises Unusable for what is no question with an answer."""
        if not isinstance(record, dict):
            raise Unusable("no record", f"a {type(record).__name__}, not a record")
        rest = {str(key): value for key, value in record.items() if value is not None}
        question = _text(rest, "question")
        path = self._path(rest)
        frames = self._frames(rest, video := self._timestamps.video(path))
        options, letter = self._options(rest)
        answer = self._answer(rest, options, letter)
        label = rest.get("task")
        known = task_of(label) if isinstance(label, str) else None
        if known is not None and LEADERBOARD[known] == label:
            del rest["task"]
        evidence = self._evidence(rest)
        folder = frames[0].image.rpartition("/")[0] if frames else ""
        try:
            return DatasetItem(
                id=item_id(path or folder, question, answer),
                video=video,
                task=known,
                question=question,
                answer=answer,
                options=tuple(options),
                letter=letter,
                evidence=evidence,
                core_frames=frames,
                extra=rest,
            )
        except ValidationError as error:
            raise Unusable("does not fit", error.errors()[0]["msg"]) from error

    def _path(self, rest: dict[str, Any]) -> str:
        name, value = released_fields.taken(rest, released_fields.VIDEO)
        self._count("video", name)
        if name and not isinstance(value, str):
            rest[name] = value
            return ""
        return cast(str, value or "")

    def _frames(self, rest: dict[str, Any], video: SourceVideo) -> tuple[KeyFrame, ...]:
        paths = self._texts(rest, released_fields.FRAMES, "frames")
        captions = self._texts(rest, released_fields.CAPTIONS, "captions")
        if paths and captions and len(paths) != len(captions):
            self._report.changed["not as many captions as frames"] += 1
        many = max(len(paths), len(captions))
        paths += [""] * (many - len(paths))
        captions += [""] * (many - len(captions))
        return tuple(self._frame(*both, video) for both in zip(paths, captions, strict=True))

    def _frame(self, path: str, caption: str, video: SourceVideo) -> KeyFrame:
        index = released_fields.frame_index(path)
        time_s = self._timestamps.time_s(video, index)
        return KeyFrame(image=path, caption=caption, index=index, time_s=time_s)

    def _texts(self, rest: dict[str, Any], names: tuple[str, ...], what: str) -> list[str]:
        """A list of texts under any of the names; anything else stays where it is."""
        name, value = released_fields.taken(rest, names)
        self._count(what, name)
        values = released_fields.texts(value)
        if name and values is None:
            rest[name] = value
            self._report.changed[f"{what} that are no texts, kept as extra"] += 1
        return list(values or ())

    def _options(self, rest: dict[str, Any]) -> tuple[list[str], str | None]:
        if "options" not in rest:
            return [], None
        options = released_fields.options(rest["options"])
        if options is None:
            self._report.changed["options that are no options, kept as extra"] += 1
            return [], None
        del rest["options"]
        letter = released_fields.letter(rest.get("correct_answer"), options)
        if letter is not None:
            del rest["correct_answer"]
        else:
            self._report.changed["options without a right letter"] += 1
        return options, letter

    def _answer(self, rest: dict[str, Any], options: list[str], letter: str | None) -> str:
        """The answer; where there is none, the text of the right option."""
        if letter is not None and not str(rest.get("answer", "")).strip():
            rest.pop("answer", None)
            self._count("answer", "from the right option")
            return options[LETTERS.index(letter)]
        return _text(rest, "answer")

    def _evidence(self, rest: dict[str, Any]) -> tuple[EvidenceSentence, ...]:
        texts = released_fields.texts(rest.get("evidence"))
        if texts is None:
            return ()
        del rest["evidence"]
        sentences = []
        for text in texts:
            parsed = inline.read(text, self.scale)
            self._report.changed["tags that cannot be read, kept as text"] += parsed.malformed
            self._report.changed["boxes cut to the frame"] += parsed.cut
            if text.strip():
                sentences.append(EvidenceSentence(text=parsed.text, items=parsed.items))
        _, listed = released_fields.taken(dict(rest), released_fields.KEY_ITEMS)
        self._count("key items", "" if listed is None else type(listed).__name__)
        if sentences and not any(sentence.items for sentence in sentences):
            names = tuple(GroundedItem(name=name) for name in released_fields.item_names(listed))
            sentences[0] = sentences[0].model_copy(update={"items": names})
        return tuple(sentences)

    def _count(self, what: str, how: str) -> None:
        if how:
            self._report.variants[f"{what}: {how}"] += 1


def _text(rest: dict[str, Any], name: str) -> str:
    """Takes a text out. Raises Unusable where there is none."""
    value = rest.get(name)
    if not isinstance(value, str):
        raise Unusable(f"no {name}", f"`{name}` is {type(value).__name__}" if value else "")
    if not value.strip():
        raise Unusable(f"no {name}")
    return cast(str, rest.pop(name))
