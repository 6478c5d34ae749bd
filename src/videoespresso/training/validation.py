"""What a model answers on the validation records, asked as at run time by the real agents."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from videoespresso.agents import captioner, reasoner, selector
from videoespresso.agents.base import Agent
from videoespresso.agents.prompt_parts import Shown
from videoespresso.dataset.formats import conversations
from videoespresso.dataset.formats.conversations import media_in
from videoespresso.dataset_record import LETTERS, DatasetItem
from videoespresso.errors import ModelOutputError
from videoespresso.models.client.retry import Retries
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.hf import HfChatModel
from videoespresso.models.specs import ModelSpec
from videoespresso.statistics import proportion
from videoespresso.training.data import Row, picture
from videoespresso.training.recipes import Stage
from videoespresso.types import Caption

MEASURE: Final[dict[Stage, str]] = {
    "evidence": "F1 of the frames that the evidence is about",
    "answer": "right answers",
    "both": "right answers, from its own evidence",
    "selector": "F1 of the core frames",
    "captioner": "F1 of the caption's words",
    "prefer": "right answers, from its own evidence",
    "rl": "right answers, from its own evidence",
}
MOST_TOKENS: Final = 512
"""Of a reply while teaching: a model that does not end a reply is wrong soon enough."""


@dataclass
class Scores:
    """values: a number 0-1 a row, 0 for a reply that cannot be read; videos: of each. unparsable:
    how many."""

    values: list[float] = field(default_factory=list)
    videos: list[bytes] = field(default_factory=list)
    unparsable: int = 0

    def metrics(self) -> dict[str, float]:
        """As the trainer logs it; a 95 % interval over videos where there are enough of them."""
        share = proportion(self.values, self.videos)
        ends = {"eval_low": share.low, "eval_high": share.high}
        return {
            "eval_score": share.value,
            **{name: end for name, end in ends.items() if end is not None},
            "eval_n": len(self.values),
            "eval_unparsable": self.unparsable / len(self.values),
        }


class Examiner:
    """Asks a model that is being taught. path: the run's folder, whose recipe says how."""

    def __init__(
        self,
        path: str,
        processor: Any,
        model: Any,
        stage: Stage,
        side: int,
        temperature: float = 0.0,
    ) -> None:
        chat = HfChatModel(path=path, max_tokens=MOST_TOKENS, temperature=temperature)
        chat.__dict__["_loaded"] = (processor, model)  # what would be loaded from the path
        self._spec, self._chat, self._stage, self._side = ModelSpec("hf", path), chat, stage, side

    def agent(self, role: str) -> Agent:
        """A role on the model; nothing is cached, nothing tried twice."""
        return Agent(role, self._spec, self._chat, usage_log=UsageLog(), retries=Retries(tries=1))

    def scores(self, rows: Sequence[Row]) -> Scores:
        """The score of each row that is a record of ours."""
        scores = Scores()
        for row in rows:
            if row.item is None:
                continue
            scores.videos.append(row.video)
            try:
                scores.values.append(self._score(row, row.item))
            except ModelOutputError:
                scores.values.append(0.0)
                scores.unparsable += 1
        return scores

    def evidence(self, row: Row, item: DatasetItem) -> str:
        """What the model writes as evidence, word for word. Raises ModelOutputError."""
        _, raw = reasoner.evidence(self.agent("reasoner"), item.question, self._frames(row, item))
        return raw

    def _score(self, row: Row, item: DatasetItem) -> float:
        by: dict[Stage, Callable[[Row, DatasetItem], float]] = {
            "evidence": self._evidence,
            "answer": self._answer,
            "both": self._both,
            "selector": self._selection,
            "captioner": self._caption,
            "prefer": self._both,
            "rl": self._both,
        }
        return by[self._stage](row, item)

    def _frames(self, row: Row, item: DatasetItem) -> list[Shown[Any]]:
        pictures = [picture(medium, self._side) for medium in media_in(row.conversation)]
        frames = [conversations.shown(item, k, "json") for k in range(len(item.core_frames))]
        return [
            Shown(p, f.time_s, f.caption, f.boxes) for f, p in zip(frames, pictures, strict=True)
        ]

    def _evidence(self, row: Row, item: DatasetItem) -> float:
        evidence, _ = reasoner.evidence(
            self.agent("reasoner"), item.question, self._frames(row, item)
        )
        gold = {e.frame for e in item.evidence if e.frame is not None}
        gold = gold or set(range(len(item.core_frames)))
        return f1(Counter({step.frame - 1 for step in evidence.steps}), Counter(gold))

    def _answer(self, row: Row, item: DatasetItem) -> float:
        first = next(m for m in row.conversation if m.role == "assistant")
        return self._concluded(row, item, str(first.parts[0]))

    def _both(self, row: Row, item: DatasetItem) -> float:
        return self._concluded(row, item, self.evidence(row, item))

    def answer(self, row: Row, item: DatasetItem, evidence: str) -> str | None:
        """What the model answers with that evidence: a letter, or words where the record has no
        letter; None for none of the options. Raises ModelOutputError."""
        options = item.options if item.letter else ()
        agent, frames = self.agent("reasoner"), self._frames(row, item)
        reply = reasoner.conclude(agent, item.question, frames, evidence, options)
        if item.letter is None:
            return reply.answer
        choice = reasoner.choice_of(reply, options)
        return None if choice is None else LETTERS[choice]

    def _concluded(self, row: Row, item: DatasetItem, evidence: str) -> float:
        reply = self.answer(row, item, evidence)
        if item.letter is None:
            return float(_plain(reply or "") == _plain(item.answer))
        return float(reply == item.letter)

    def _selection(self, row: Row, item: DatasetItem) -> float:
        shown = [Caption(frame_id=c.frame_id, time_s=c.time_s or 0.0, text=c.text)
                 for c in item.captions]  # fmt: skip
        chosen = {k for k, _ in selector.select(self.agent("selector"), item.question, shown)}
        gold = conversations.core_places(item)
        return f1(Counter(chosen), Counter(gold))

    def _caption(self, row: Row, item: DatasetItem) -> float:
        images = [picture(medium, self._side) for medium in media_in(row.conversation)]
        [text] = captioner.caption(self.agent("captioner"), images)
        gold = str(row.conversation[-1].parts[0])
        return f1(Counter(_plain(text).split()), Counter(_plain(gold).split()))


def f1(made: Counter[Any], gold: Counter[Any]) -> float:
    """Of two bags, 0-1; two empty ones agree."""
    if not made and not gold:
        return 1.0
    same = (made & gold).total()
    return 2 * same / (made.total() + gold.total())


def _plain(text: str) -> str:
    kept = "".join(c if c.isalnum() or c.isspace() else " " for c in text.casefold())
    return " ".join(kept.split())
