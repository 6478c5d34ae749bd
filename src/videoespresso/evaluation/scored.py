"""A file of replies scored: the numbers, where the authors' rule reads otherwise, and the file in
the authors' format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videoespresso.dataset import records_io
from videoespresso.dataset.formats.conversion_report import Left
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError
from videoespresso.evaluation import protocols
from videoespresso.evaluation.judging import Judged
from videoespresso.evaluation.protocols import TAU, Official, official_letter
from videoespresso.evaluation.reply_files import OUTPUT, Replied
from videoespresso.evaluation.scores import Protocol, Scores, Unparsed, Verdict
from videoespresso.memory.captions import Embedder
from videoespresso.types import Record

UNPARSED = "unparsed"
"""What is written for a reply without a letter: the authors' rule finds none in it either."""
RAW = "model_reply"
"""Key of what the model said, word for word, in a file whose `model_output` we wrote."""


class Difference(Record):
    """A reply that the authors' rule reads otherwise. matters: one of the two calls it right."""

    id: str
    reply: str
    right: str | None
    ours: str | None
    theirs: str | None
    matters: bool


class Scored(Record):
    """What `eval score` found. differences: under `letter`, with the authors' rule beside ours.

    left_out: records that are no items; strangers: replies to nothing in the benchmark; not_text:
    replies that are no text and count as missing; repeated: items that stand there more than once,
    and count as often. judged: what a judge said, if one was asked.
    """

    source: str
    scores: Scores
    official: Official | None = None
    judged: Judged | None = None
    differences: tuple[Difference, ...] = ()
    left_out: tuple[Left, ...] = ()
    strangers: int = 0
    not_text: int = 0
    repeated: int = 0

    @property
    def whole(self) -> bool:
        """Whether every item was measured."""
        return self.scores.items == self.scores.measured > 0 and not self.left_out


def scored(
    replied: Replied,
    *,
    protocol: Protocol = "letter",
    official: bool = False,
    unparsed: Unparsed = "wrong",
    tau: float = TAU,
    encoder: Embedder | None = None,
) -> Scored:
    """Scores replies. encoder: for `open`. official: the authors' rule beside `letter`.

    Raises as the protocols do, and UserError for `official` beside another protocol.
    """
    items, replies = replied.bench.items, replied.replies
    if protocol == "letter":
        scores = protocols.letter(items, replies, unparsed=unparsed)
    else:
        if official:
            raise UserError(
                "the authors' rule is for letters", hint="Leave --official or --protocol open away."
            )
        if encoder is None:
            raise UserError("open needs an encoder", hint='Give encoder="wordllama".')
        scores = protocols.open_ended(items, replies, encoder=encoder, tau=tau)
    return Scored(
        source=replied.bench.source,
        scores=scores,
        official=protocols.official(replied.outputs) if official else None,
        differences=differences(items, replies, scores.verdicts) if official else (),
        left_out=replied.bench.left_out,
        strangers=replied.strangers,
        not_text=replied.not_text,
        repeated=len(items) - len({item.id for item in items}),
    )


def differences(
    items: Sequence[DatasetItem], replies: Sequence[str | None], verdicts: Sequence[Verdict]
) -> tuple[Difference, ...]:
    """Each reply of which the two readings differ."""
    rows = []
    for item, reply, verdict in zip(items, replies, verdicts, strict=True):
        theirs = official_letter(reply)
        if reply is not None and theirs != verdict.letter:
            rows.append(
                Difference(
                    id=item.id,
                    reply=reply,
                    right=item.letter,
                    ours=verdict.letter,
                    theirs=theirs,
                    matters=item.letter in (theirs, verdict.letter),
                )
            )
    return tuple(rows)


def official_records(replied: Replied, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The benchmark's records with a `model_output` that begins with the letter we read, so that
    the authors' rule counts what we count; what the model said is beside it, word for word.

    Raises UserError for a right letter beyond D, which their rule cannot read.
    """
    bench, written = replied.bench, []
    refuse_beyond_d(bench.items)
    pairs = zip(bench.items, bench.records, replied.replies, verdicts, strict=True)
    for item, record, reply, verdict in pairs:
        kept = {k: v for k, v in record.items() if k != OUTPUT}
        if official_letter(kept.get("correct_answer")) != item.letter:
            kept["correct_answer"] = f"({item.letter})"
        kept[OUTPUT] = None if reply is None else _output(reply, verdict)
        written.append(kept | ({} if reply is None else {RAW: record.get(RAW, reply)}))
    return written


def refuse_beyond_d(items: Sequence[DatasetItem]) -> None:
    """Raises UserError for a right letter that the authors' rule cannot read."""
    beyond = [item for item in items if item.letter is None or item.letter > "D"]
    if beyond:
        raise UserError(
            f"{len(beyond)} items have no right letter from A to D; the first: {beyond[0].id}",
            hint="The authors' rule reads A to D only. Score them here, with --protocol letter.",
        )


def _output(reply: str, verdict: Verdict) -> str:
    if verdict.letter is None:
        return UNPARSED
    if verdict.letter > "D":
        return f"({verdict.letter})"  # of the text their rule would take another letter
    begins = reply.startswith((verdict.letter, f"({verdict.letter})"))
    return reply if begins else f"({verdict.letter}) {reply}"


def write_official(records: Sequence[dict[str, Any]], file: Path, *, replace: bool = False) -> None:
    """Writes them as the authors do: one list, indented by 4. Raises UserError for a file that
    exists, unless replace, and for one that cannot be written."""
    with records_io.writing(file, replace=replace) as target:
        target.write(records_io.dump(list(records), indent=4) + b"\n")
