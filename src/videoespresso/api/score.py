"""`score`: somebody's replies, scored; only a judge is a model that is asked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError
from videoespresso.evaluation import judging
from videoespresso.evaluation.protocols import TAU
from videoespresso.evaluation.reply_files import Bench, Replied, read_bench, read_replies
from videoespresso.evaluation.scored import Scored, scored
from videoespresso.evaluation.scores import Protocol, Unparsed
from videoespresso.models.embedders import DEFAULT
from videoespresso.models.paid_embedder import within_limits
from videoespresso.settings import Settings, settings_of


def score(
    replies: str | Path | Sequence[str | None],
    items: str | Path | Sequence[DatasetItem] | None = None,
    *,
    protocol: Protocol = "letter",
    official: bool = False,
    unparsed: Unparsed = "wrong",
    tau: float = TAU,
    encoder: str = DEFAULT,
    judge: str | None = None,
    judge_sees: judging.Sees = "nothing",
    max_usd: float | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
) -> Scored:
    """Scores replies to a benchmark.

    replies: the authors' file with `model_output`; or, beside `items`, a file of lines of id and
    reply, the answers file of `ask_many`, or one reply an item, None where there was none.
    items: the benchmark, a file or a dataset's folder, or records.
    protocol: "letter" reads which option a reply chooses, "open" is the paper's Algorithm 1 with
    the given encoder and tau. unparsed: what a reply without a letter counts. official: the
    authors' rule beside ours, and every reply that the two read otherwise.
    judge: the spec of a language model that rates each answer twice; it costs money, of which
    max_usd is the limit. judge_sees: of the video the benchmark's core frames or its evidence, or
    nothing.

    Raises UserError for files that are none, and for items that the protocol cannot score;
    SettingsError and ModelError for an encoder or a judge that is none or does not answer;
    BudgetExceeded at max_usd.
    """
    replied = _replied(replies, items)
    embed = within_limits(encoder) if protocol == "open" else None
    scores = scored(
        replied, protocol=protocol, official=official, unparsed=unparsed, tau=tau, encoder=embed
    )
    if judge is None:
        return scores
    agent = judging.open_judge(judge, settings_of(settings), max_usd=max_usd)
    letters = scores.scores.verdicts if protocol == "letter" else ()
    shown = judging.answered(replied.bench.items, replied.replies)
    pictures = judging.pictures_of(Path(replied.bench.source))
    judged = judging.judge(shown, agent, sees=judge_sees, letters=letters, pictures=pictures)
    return scores.model_copy(update={"judged": judged})


def _replied(
    replies: str | Path | Sequence[str | None], items: str | Path | Sequence[DatasetItem] | None
) -> Replied:
    if isinstance(replies, str | Path):
        if items is None or isinstance(items, str | Path):
            return read_replies(Path(replies), None if items is None else Path(items))
        raise UserError("a file of replies to records", hint="Give the records' file, too.")
    if items is None:
        raise UserError("replies without items", hint="Give the benchmark as items=.")
    given = isinstance(items, str | Path)
    bench = read_bench(Path(items)) if given else Bench("items", tuple(items), ({},) * len(items))  # type: ignore[arg-type]
    right = [item.letter and f"({item.letter})" for item in bench.items]
    if len(replies) != len(right):
        raise UserError(
            f"{len(replies)} replies to {len(right)} items", hint="Give one each, None for none."
        )
    return Replied(bench, tuple(replies), tuple(zip(replies, right, strict=True)))
