"""What a conversion saw, changed and left out, counted: nothing is dropped in silence."""

from collections import Counter
from collections.abc import Callable

from pydantic import Field

from videoespresso.dataset.formats.released_boxes import Scale
from videoespresso.dataset_record import Reject
from videoespresso.types import Record


class Unusable(ValueError):
    """Why a record cannot be read, or not be written in a form. Caught where records are counted.

    criterion: the rule, the same text for all records it holds for; reason: what is so here.
    """

    def __init__(self, criterion: str, reason: str = "") -> None:
        super().__init__(reason or criterion)
        self.criterion = criterion


PLACES = 10
"""Places that are named of records left out for one reason."""


class Left(Record):
    """Records left out for one reason. first: where the first of them stood ("record 7"), reason:
    what is so there; also: where the next ones stood, so that PLACES are named at most."""

    criterion: str
    count: int
    first: str
    reason: str
    also: tuple[str, ...] = ()


class Converted(Record):
    """How a conversion went. form: what the source was. boxes: of a released source, those of
    records that are left out too. scale: theirs, None for a source of ours. variants: spellings
    met. changed: what could not be kept as it was. longest: tokens of the longest record,
    left out or not; 0 where they were not counted."""

    source: str
    form: str
    to: str
    files: tuple[str, ...]
    read: int
    written: int
    boxes: int = 0
    scale: Scale | None = None
    variants: dict[str, int] = Field(default_factory=dict)
    changed: dict[str, int] = Field(default_factory=dict)
    left_out: tuple[Left, ...] = ()
    longest: int = 0


class Report:
    """Counts on the way. rejected: is called with each record that cannot be read."""

    def __init__(self) -> None:
        self.rejected: Callable[[Reject], object] = lambda reject: None
        self.read = 0
        self.written = 0
        self.boxes = 0
        self.longest = 0
        self.variants: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        self._left: dict[str, Left] = {}

    def leave(self, where: str, why: Unusable) -> None:
        """Counts a record that is left out."""
        known = self._left.get(why.criterion)
        if known is None:
            left = Left(criterion=why.criterion, count=1, first=where, reason=str(why))
        else:
            also = known.also if known.count >= PLACES else (*known.also, where)
            left = known.model_copy(update={"count": known.count + 1, "also": also})
        self._left[why.criterion] = left

    @property
    def left_out(self) -> tuple[Left, ...]:
        """The reasons, most frequent first."""
        return tuple(sorted(self._left.values(), key=lambda left: -left.count))
