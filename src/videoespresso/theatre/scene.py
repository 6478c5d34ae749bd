"""One instant of a story: who is there, doing what, where; drawn, captioned and boxed."""

from dataclasses import dataclass
from functools import cached_property

from PIL import Image, ImageDraw

from videoespresso.theatre.backdrop import background, develop, weather_on_top
from videoespresso.theatre.people import person
from videoespresso.theatre.props import PROPS, cooking
from videoespresso.theatre.sprites import THINGS, bird, four_legged, vehicle
from videoespresso.theatre.style import STAGE_H, STAGE_W, Extent, Pen, Style

TECHNIQUES = ("chops", "boils", "fries", "mixes")
COUNTER_TOP = 118.0
VEHICLES = ("car", "bus", "truck")
ANIMALS = ("dog", "cat", "bird")
LABELS: tuple[str, ...] = (
    "person",
    *ANIMALS,
    *VEHICLES,
    *THINGS,
    "knife",
    "pot",
    "bowl",
    *(name for name in PROPS if name != "phone"),
)
"""What the theatre's detector knows."""
_POSE: dict[str, tuple[str, str]] = {  # act -> (pose, prop in the hand)
    "waves": ("wave", ""),
    "walks": ("walk", ""),
    "runs away": ("run", ""),
    "crosses the road": ("walk", ""),
    "raises a hand": ("stop", ""),
    "opens an umbrella": ("up", "umbrella"),
    "drops the box": ("stand", "box"),
    "kicks the ball": ("kick", "ball"),
    "reads a book": ("hold", "book"),
    "holds a balloon": ("hold", "balloon"),
    "waters the flower": ("hold", "can"),
    "answers the phone": ("phone", "phone"),
    "lights a candle": ("hold", "candle"),
    "sweeps the floor": ("hold", "broom"),
    "falls asleep": ("sleep", ""),
}
_CARRYING = ("gives", "serves", "holds")
_RANK = {"light": 0, "lamp": 0, "vase": 1, "flower": 1, "pan": 1, "phone": 1, "ball": 1}


@dataclass(frozen=True)
class Actor:
    """Somebody or something on stage during one phase. `x0` to `x1`: its way, in stage widths."""

    key: str
    kind: str
    phrase: str
    x0: float
    x1: float
    y: float
    who: str = ""
    color: str = ""
    cargo: str = ""
    act: str = ""
    mood: str = ""
    left: bool = False

    @property
    def clause(self) -> str:
        """What a caption says of it: "man in blue waves and is happy"."""
        if self.act:
            return f"{self.phrase} {self.act}" + (f" and is {self.mood}" if self.mood else "")
        idle = {"person": "stands", "dog": "sits", "cat": "sits", "bird": "sits"}
        return f"{self.phrase} is {self.mood}" if self.mood else f"{self.phrase} {idle[self.kind]}"

    @property
    def rank(self) -> tuple[int, float]:
        """Captions name things first, then vehicles, animals, people, each from left to right."""
        order = 2 if self.kind in VEHICLES else 3 if self.kind in ANIMALS else 4
        return _RANK.get(self.kind, order), self.x0


@dataclass(frozen=True)
class Phase:
    """A stretch of a story in which nobody changes what they do: [t0, t1) in seconds."""

    t0: float
    t1: float
    setting: str
    weather: str
    actors: tuple[Actor, ...]
    pan: float = 0.0

    @property
    def caption(self) -> str:
        """The true caption of every frame of the phase."""
        place = f"{self.setting}, {self.weather}" if self.weather else self.setting
        clauses = [a.clause for a in sorted(self.actors, key=lambda a: a.rank)]
        return f"{place}: " + "; ".join(clauses) if clauses else place


@dataclass(frozen=True)
class SceneObject:
    """Truth about a visible object: its detector label, whose it is, its xyxy box in 0-1."""

    label: str
    phrase: str
    key: str
    xyxy: tuple[float, float, float, float]


_Seen = tuple[str, Actor, Extent]


@dataclass(frozen=True)
class Scene:
    """The stage at one instant."""

    phase: Phase
    t: float
    style: Style
    pole: float | None = None

    @property
    def caption(self) -> str:
        return self.phase.caption

    @cached_property
    def objects(self) -> list[SceneObject]:
        """Boxes of everything on stage; drawn small, because extents do not depend on size."""
        return self._draw(STAGE_W)[1]

    def render(self, width: int = 480) -> Image.Image:
        """The picture, `width` pixels wide, 16:9."""
        image, _ = self._draw(width)
        return develop(image, self.style, self.t)

    def draw(self, width: int) -> tuple[Image.Image, list[SceneObject]]:
        """Picture and truth in one go."""
        image, objects = self._draw(width)
        return develop(image, self.style, self.t), objects

    def _draw(self, width: int) -> tuple[Image.Image, list[SceneObject]]:
        height = round(width * STAGE_H / STAGE_W / 2) * 2
        image = Image.new("RGB", (width, height))
        pen = Pen(ImageDraw.Draw(image), width / STAGE_W, self.style)
        done = (self.t - self.phase.t0) / max(self.phase.t1 - self.phase.t0, 1e-6)
        shift = self.phase.pan * (done - 0.5) * 28
        background(pen, self.phase.setting, self.phase.weather, shift)
        seen: list[_Seen] = []
        actors = sorted(self.phase.actors, key=lambda a: (a.kind in VEHICLES, a.y))
        if self.phase.setting == "kitchen":
            people = [a for a in actors if a.kind == "person"]
            for actor in people:
                seen += _put(pen, actor, done, self.t, shift)
            pen.rect(-30, 120, STAGE_W + 30, STAGE_H + 4, self.style.near)
            pen.rect(-30, 118, STAGE_W + 30, 124, (235, 232, 225))
            for actor in people:
                seen += _on_counter(pen, actor, done, shift)
            actors = [a for a in actors if a.kind != "person"]
        for actor in actors:
            seen += _put(pen, actor, done, self.t, shift)
        if self.pole is not None:
            x = self.pole * STAGE_W + shift
            pen.rect(x - 3, 0, x + 3, STAGE_H, (60, 55, 50))
        weather_on_top(pen, self.phase.weather, self.t, self.style.seed)
        kitchen = self.phase.setting == "kitchen"
        return image, [o for o in (_truth(*s, kitchen) for s in seen) if o is not None]


def _truth(label: str, actor: Actor, extent: Extent, kitchen: bool) -> SceneObject | None:
    """Clip to the stage; what shows less than 40 % of itself is not counted as visible."""
    x0, y0, x1, y1 = extent
    if label == "person" and kitchen:
        y1 = COUNTER_TOP  # legs are behind the counter
    cx0, cy0 = max(x0, 0.0), max(y0, 0.0)
    cx1, cy1 = min(x1, float(STAGE_W)), min(y1, float(STAGE_H))
    area = (x1 - x0) * (y1 - y0)
    if cx1 <= cx0 or cy1 <= cy0 or (cx1 - cx0) * (cy1 - cy0) < 0.4 * area:
        return None
    box = (cx0 / STAGE_W, cy0 / STAGE_H, cx1 / STAGE_W, cy1 / STAGE_H)
    phrase = actor.phrase if label in (actor.kind, actor.phrase) else label
    return SceneObject(label, phrase, actor.key, box)


def prop_of(actor: Actor) -> tuple[str, str]:
    """(pose, held thing) that show an act; animals carry in the mouth."""
    if actor.act in _POSE:
        return _POSE[actor.act]
    first, _, rest = actor.act.partition(" ")
    words = rest.split()
    if first in _CARRYING and len(words) > 1:
        return "hold", words[1]
    return ("hold", "") if first in TECHNIQUES else ("stand", "")


def _way(actor: Actor, done: float, shift: float) -> float:
    """Where on the stage an actor is when `done` (0-1) of its phase is over."""
    return (actor.x0 + (actor.x1 - actor.x0) * done) * STAGE_W + shift


def _put(pen: Pen, actor: Actor, done: float, t: float, shift: float) -> list[_Seen]:
    """Draws one actor with what it holds, and says what was drawn."""
    x = _way(actor, done, shift)
    moving = actor.x0 != actor.x1
    if actor.kind == "person":
        return _put_person(pen, actor, x, t * 9 if moving else 1.2)
    if actor.kind in ("dog", "cat"):
        return _put_beast(pen, actor, x, t * 12 if moving else 1.2)
    if actor.kind == "bird":
        return _put_bird(pen, actor, x, t * 14 if moving else 1.2)
    if actor.kind in VEHICLES:
        extent = vehicle(
            pen, x, actor.y, actor.kind, actor.color, actor.act, actor.cargo, actor.left
        )
        return [(actor.kind, actor, extent)]
    if actor.kind not in THINGS:
        return [(actor.kind, actor, PROPS[actor.kind](pen, x, actor.y))]
    if actor.kind in ("vase", "phone"):
        _table(pen, x, actor.y)
    return [(actor.kind, actor, THINGS[actor.kind](pen, x, actor.y, actor.act))]


def _put_person(pen: Pen, actor: Actor, x: float, swing: float) -> list[_Seen]:
    pose, prop = prop_of(actor)
    h = 66 if actor.who in ("boy", "girl") else 84
    extent, hand = person(pen, x, actor.y, actor.who, actor.color, actor.mood, pose, swing, h)
    seen: list[_Seen] = [("person", actor, extent)]
    if prop:
        at = {"drops the box": (x + 26, actor.y - 9), "kicks the ball": (x + 38, actor.y - 10)}
        px, py = at.get(actor.act, hand)
        seen.append((prop, actor, PROPS[prop](pen, px, py)))
        if actor.act == "drops the box":
            for k in (-6, 6):
                pen.line((px + k, py - 28), (px + k, py - 14), fill=(60, 60, 60), width=1.5)
    return seen


def _put_beast(pen: Pen, actor: Actor, x: float, swing: float) -> list[_Seen]:
    running = actor.act not in ("", "sits")
    extent = four_legged(pen, x, actor.y, actor.kind, running, swing, actor.left)
    seen: list[_Seen] = [(actor.kind, actor, extent)]
    if actor.act.startswith(("takes", "runs after")):
        takes = actor.act.startswith("takes")
        reach, up = (34, 18) if takes else (50, 9)
        prop = actor.act.split()[-1]
        px = x + (-reach if actor.left else reach)
        seen.append((prop, actor, PROPS[prop](pen, px, actor.y - up)))
    return seen


def _put_bird(pen: Pen, actor: Actor, x: float, swing: float) -> list[_Seen]:
    flying = actor.act.startswith(("flies", "takes"))
    seen: list[_Seen] = [("bird", actor, bird(pen, x, actor.y, flying, swing))]
    if actor.act.startswith("takes"):
        prop = actor.act.split()[-1]
        seen.append((prop, actor, PROPS[prop](pen, x + 14, actor.y - 22)))
    return seen


def _table(pen: Pen, x: float, y: float) -> None:
    wood = (120, 80, 50)
    pen.rect(x - 30, y, x + 30, y + 5, wood)
    pen.rect(x - 26, y + 5, x - 22, y + 44, wood)
    pen.rect(x + 22, y + 5, x + 26, y + 44, wood)


def _on_counter(pen: Pen, actor: Actor, done: float, shift: float) -> list[_Seen]:
    technique, _, rest = actor.act.partition(" ")
    if technique not in TECHNIQUES:
        return []
    seen = cooking(pen, _way(actor, done, shift) + 44, 121, technique, rest.split()[-1])
    return [(label, actor, extent) for label, extent in seen.items()]
