"""Ask a video a question and see the evidence: core frames, timestamps, boxes.

import videoespresso as ve
answer = ve.ask("clip.mp4", "Why does the red car stop?")
"""

from videoespresso.asking import Step, aask, ask, astream, stream
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
    "Box",
    "BudgetExceeded",
    "CoreFrame",
    "EvidenceStep",
    "FrameRef",
    "KeyItem",
    "ModelError",
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
    "astream",
    "stream",
]
