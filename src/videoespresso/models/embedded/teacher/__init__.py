"""The offline teacher of dataset mode: rules on captions, no model, always the same reply."""

from videoespresso.models.embedded.teacher.model import TeacherChatModel

__all__ = ["TeacherChatModel"]
