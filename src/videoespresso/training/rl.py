"""`rl`: TRL's GRPOTrainer on replies of stage 1, rewarded as `--reward` says.

What is asked is what is asked at run time: the prompt of a row through the model's own template,
pictures opened by us, nobody's text a mark.
"""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from inspect import signature
from pathlib import Path
from typing import Any, Final, NamedTuple

from videoespresso.dataset.formats.conversations import media_in
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import ModelOutputError, UserError
from videoespresso.training import rewards
from videoespresso.training.data import Row, picture
from videoespresso.training.families import Chat
from videoespresso.training.recipes import Recipe
from videoespresso.training.reward_choice import functions, weights_of
from videoespresso.training.trainer import make, teacher
from videoespresso.training.validation import Examiner

FROZEN: Final = "ref"
"""The adapter as it began, under the name that TRL gives it, too (where beta is not 0)."""
WINDOW: Final = 10
MOST_EQUAL: Final = 0.8
"""A run ends where more than this share of the last WINDOW steps' groups had equal rewards."""
EQUAL: Final = "frac_reward_zero_std"
"""TRL's name for the share of a step's groups whose replies all earned the same."""


class NoSpread(UserError):
    """Too many groups of replies that earn the same: nothing is learned from them."""


def chosen_rewards(recipe: Recipe, rows: Sequence[Row]) -> Recipe:
    """The recipe with all rewards and their weights written out, `true` among them where stories
    are known. Raises UserError and SettingsError for rewards that cannot be had."""
    known = any(row.item is not None and story_of(row.item) for row in rows)
    weights = weights_of(recipe.reward, truth=known)
    if "true" in weights and not known:
        raise UserError(
            "the reward true needs films of the theatre with their truth beside them",
            hint="Build the dataset from a folder of `theatre build`, or leave it out.",
        )
    functions(weights, lambda texts, _: [None] * len(texts), rewards.theatre_truth)
    written = tuple(f"{name}={weight:g}" for name, weight in weights.items())
    if len(rows) * recipe.rollouts < recipe.batch:
        raise UserError(
            f"{len(rows)} records give {len(rows) * recipe.rollouts} replies, and a step takes "
            f"{recipe.batch}",
            hint=f"Lower --batch, in steps of {recipe.rollouts}.",
        )
    return recipe.model_copy(update={"reward": written})


def story_of(item: DatasetItem) -> str | None:
    """The story of a record's film, as `rewards.theatre_truth` names it: as the record of `theatre
    build --records` says, or by the truth that `theatre build` has written beside the film; else
    None."""
    if isinstance(story := item.extra.get("story"), str):
        return story
    video = Path(item.video.path)
    try:
        facts = json.loads((video.parent.parent / f"truth/{video.stem}.json").read_text("utf-8"))
        return f"{facts['style']}-{facts['seed']}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Groups(NamedTuple):
    """How many groups of replies a run had, and how many of them earned the same."""

    all: int
    equal: int


def groups_of(log: Sequence[Mapping[str, Any]], recipe: Recipe) -> Groups:
    """From the lines of a run's log."""
    shares = [line[EQUAL] for line in log if EQUAL in line]
    each = recipe.batch // max(1, recipe.rollouts)
    return Groups(each * len(shares), round(each * sum(shares)))


def trainer_of(
    recipe: Recipe,
    model: Any,
    config: Any,
    chat: Chat,
    rows: Sequence[Row],
    counts: tuple[int, int],
    examiner: Examiner,
    watch: Any,
    out: Path,
) -> Any:
    """The trainer of a run of `rl`. rows: those to learn from, then those of validation."""
    frozen = Frozen(model, examiner, rows, add=recipe.beta == 0)
    rewarded = functions(weights_of(recipe.reward), frozen.answers, rewards.theatre_truth)
    made = make(
        recipe, model, config, counts, chat.processor, watch, out,
        kind=learner(), reward_funcs=rewarded,
    )  # fmt: skip
    made.chat, made.rows, made.side = chat, rows, recipe.side
    return made


class Frozen:
    """Stage 2 as the run began with it: an adapter that nothing changes. add: whether it is put
    beside the one that learns; else TRL does."""

    def __init__(self, model: Any, examiner: Examiner, rows: Sequence[Row], *, add: bool) -> None:
        self._model, self._examiner, self._rows = model, examiner, rows
        self._known: dict[tuple[int, str], str | None] = {}
        if add:
            model.add_adapter(FROZEN, model.peft_config["default"])
            for name, value in model.named_parameters():
                if ".default." in name:
                    other = model.get_parameter(name.replace(".default.", f".{FROZEN}."))
                    other.data.copy_(value.data)

    def answers(self, texts: Sequence[str], columns: Sequence[Mapping[str, Any]]) -> list[Any]:
        """What stage 2 answers with each evidence; None for what cannot be read. Of one row and
        text it is asked once."""
        with self._frozen_adapter():
            return [
                self._answer(one["row"], text) for text, one in zip(texts, columns, strict=True)
            ]

    def _answer(self, number: int, text: str) -> str | None:
        row, key = self._rows[number], (number, text)
        if key not in self._known and row.item is not None:
            try:
                self._known[key] = self._examiner.answer(row, row.item, text)
            except ModelOutputError:
                self._known[key] = None
        return self._known.get(key)

    @contextmanager
    def _frozen_adapter(self) -> Iterator[None]:
        was = self._model.training
        self._model.set_adapter(FROZEN)
        self._model.eval()
        try:
            yield
        finally:
            self._model.set_adapter("default")
            self._model.train(was)


@cache
def learner() -> type:
    """GRPOTrainer over row numbers, which ends a run whose groups all earn the same."""
    import torch

    class Learner(teacher("rl")):  # type: ignore[misc]
        chat: Chat
        rows: Sequence[Row]
        side: int

        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            self.equal: deque[float] = deque(maxlen=WINDOW)

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
            numbers = [one["row"] for one in inputs]
            self.ids = list(dict.fromkeys(self.rows[n].id for n in numbers))
            made = super()._generate_and_score_completions([self._example(n) for n in numbers])
            self._check_spread()
            return made

        def _example(self, number: int) -> dict[str, Any]:
            row = self.rows[number]
            assert row.item is not None
            pictures = [picture(m, self.side) for m in media_in(row.conversation)]
            columns = rewards.columns(row.item, story_of(row.item))
            return {
                "prompt": self.chat.shown(row.conversation[:2], pictures),
                "row": number,
                **columns,
            }

        def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[Any], list[Any], Any]:
            """As at run time (models/hf.py); TRL's own way makes lists of some families' pictures
            that it cannot put together again."""
            processor = self.chat.processor
            images = [
                [part["image"] for m in prompt for part in m["content"] if part["type"] == "image"]
                for prompt in prompts
            ]
            made = processor(
                text=[
                    processor.apply_chat_template(p, add_generation_prompt=True, tokenize=False)
                    for p in prompts
                ],
                images=images,
                padding=True,
                padding_side="left",
                return_tensors="pt",
                add_special_tokens=False,
            )
            masks = made["attention_mask"].bool()
            ids = [t[mask].tolist() for t, mask in zip(made["input_ids"], masks, strict=True)]
            fields = {k: v for k, v in made.items() if k not in ("input_ids", "attention_mask")}
            return ids, images, fields

        def _get_per_token_logps_and_entropies(
            self, model: Any, *given: Any, num_images: list[int] | None = None, **more: Any
        ) -> Any:
            """LLaVA-OneVision has to know which picture is alone in its row, which TRL drops."""
            forward = type(self.model.get_base_model()).forward
            if num_images is not None and "batch_num_images" in signature(forward).parameters:
                counts = torch.tensor(num_images, device=self.accelerator.device)
                model = partial(model, batch_num_images=counts)
            return super()._get_per_token_logps_and_entropies(
                model, *given, num_images=num_images, **more
            )

        def _check_spread(self) -> None:
            self.equal.append(self._metrics["train"][EQUAL][-1])
            share = sum(self.equal) / len(self.equal)
            if len(self.equal) == WINDOW and share > MOST_EQUAL:
                raise NoSpread(
                    f"{share:.0%} of the groups of the last {WINDOW} steps earned the same with "
                    f"all {self.num_generations} replies: there is nothing to learn from",
                    hint=f"Raise --temperature (it is {self.temperature:g}) or --rollouts, with a "
                    "new --out; the last checkpoint is kept.",
                )

    return Learner
