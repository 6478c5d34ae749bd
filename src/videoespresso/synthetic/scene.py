"""One instant of a story: who is there, doing what, where; drawn, captioned and boxed."""

import math
import random
from dataclasses import dataclass
from functools import cached_property

from PIL import Image, ImageDraw, ImageFilter

from videoespresso.synthetic.props import PROPS, cooking
from videoespresso.synthetic.sprites import (
    STAGE_H,
    STAGE_W,
    THINGS,
    Extent,
    Pen,
    bird,
    four_legged,
    person,
    vehicle,
)
from videoespresso.synthetic.style import Rgb, Style

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
        return _develop(image, self.style, self.t)

    def draw(self, width: int) -> tuple[Image.Image, list[SceneObject]]:
        """Picture and truth in one go."""
        image, objects = self._draw(width)
        return _develop(image, self.style, self.t), objects

    def _draw(self, width: int) -> tuple[Image.Image, list[SceneObject]]:
        height = round(width * STAGE_H / STAGE_W / 2) * 2
        image = Image.new("RGB", (width, height))
        pen = Pen(ImageDraw.Draw(image), width / STAGE_W, self.style)
        done = (self.t - self.phase.t0) / max(self.phase.t1 - self.phase.t0, 1e-6)
        shift = self.phase.pan * (done - 0.5) * 28
        _background(pen, self.phase, shift)
        seen: list[tuple[str, Actor, Extent]] = []
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
        _weather_on_top(pen, self.phase.weather, self.t, self.style.seed)
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


def _put(
    pen: Pen, actor: Actor, done: float, t: float, shift: float
) -> list[tuple[str, Actor, Extent]]:
    x = (actor.x0 + (actor.x1 - actor.x0) * done) * STAGE_W + shift
    moving = actor.x0 != actor.x1
    swing = t * 9 if moving else 1.2
    seen: list[tuple[str, Actor, Extent]] = []
    if actor.kind == "person":
        pose, prop = prop_of(actor)
        child = actor.who in ("boy", "girl")
        h = 66 if child else 84
        extent, hand = person(pen, x, actor.y, actor.who, actor.color, actor.mood, pose, swing, h)
        seen.append(("person", actor, extent))
        if prop:
            at = {"drops the box": (x + 26, actor.y - 9), "kicks the ball": (x + 38, actor.y - 10)}
            px, py = at.get(actor.act, hand)
            seen.append((prop, actor, PROPS[prop](pen, px, py)))
            if actor.act == "drops the box":
                for k in (-6, 6):
                    pen.line((px + k, py - 28), (px + k, py - 14), fill=(60, 60, 60), width=1.5)
    elif actor.kind in VEHICLES:
        extent = vehicle(
            pen, x, actor.y, actor.kind, actor.color, actor.act, actor.cargo, actor.left
        )
        seen.append((actor.kind, actor, extent))
    elif actor.kind in ("dog", "cat"):
        running = actor.act not in ("", "sits")
        seen.append(
            (
                actor.kind,
                actor,
                four_legged(
                    pen, x, actor.y, actor.kind, running, t * 12 if moving else 1.2, actor.left
                ),
            )
        )
        if actor.act.startswith(("takes", "runs after")):
            prop = actor.act.split()[-1]
            reach = 34 if actor.act.startswith("takes") else 50
            px = x + (-reach if actor.left else reach)
            py = actor.y - (18 if actor.act.startswith("takes") else 9)
            seen.append((prop, actor, PROPS[prop](pen, px, py)))
    elif actor.kind == "bird":
        flying = actor.act.startswith(("flies", "takes"))
        seen.append(("bird", actor, bird(pen, x, actor.y, flying, t * 14 if moving else 1.2)))
        if actor.act.startswith("takes"):
            prop = actor.act.split()[-1]
            seen.append((prop, actor, PROPS[prop](pen, x + 14, actor.y - 22)))
    elif actor.kind in THINGS:
        if actor.kind in ("vase", "phone"):
            pen.rect(x - 30, actor.y, x + 30, actor.y + 5, (120, 80, 50))
            pen.rect(x - 26, actor.y + 5, x - 22, actor.y + 44, (120, 80, 50))
            pen.rect(x + 22, actor.y + 5, x + 26, actor.y + 44, (120, 80, 50))
        seen.append((actor.kind, actor, THINGS[actor.kind](pen, x, actor.y, actor.act)))
    else:
        seen.append((actor.kind, actor, PROPS[actor.kind](pen, x, actor.y)))
    return seen


def _on_counter(
    pen: Pen, actor: Actor, done: float, shift: float
) -> list[tuple[str, Actor, Extent]]:
    technique, _, rest = actor.act.partition(" ")
    if technique not in TECHNIQUES:
        return []
    x = (actor.x0 + (actor.x1 - actor.x0) * done) * STAGE_W + shift + 44
    seen = cooking(pen, x, 121, technique, rest.split()[-1])
    return [(label, actor, extent) for label, extent in seen.items()]


def _dark(color: Rgb, by: float) -> Rgb:
    return int(color[0] * by), int(color[1] * by), int(color[2] * by)


def _background(pen: Pen, phase: Phase, shift: float) -> None:
    style, night = pen.style, phase.weather == "night"
    by = 0.5 if night else 0.85 if phase.weather == "rain" else 1.0
    sky = {"sun": (135, 205, 250), "rain": (130, 140, 150), "snow": (205, 215, 228)}.get(
        phase.weather, (20, 25, 60)
    )
    far, near = _dark(style.far, by), _dark(style.near, by)
    right = STAGE_W + 30
    rng = random.Random(style.seed)
    if phase.setting in ("street", "park"):
        pen.rect(-30, 0, right, 100, sky)
        if phase.weather == "sun":
            pen.oval(268 + shift / 2, 6, 298 + shift / 2, 36, (255, 225, 60))
        elif night:
            pen.oval(268 + shift / 2, 6, 294 + shift / 2, 32, (245, 245, 220))
            pen.oval(276 + shift / 2, 3, 300 + shift / 2, 27, sky)
    if phase.setting == "street":
        x = -30.0 + shift
        while x < right:
            w, h = rng.randint(38, 70), rng.randint(34, 70)
            pen.rect(x, 104 - h, x + w - 3, 106, _dark(far, rng.uniform(0.8, 1.05)))
            for k in range(int(w / 14) - 1):
                pen.rect(
                    x + 7 + 14 * k,
                    112 - h,
                    x + 13 + 14 * k,
                    121 - h,
                    (235, 225, 160) if night else _dark(far, 0.6),
                )
            x += w
        pen.rect(-30, 104, right, 122, _dark((190, 185, 175), by))
        pen.rect(-30, 122, right, STAGE_H + 4, near)
        for k in range(9):
            pen.rect(-20 + 45 * k + shift, 148, 5 + 45 * k + shift, 151, (235, 235, 225))
    elif phase.setting == "park":
        for k in range(5):
            x, y = 10 + 76 * k + rng.randint(-16, 16) + shift, 74 + rng.randint(-6, 6)
            pen.rect(x - 4, y, x + 4, y + 34, _dark((110, 75, 45), by))
            pen.oval(x - 22, y - 40, x + 22, y + 8, _dark(far, 0.75))
        pen.rect(-30, 100, right, STAGE_H + 4, near)
    elif phase.setting == "kitchen":
        pen.rect(-30, 0, right, STAGE_H + 4, far)
        for k in range(12):
            pen.line(
                (k * 30 - 10 + shift, 0), (k * 30 - 10 + shift, 120), fill=_dark(far, 0.93), width=1
            )
            pen.line((-30, k * 20), (right, k * 20), fill=_dark(far, 0.93), width=1)
        pen.rect(18 + shift, 8, 92 + shift, 34, _dark(near, 0.85))
        pen.rect(215 + shift, 8, 300 + shift, 34, _dark(near, 0.85))
    else:
        pen.rect(-30, 0, right, 122, far)
        pen.rect(30 + shift, 18, 92 + shift, 68, (250, 250, 250))
        pen.rect(34 + shift, 22, 88 + shift, 64, (150, 200, 235))
        pen.line((61 + shift, 22), (61 + shift, 64), fill=(250, 250, 250), width=3)
        pen.rect(-30, 122, right, STAGE_H + 4, near)
        pen.oval(60 + shift, 146, 260 + shift, 176, _dark(near, 0.8))


def _weather_on_top(pen: Pen, weather: str, t: float, seed: int) -> None:
    if weather not in ("rain", "snow"):
        return
    rng = random.Random(seed)
    fall = t * (160 if weather == "rain" else 40)
    for _ in range(60 if weather == "rain" else 70):
        x, y = rng.uniform(0, STAGE_W), (rng.uniform(0, STAGE_H) + fall) % STAGE_H
        if weather == "rain":
            pen.line((x, y), (x - 3, y + 10), fill=(185, 210, 240), width=1)
        else:
            pen.draw.ellipse(
                pen._xy([(x - 1.8, y - 1.8), (x + 1.8, y + 1.8)]), fill=(255, 255, 255)
            )


def _develop(image: Image.Image, style: Style, t: float) -> Image.Image:
    """Tint, blur and grain, as the style asks."""
    if style.tint != (1.0, 1.0, 1.0):
        r, g, b = style.tint
        image = image.convert("RGB", (r, 0, 0, 0, 0, g, 0, 0, 0, 0, b, 0))
    if style.blur:
        image = image.filter(ImageFilter.GaussianBlur(style.blur))
    if style.grain:
        noise = Image.effect_noise(image.size, style.grain * 8)
        image = Image.blend(image, Image.merge("RGB", (noise,) * 3), 0.03 * math.sqrt(style.grain))
    return image
