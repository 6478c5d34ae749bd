"""Benchmarks of others that know where the evidence is. Each is *format-tested only*: read from
hand-written records of the documented columns; nobody has run the real files here.

Sources of the columns: CG-Bench (ICLR 2025), V-STaR (CVPR 2026 Findings), MINERVA (ICCV 2025),
KFS-Bench (WACV 2026), each by its repository's README; docs/evaluation.md.
"""

import ast
import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from videoespresso.dataset_record import LETTERS, DatasetItem, SourceVideo
from videoespresso.errors import UserError
from videoespresso.evaluation.benchmarks import Given
from videoespresso.evaluation.cases import Case, Listed, Truth, file_of
from videoespresso.evidence_scores import Interval, Placed

NOTE = "format-tested only"
Row = dict[str, Any]


def cg_bench(given: Given) -> Listed:
    """{qid, video_uid, question, choices, right_answer (a letter), clue_intervals,
    sub_category}."""

    def case(row: Row) -> Case:
        return _case(
            given,
            f"cg-bench-{row['qid']}",
            str(row["video_uid"]),
            str(row["question"]),
            [str(choice) for choice in _value(row["choices"])],
            str(row["right_answer"]),
            str(row.get("sub_category", "")),
            Truth(intervals=_intervals(row["clue_intervals"])),
        )

    return _listed("cg-bench", given.file(), _rows(given.file()), case)


def minerva(given: Given) -> Listed:
    """{key, video_id, question, answer_choice_0 … 4, answer_id, reasoning, question_type}; the
    times that the written trace names are the instants it stands on."""

    def case(row: Row) -> Case:
        options = [str(row[f"answer_choice_{k}"]) for k in range(5) if f"answer_choice_{k}" in row]
        return _case(
            given,
            f"minerva-{row['key']}",
            str(row["video_id"]),
            str(row["question"]),
            options,
            LETTERS[int(row["answer_id"])],
            str(row.get("question_type", "")),
            Truth(instants=times_in(str(row.get("reasoning", "")))),
        )

    return _listed("minerva", given.file(), _rows(given.file()), case)


def v_star(given: Given) -> Listed:
    """{vid, domain, width, height, question, answer, timestamps: [from, to], bboxes: [{timestamp,
    xmin, ymin, xmax, ymax} in pixels]}. Without options: only read."""

    def case(row: Row) -> Case:
        size = (float(row["width"]), float(row["height"]))
        boxes = [_placed(box, *size) for box in _value(row.get("bboxes") or [])]
        near = (lambda t: [b for b in boxes if abs(b.time_s - t) <= 0.5]) if boxes else None
        return _case(
            given,
            f"v-star-{row['vid']}-{row.get('id', row['question'])}",
            str(row["vid"]),
            str(row["question"]),
            [],
            str(row["answer"]),
            str(row.get("domain", "")),
            Truth(intervals=_intervals([row["timestamps"]]), boxes=near),
        )

    return _listed("v-star", given.file(), _rows(given.file()), case)


def kfs_bench(given: Given) -> Listed:
    """A folder with the annotations (a .csv: id, segment_id, scene_id, start, end) and the
    questions of LongVideoBench (a .json: id, video_path, question, candidates, correct_choice);
    what is measured is the selection."""
    folder = Path(given.rest)
    files = [sorted(folder.glob(f"*.{kind}")) for kind in ("csv", "json")]
    if not all(len(group) == 1 for group in files):
        raise UserError(
            f"{given.rest!r} is no folder with one .csv and one .json",
            hint="Put KFS-Bench's lvb_anno.csv and LongVideoBench's lvb_val.json into one folder.",
        )
    scenes: dict[str, dict[str, list[Interval]]] = defaultdict(lambda: defaultdict(list))
    with files[0][0].open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines):
            try:
                span = (seconds(row["start"]), seconds(row["end"]))
                scenes[row["id"]][row["scene_id"]].append(span)
            except (KeyError, ValueError) as error:
                raise _unlike(files[0][0], row, error) from error

    def case(row: Row) -> Case:
        mine = tuple(tuple(spans) for spans in scenes[str(row["id"])].values())
        return _case(
            given,
            f"kfs-bench-{row['id']}",
            str(row["video_path"]),
            str(row["question"]),
            [str(choice) for choice in _value(row["candidates"])],
            LETTERS[int(row["correct_choice"])],
            str(row.get("question_category", "")),
            Truth(intervals=tuple(span for scene in mine for span in scene), scenes=mine),
        )

    questions = [row for row in _rows(files[1][0]) if str(row.get("id")) in scenes]
    return _listed("kfs-bench", files[1][0], questions, case)


# ---- parts


def _case(
    given: Given,
    name: str,
    video: str,
    question: str,
    options: Sequence[str],
    right: str,
    task: str,
    truth: Truth,
) -> Case:
    """right: a letter, or the text of the answer."""
    letter = right.strip().upper() if len(right.strip()) == 1 and options else None
    if options and letter is None:
        letter = LETTERS[list(options).index(right)]
    item = DatasetItem(
        id=name,
        video=SourceVideo(path=video),
        task=None,
        question=question,
        answer=options[LETTERS.index(letter)] if letter else right,
        options=tuple(options),
        letter=letter,
        extra={"task": task} if task else {},
    )
    roots = [given.videos] if given.videos else [Path(given.rest).parent, Path(given.rest)]
    return Case(item, video, file_of(video, roots), truth)


def _listed(name: str, file: Path, rows: Sequence[Row], case: Callable[[Row], Case]) -> Listed:
    """Raises UserError at the first row that is not as documented."""
    cases = []
    for row in rows:
        try:
            cases.append(case(row))
        except (KeyError, ValueError, TypeError, IndexError, ValidationError) as error:
            raise _unlike(file, row, error) from error
    if not cases:
        raise UserError(f"{file} has no questions", hint=f"Is it a file of {name}?")
    return Listed(f"{name}:{file.name}", tuple(cases), NOTE)


def _unlike(file: Path, row: Row, error: Exception) -> UserError:
    what = f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
    return UserError(
        f"{file}: a record is not as documented: {what}; it has {', '.join(map(str, row))[:200]}",
        hint="docs/evaluation.md lists the columns that are read.",
    )


def _rows(file: Path) -> list[Row]:
    """A JSON list of records, or JSON lines. Raises UserError for anything else."""
    text = file.read_text(encoding="utf-8-sig")
    try:
        lines = text.splitlines() if file.suffix == ".jsonl" else []
        rows = [json.loads(line) for line in lines if line.strip()] if lines else json.loads(text)
    except ValueError as error:
        raise UserError(
            f"{file} is not JSON: {error}", hint="Is it the annotation file?"
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{file} is not a list of records", hint="Is it the annotation file?")
    return rows


def _value(given: Any) -> list[Any]:
    """A list, also where a table keeps it as text. Raises ValueError."""
    if isinstance(given, str):
        try:
            given = ast.literal_eval(given)
        except SyntaxError as error:
            raise ValueError(f"{given[:40]!r} is no list") from error
    if not isinstance(given, list | tuple):
        raise ValueError(f"{str(given)[:40]!r} is no list")
    return list(given)


def _intervals(given: Any) -> tuple[Interval, ...]:
    return tuple((float(a), float(b)) for a, b in map(_value, _value(given)))


def _placed(box: Row, width: float, height: float) -> Placed:
    corners = (box["xmin"] / width, box["ymin"] / height, box["xmax"] / width, box["ymax"] / height)
    x0, y0, x1, y1 = (min(1.0, max(0.0, float(v))) for v in corners)
    return Placed(float(box["timestamp"]), (x0, y0, x1, y1))


_CLOCK = re.compile(r"\b(?:(\d{1,2}):)?(\d{1,2}):(\d{2}(?:\.\d+)?)\b")


def seconds(text: str) -> float:
    """ "75.5" or "1:15.5" or "0:01:15.5" in seconds. Raises ValueError."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return float(text)
    return 3600 * int(match[1] or 0) + 60 * int(match[2]) + float(match[3])


def times_in(text: str) -> tuple[float, ...]:
    """Every clock time that a text names, in seconds, each once."""
    return tuple(dict.fromkeys(seconds(match[0]) for match in _CLOCK.finditer(text)))
