"""Ask a video a question and see the evidence: core frames, timestamps, boxes.

import videoespresso as ve
answer = ve.ask("clip.mp4", "Why does the red car stop?")
"""

from typing import TYPE_CHECKING, Any

from videoespresso.api.ask import Step, aask, ask, astream, stream
from videoespresso.api.ask_many import ask_many
from videoespresso.api.ask_many_records import Question, QuestionResult
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import (
    BudgetExceeded,
    ModelError,
    SettingsError,
    ToolError,
    UserError,
    VideoError,
    VideoEspressoError,
)
from videoespresso.settings import Settings
from videoespresso.types import (
    Answer,
    Box,
    CoreFrame,
    EvidenceStep,
    FrameRef,
    KeyItem,
    Usage,
    Video,
)

if TYPE_CHECKING:
    from videoespresso.api.build_dataset import build_dataset

__all__ = [
    "Answer",
    "Box",
    "BudgetExceeded",
    "CoreFrame",
    "DatasetItem",
    "EvidenceStep",
    "FrameRef",
    "KeyItem",
    "ModelError",
    "Question",
    "QuestionResult",
    "Settings",
    "SettingsError",
    "Step",
    "ToolError",
    "Usage",
    "UserError",
    "Video",
    "VideoError",
    "VideoEspressoError",
    "aask",
    "ask",
    "ask_many",
    "astream",
    "build_dataset",
    "stream",
]


def __getattr__(name: str) -> Any:
    """`build_dataset`, which imports langgraph, when it is first asked for."""
    if name == "build_dataset":
        from videoespresso.api.build_dataset import build_dataset  # noqa: PLC0415 - slow

        return build_dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
