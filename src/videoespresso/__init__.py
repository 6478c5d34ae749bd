"""Ask a video a question and see the evidence: core frames, timestamps, boxes.

import videoespresso as ve
answer = ve.ask("clip.mp4", "Why does the red car stop?")
"""

from videoespresso.asking import Step, aask, ask, astream, stream
from videoespresso.batch.questions import Asked, Question
from videoespresso.batch.run import ask_many
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

__all__ = [
    "Answer",
    "Asked",
    "Box",
    "BudgetExceeded",
    "CoreFrame",
    "EvidenceStep",
    "FrameRef",
    "KeyItem",
    "ModelError",
    "Question",
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
    "stream",
]
