"""The small theatre: seeded stories with exact truth, for learning, testing and measuring."""

from videoespresso.theatre.scene import LABELS, Scene, SceneObject
from videoespresso.theatre.stories import SPLITS, Event, Story, make_story

__all__ = ["LABELS", "SPLITS", "Event", "Scene", "SceneObject", "Story", "make_story"]
