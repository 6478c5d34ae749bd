"""How a model is taught: the values of a run, where each comes from, and the file that keeps them.

`DD` is the paper's Table 8 (its "weight ratio" read as weight decay, its "warmup epochs" as a
ratio), rank and alpha are second-hand notes on the paper; the rest it does not say.
"""

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

from pydantic import Field, ValidationError, model_validator

from videoespresso.errors import SettingsError, UserError
from videoespresso.models.hf_weights import RECIPE
from videoespresso.types import Record

Stage = Literal["evidence", "answer", "both", "selector", "captioner", "prefer", "rl"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
SUPERVISED: Final = STAGES[:5]
"""Those that learn a record's reply word for word."""
Evidence = Literal["gold", "generated", "mixed"]
TooLong = Literal["refuse", "drop"]

LARGE: Final = 1_000_000_000
SMALL: Final = 100_000_000
"""Parameters from which Table 8's learning rates hold, and below which small models' do."""
ROWS: Final = 4
"""Records a forward pass; a batch is reached by accumulation."""

OWN: Final[dict[str, tuple[Stage, ...]]] = {
    "evidence": ("answer",),
    "beta": ("prefer", "rl"),
    "rollouts": ("prefer", "rl"),
    "temperature": ("prefer", "rl"),
    "reward": ("rl",),
    "reply_tokens": ("rl",),
    "dropout": SUPERVISED,
}
"""Values that only some stages have. Dropout: what a reply is compared with must stand still."""

_TABLE = "paper, Table 8"
_NOTES = "notes on the paper"
_OURS = "not in the paper"
SOURCES: Final[dict[str, str]] = {
    "rank": _NOTES,
    "alpha": _NOTES,
    "weight_decay": f'{_TABLE}: "weight ratio"',
    "warmup": f'{_TABLE}: "warmup epochs"',
    "batch": _TABLE,
    "epochs": _TABLE,
    "side": _TABLE,
    "max_tokens": f"{_TABLE}; here nothing is ever cut",
}
"""Where a default comes from; the others are ours."""


class Recipe(Record):
    """The values of a run; None where they follow from the model or the number of records.

    learning_rate: the highest, after warm-up, with cosine decay. batch: records a step; rows:
    records a forward pass. rank, alpha, dropout: of the LoRA adapter, on all linear layers of the
    language model, and with train_vision on the vision tower's, too. warmup: share of the steps.
    side: the longer side of a picture in pixels. max_tokens: a row that is longer is refused, or
    dropped (too_long). evidence: what stage 2 reads (`answer` only). eval_steps: steps between two
    validations. validation: records answered in each, at most. steps: ends a run early.
    """

    stage: Stage
    learning_rate: float | None = Field(default=None, gt=0)
    epochs: float = Field(default=1.0, gt=0)
    steps: int | None = Field(default=None, ge=1)
    batch: int = Field(default=16, ge=1)
    rows: int = Field(default=ROWS, ge=1)
    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    train_vision: bool = False
    weight_decay: float = Field(default=0.02, ge=0)
    warmup: float = Field(default=0.03, ge=0, lt=1)
    side: int = Field(default=224, ge=32, le=4096)
    max_tokens: int = Field(default=6144, ge=16)
    too_long: TooLong = "refuse"
    evidence: Evidence = "mixed"
    eval_steps: int | None = Field(default=None, ge=1)
    validation: int = Field(default=200, ge=0)
    seed: int = 0
    beta: float = Field(default=0.1, ge=0)
    rollouts: int = Field(default=0, ge=0, le=64)
    temperature: float = Field(default=1.3, gt=0)
    reward: tuple[str, ...] = ()
    reply_tokens: int = Field(default=160, ge=8)

    @model_validator(mode="after")
    def _whole(self) -> "Recipe":
        if self.stage == "rl" and (self.rollouts < 2 or self.batch % self.rollouts):
            raise ValueError(
                f"a batch of {self.batch} replies is not made of {self.rollouts} rollouts a record"
            )
        if self.batch % self.rows:
            raise ValueError(f"a batch of {self.batch} is not made of {self.rows} rows at a time")
        return self

    def rate(self, parameters: int) -> float:
        """The learning rate for a model of that size: Table 8 from a billion parameters (2e-5, for
        stage 2 1e-5); 1e-3 below 100 M and 2e-4 between are ours: 20 steps on 8 records at 2e-5
        took the loss of a model of 5.8 M from 1.93 to 1.58, at 1e-3 to 0.11. A tenth of it where
        what was learned is only shifted (`prefer`, `rl`)."""
        if self.learning_rate is not None:
            return self.learning_rate
        if self.stage not in SUPERVISED:
            return self.model_copy(update={"stage": "evidence"}).rate(parameters) / 10
        if parameters >= LARGE or not parameters:  # of a size that is not known: the cautious one
            return 1e-5 if self.stage == "answer" else 2e-5
        return 1e-3 if parameters < SMALL else 2e-4


USUAL: Final[dict[Stage, dict[str, Any]]] = {"rl": {"rollouts": 8, "beta": 0.0}}
"""What a stage has in the place of the defaults above."""


class Line(NamedTuple):
    """A value as it is shown: where it comes from, and whether the paper says it."""

    name: str
    value: str
    source: str
    in_paper: bool


def table(recipe: Recipe, given: Mapping[str, Any], parameters: int) -> Iterator[Line]:
    """The values of a run, each with its source."""
    values = recipe.model_dump() | {"learning_rate": recipe.rate(parameters)}
    for name, value in values.items():
        if value is None or name == "stage" or recipe.stage not in OWN.get(name, STAGES):
            continue
        source = SOURCES.get(name, _OURS)
        if name == "learning_rate":
            large = parameters >= LARGE or not parameters
            source = _TABLE if large else f"{_OURS}; by {parameters:,} parameters"
            source = source if recipe.stage in SUPERVISED else f"{_OURS}; a tenth of stage 1's"
        source = "given" if given.get(name) is not None else source
        value = " ".join(value) if isinstance(value, tuple) else value
        yield Line(name, f"{value:g}" if isinstance(value, float) else str(value), source,
                   source.startswith(("paper", _NOTES)))  # fmt: skip


def recipe_of(
    stage: Stage, given: Mapping[str, Any], config: str | Path | None = None
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a stage and what was given of it: flags (None is not given) above the file.

    Raises SettingsError for a file or a value that cannot be used.
    """
    values = _file(Path(config)) if config is not None else {}
    values |= {name: value for name, value in given.items() if value is not None}
    for name, stages in OWN.items():
        usual = Recipe.model_fields[name].default  # as a recipe.toml of another stage has it
        if stage not in stages and values.get(name, usual) != usual:
            raise SettingsError(
                f"`train {stage}` has no {name}", hint=f"It is for `train {' | '.join(stages)}`."
            )
    if unknown := sorted(set(values) - set(Recipe.model_fields)):
        raise SettingsError(
            f"{config}: no value of a recipe is called {unknown[0]!r}",
            hint=f"Known are: {', '.join(sorted(Recipe.model_fields))}.",
        )
    try:
        batch = values.get("batch")
        rows = {"rows": math.gcd(batch, ROWS)} if isinstance(batch, int) else {}
        usual = USUAL.get(stage, {})
        return Recipe.model_validate({**rows, **usual, **values, "stage": stage}), values
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "the recipe"
        raise SettingsError(
            f"{name}: {first['msg'].removeprefix('Value error, ')}", hint="`train plan` shows all."
        ) from error


def _file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path} cannot be read: {error}", hint="Write TOML, e.g. learning_rate = 1e-4."
        ) from error
    values = content.get("recipe", content)
    return {k: v for k, v in values.items() if k != "stage"} if isinstance(values, dict) else {}


class Kept(Record):
    """What a run is, as `recipe.toml` keeps it. base: of the adapter; base_weights names its very
    weights; start: the model the run began with (the base, or an adapter of stage 1). data: sha256
    of the rows. schema_in_prompt: whether prompts hold the reply's schema at run time: what was
    taught without it is asked without."""

    recipe: Recipe
    base: str
    base_weights: str
    start: str
    data: str
    learning_rate: float
    side: int
    schema_in_prompt: bool = False

    def same(self, other: "Kept") -> list[str]:
        """What differs, as "name: mine, yours"; empty for runs that may go on with each other."""
        mine, yours = self.model_dump(), other.model_dump()
        mine |= mine.pop("recipe")
        yours |= yours.pop("recipe")
        return [f"{k}: {yours[k]}, not {mine[k]}" for k in mine if mine[k] != yours[k]]


def write(kept: Kept, folder: Path) -> None:
    """`recipe.toml` in a run's folder. Raises OSError."""
    values = kept.model_dump()
    recipe = values.pop("recipe")
    lines = ["# How this model was taught; `hf:` reads side and schema_in_prompt."]
    lines += [*_lines(values), "", "[recipe]", *_lines(recipe)]
    (folder / RECIPE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lines(values: Mapping[str, Any]) -> list[str]:
    """TOML of plain values: JSON's text, numbers and truths are TOML's, too."""
    return [f"{name} = {json.dumps(v)}" for name, v in values.items() if v is not None]


def read(folder: Path) -> Kept | None:
    """What a folder's `recipe.toml` says, None where there is none. Raises UserError for one that
    is none of ours."""
    file = folder / RECIPE
    if not file.is_file():
        return None
    try:
        return Kept.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} is no recipe of this version", hint="Give another --out."
        ) from error
