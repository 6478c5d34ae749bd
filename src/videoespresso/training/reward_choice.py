"""Which rewards a run has, and how much each counts: `--reward name=weight`."""

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from videoespresso.errors import UserError
from videoespresso.models.plugins import plugin
from videoespresso.training import rewards
from videoespresso.training.rewards import Answerer, Reward, Truth

DEFAULTS: Final[Mapping[str, float]] = {"format": 0.2, "useful": 1.0, "frames": 0.5, "boxes": 0.5}
"""What counts where nothing is named; ours, the paper has no rewards."""
TRUE: Final = 0.5
"""What `true` counts beside them where stories are known; ours."""
GROUP: Final = "videoespresso.rewards"
"""What a function of somebody's own is looked up as. It is named as module:function only."""

_PLAIN: Final[Mapping[str, Reward]] = {
    "format": rewards.format,
    "frames": rewards.frames,
    "time": rewards.time,
    "boxes": rewards.boxes,
    "short": rewards.short,
}
NAMES: Final = (*_PLAIN, "useful", "true")


def weights_of(given: Sequence[str] = (), *, truth: bool = False) -> dict[str, float]:
    """The weight of each reward, by name, from texts like "frames=0.5" or "my.module:function=2".

    Without any the defaults, `true` among them where there is truth; otherwise those named and no
    other. A name without a weight has its default one, else 1; 0 is measured and not learned.
    Raises UserError for an unknown name, one that is there twice, a weight that is no number of at
    least 0, and where nothing has a weight above 0.
    """
    if not given:
        return {**DEFAULTS, **({"true": TRUE} if truth else {})}
    usual = {**DEFAULTS, "true": TRUE}
    weights: dict[str, float] = {}
    for text in given:
        name, equals, weight = (part.strip() for part in text.partition("="))
        if name not in NAMES and ":" not in name:
            near = get_close_matches(name, NAMES, 1)
            raise UserError(
                f"there is no reward {name!r}",
                hint=f"Did you mean {near[0]}?"
                if near
                else f"There are {', '.join(NAMES)}, and functions of your own as module:function.",
            )
        if name in weights:
            raise UserError(f"the reward {name} is named twice", hint="Name it once.")
        weights[name] = _number(name, weight) if equals else usual.get(name, 1.0)
    if not any(weights.values()):
        raise UserError("no reward counts", hint="Give one of them a weight above 0.")
    return weights


def _number(name: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise UserError(
            f"the weight of {name} is no number of at least 0: {text!r}",
            hint=f"Write it as --reward {name}=0.5.",
        )
    return weight


def functions(
    weights: Mapping[str, float], answerer: Answerer | None = None, truth: Truth | None = None
) -> list[Reward]:
    """The reward functions of these names, in order, for TRL's `reward_funcs`.

    answerer: stage 2, for `useful`; truth: for `true`. Raises UserError where one of these is
    needed and missing, and SettingsError for a module:function that cannot be imported.
    """
    return [_function(name, answerer, truth) for name in weights]


def _function(name: str, answerer: Answerer | None, truth: Truth | None) -> Reward:
    if name in _PLAIN:
        return _PLAIN[name]
    if name == "useful":
        if answerer is None:
            raise UserError(
                "the reward useful needs stage 2, which answers with the evidence",
                hint="Give it one, or leave it out: --reward format --reward frames …",
            )
        return rewards.useful(answerer)
    if name == "true":
        if truth is None:
            raise UserError(
                "the reward true needs to know what is true of a story",
                hint="Give it that (films of the theatre have it), or leave it out.",
            )
        return rewards.true(truth)
    function = plugin(GROUP, name)
    if not callable(function):
        raise UserError(
            f"{name!r} is no function to reward with",
            hint="Name a function(prompts, completions, **columns) as module:function.",
        )
    reward: Reward = function
    return reward


def total(values: Mapping[str, float | None], weights: Mapping[str, float]) -> float:
    """What a completion earns: the weighted sum of what could be measured, as TRL adds it up."""
    measured = [(weight, values[name]) for name, weight in weights.items()]
    return math.fsum(weight * value for weight, value in measured if value is not None)
