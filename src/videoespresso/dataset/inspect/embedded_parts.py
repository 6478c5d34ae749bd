"""Did embedded models speak of a film that is not the theatre's? Its core frames tell."""

from pathlib import Path

from PIL import Image

from videoespresso.dataset_record import DatasetItem
from videoespresso.models.embedded.domain import is_theatre


class EmbeddedParts:
    """Judges each video once, by the core frames of its first record."""

    def __init__(self) -> None:
        self._theatre: dict[str, bool] = {}

    def fault(self, item: DatasetItem, files: list[Path]) -> str:
        """What embedded models should not have made; "" when nothing. files: the core frames'
        images; without one that can be read nothing is said."""
        if not item.embedded:
            return ""
        video = item.video.id or item.video.path
        if video not in self._theatre:
            pictures = [picture for file in files if (picture := _read(file)) is not None]
            if not pictures:
                return ""
            self._theatre[video] = is_theatre(pictures)
        if self._theatre[video]:
            return ""
        stages = ", ".join(item.embedded)
        return f"embedded models made {stages}, and know the synthetic theatre only, not this film"


def _read(file: Path) -> Image.Image | None:
    try:
        with Image.open(file) as picture:
            return picture.convert("RGB")
    # what Pillow raises for a file that is no picture (validate.py names these faults)
    except (OSError, SyntaxError, ValueError, ImportError, Image.DecompressionBombError):
        return None
