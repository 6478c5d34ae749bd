"""How good is an answer beside a reference (paper, section 4.2 and Fig. 10)?"""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, model_validator

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Prompt, Turn
from videoespresso.agents.prompts import load
from videoespresso.errors import SettingsError
from videoespresso.models.client.structured_output import Bounds

CRITERIA = ("logic", "factuality", "accuracy", "conciseness", "overall")
"""The paper's four, and the overall rating, which is asked for and not a mean."""
LOWEST, HIGHEST = 1, 10
CAN_TELL = "can_tell"
Order = Literal["reference first", "answer first"]
ORDERS: tuple[Order, ...] = ("reference first", "answer first")


class Opinion(BaseModel):
    """The ratings, 1 to 10; all None where the judge cannot tell."""

    reason: str = ""
    can_tell: bool
    logic: int | None = Field(default=None, ge=LOWEST, le=HIGHEST)
    factuality: int | None = Field(default=None, ge=LOWEST, le=HIGHEST)
    accuracy: int | None = Field(default=None, ge=LOWEST, le=HIGHEST)
    conciseness: int | None = Field(default=None, ge=LOWEST, le=HIGHEST)
    overall: int | None = Field(default=None, ge=LOWEST, le=HIGHEST)

    @model_validator(mode="before")
    @classmethod
    def _nothing_where_it_cannot_tell(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get(CAN_TELL) is False:
            return {k: v for k, v in value.items() if k not in CRITERIA}
        return value

    @model_validator(mode="after")
    def _all_where_it_can(self) -> "Opinion":
        missing = [name for name in CRITERIA if getattr(self, name) is None]
        if self.can_tell and missing:
            raise ValueError(f"no rating for {', '.join(missing)}")
        return self


Schema = TypeVar("Schema", bound=BaseModel)


def may_abstain(schema: type[Schema]) -> type[Schema]:
    """The reply schema of a judge. Raises SettingsError for one that cannot say "cannot tell": its
    ratings of what cannot be judged would be noise with a number."""
    field = schema.model_fields.get(CAN_TELL)
    if field is None or field.annotation is not bool:
        raise SettingsError(
            f"{schema.__name__} cannot say that it cannot tell",
            hint=f"A judge's reply has a field `{CAN_TELL}: bool`.",
        )
    return schema


class Preference(BaseModel):
    """Which of two answers is better; None where the judge cannot tell."""

    reason: str = ""
    can_tell: bool
    better: Literal["one", "two", "neither"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _nothing_where_it_cannot_tell(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get(CAN_TELL) is False:
            return {k: v for k, v in value.items() if k != "better"}
        return value

    @model_validator(mode="after")
    def _one_where_it_can(self) -> "Preference":
        if self.can_tell and self.better is None:
            raise ValueError("no word on which is better")
        return self


def prompt() -> Prompt:
    """The judge's prompt, with its hash."""
    return load("judge")


def turns(
    question: str,
    reference: str,
    answer: str,
    evidence: Sequence[str],
    order: Order,
    pictures: Sequence[Any] = (),
) -> tuple[Turn, ...]:
    """What the judge is shown, in one of the two orders. pictures: PIL images of the video."""
    both = [("Reference answer", reference), ("Answer to be judged", answer)]
    answers = both if order == "reference first" else both[::-1]
    cue = prompt_parts.JUDGE_CUE
    return (Turn("user", prompt_parts.judge_parts(question, evidence, pictures, answers, cue)),)


def pair_prompt() -> Prompt:
    """The prompt for two answers, with its hash."""
    return load("judge_pair")


def pair_turns(
    question: str,
    reference: str,
    answers: tuple[str, str],
    evidence: Sequence[str],
    pictures: Sequence[Any] = (),
) -> tuple[Turn, ...]:
    """Two answers beside the reference, in the order given."""
    told = [("Reference answer", reference), ("Answer one", answers[0]), ("Answer two", answers[1])]
    cue = prompt_parts.PREFER_CUE
    return (Turn("user", prompt_parts.judge_parts(question, evidence, pictures, told, cue)),)


def bounds() -> Bounds:
    """The ratings, for models that are held to the schema."""
    ratings = {"enum": [*range(LOWEST, HIGHEST + 1), None]}
    return {f"Opinion.{name}": ratings for name in CRITERIA}
