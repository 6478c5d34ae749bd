"""The paper's 14 tasks (Tables 7 and 9), and how their many spellings are read."""

from typing import Final, Literal, get_args

Task = Literal[
    "Causal Inference",
    "Contextual Interpretation",
    "Event Process",
    "Interaction Dynamics",
    "Behavior Profiling",
    "Emotional Recognition",
    "Influence Tracing",
    "Role Identification",
    "Narrative Structuring",
    "Thematic Insight",
    "Situational Awareness",
    "Cooking Steps",
    "Ingredient Details",
    "Traffic Analysis",
]
TASKS: Final[tuple[Task, ...]] = get_args(Task)
"""In the order of the paper's Table 7."""

GROUPS: Final[dict[str, tuple[Task, ...]]] = {
    "Logical Reasoning": TASKS[0:3],
    "Social Understanding": TASKS[3:7],
    "Discourse Comprehension": TASKS[7:11],
    "Reality Application": TASKS[11:14],
}
"""The paper's Table 9."""

LEADERBOARD: Final[dict[Task, str]] = {
    "Causal Inference": "Causal Analysis",
    "Contextual Interpretation": "Contextual Analysis",
    "Event Process": "Event Dynamic Analysis",
    "Interaction Dynamics": "Interaction Analysis",
    "Behavior Profiling": "Behavior Analysis",
    "Emotional Recognition": "Emotion Analysis",
    "Influence Tracing": "Influence Analysis",
    "Role Identification": "Role Analysis",
    "Narrative Structuring": "Narrative Analysis",
    "Thematic Insight": "Theme Analysis",
    "Situational Awareness": "Situation Analysis",
    "Cooking Steps": "Cooking Process",
    "Ingredient Details": "Preparation Steps",
    "Traffic Analysis": "Traffic Analysis",
}
"""The names that the released files and the authors' leaderboard use, as far as they are known."""

# Stems, because the released strings differ from file to file ("Preparation Steps / Ingredient
# Analysis", "Event Dynamic Analysis"). The order matters: "Cooking Steps" before "Preparation
# Steps", and a generic word is never a stem.
_STEMS: Final[tuple[tuple[str, Task], ...]] = (
    ("caus", "Causal Inference"),
    ("context", "Contextual Interpretation"),
    ("event", "Event Process"),
    ("interact", "Interaction Dynamics"),
    ("behavi", "Behavior Profiling"),
    ("emoti", "Emotional Recognition"),
    ("influ", "Influence Tracing"),
    ("role", "Role Identification"),
    ("narrat", "Narrative Structuring"),
    ("them", "Thematic Insight"),
    ("situat", "Situational Awareness"),
    ("cook", "Cooking Steps"),
    ("ingredient", "Ingredient Details"),
    ("preparation", "Ingredient Details"),
    ("traffic", "Traffic Analysis"),
)


def task_of(text: str) -> Task | None:
    """The task that a label means, whatever its spelling; None where it names none.

    Read by stem and never by equality: the exact strings of the released files are not known.
    """
    words = text.lower().replace("_", " ").split()
    return next((task for stem, task in _STEMS if any(w.startswith(stem) for w in words)), None)
