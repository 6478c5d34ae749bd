"""What can happen in a story: each episode adds its phases and events to a builder."""

from collections.abc import Callable

from videoespresso.theatre.builder import DISHES, FLOOR, INGREDIENTS, Builder
from videoespresso.theatre.scene import TECHNIQUES


def _two_people(b: Builder) -> tuple[str, str]:
    a = b.anyone()
    people = [k for k, v in b.stage.items() if v.kind == "person" and k != a]
    return a, (b.rng.choice(people) if len(people) >= 2 else b.person(child=b.rng.random() < 0.5))


def _stop(b: Builder) -> None:
    car = b.vehicle(b.rng.choice(("car", "car", "bus", "truck")))
    left = b.stage[car].left
    if "light" not in b.stage:
        b.thing("light", "is green", 0.93, 118.0)
    way = (1.1, 0.75) if left else (-0.1, 0.25)
    b.act(car, "drives", x=way)
    b.event(car, "safety on the road")
    stop_x = 0.7 if left else 0.3
    b.act(car, "drives", x=(way[1], stop_x))
    cause = b.rng.choice(("light", "dog", "cat", "officer", "person", "boy"))
    ahead = stop_x + (-0.34 if left else 0.34)
    if cause == "light":
        key = "light"
        b.act(key, "is red")
    elif cause in ("dog", "cat"):
        key = b.animal(cause) if cause not in b.stage else cause
        b.act(key, "crosses the road", x=(ahead - 0.1, ahead + 0.05), y=160.0, left=False)
    elif cause == "officer" and "officer" not in b.looks:
        key = b.person(role="officer")
        b.act(key, "raises a hand", x=(ahead, ahead), y=150.0)
    else:
        key = b.person(child=cause == "boy")
        b.act(key, "crosses the road", x=(ahead - 0.08, ahead + 0.05), y=152.0)
    why = b.event(key, "safety on the road")
    b.act(car, "stops", x=(stop_x, stop_x))
    if b.stage[key].x0 != b.stage[key].x1:
        b.act(key, b.stage[key].act, x=(b.stage[key].x1, b.stage[key].x1 + 0.04))
    effect = b.event(car, "safety on the road", cause=why)
    watchers = [k for k, v in b.stage.items() if v.kind == "person" and k != key]
    if watchers and b.rng.random() < 0.5:
        b.feels(b.rng.choice(watchers), "safety on the road", effect)
    if key == "light":
        b.act("light", "is green")
    elif b.stage[key].kind != "person" or len(b.stage) > 4:
        b.leave(key)
    b.calm()
    b.leave(car)


def _rain(b: Builder) -> None:
    if b.weather == "rain":
        return _give(b)
    who = b.anyone()
    b.calm()
    if b.rng.random() < 0.6:
        b.show(3.0)
    b.weather = "rain"
    why = b.event("rain", "bad weather")
    b.act(who, b.rng.choice(("opens an umbrella", "runs away")))
    effect = b.event(who, "bad weather", cause=why)
    b.act(who, "")
    if b.rng.random() < 0.6:
        b.feels(who, "bad weather", effect)
    b.calm()
    return None


def _drop(b: Builder) -> None:
    a, q = _two_people(b)
    b.act(a, "drops the box")
    why = b.event(a, "help", obj="box")
    b.act(a, "")
    if b.rng.random() < 0.6:
        b.feels(a, "help", why)
        b.calm(a)
    b.act(q, b.rng.choice((f"gives the box to the {a}", "runs away", "waves")))
    last = b.event(q, "help", obj=a, cause=why)
    b.calm(q)
    if b.rng.random() < 0.6:
        b.feels(a, "help", last)
    b.calm()


def _parade(b: Builder) -> None:
    kinds = b.rng.sample(("car", "bus", "truck", "truck", "car"), b.rng.choice((2, 3)))
    b.calm()
    for kind in kinds:
        car = b.vehicle(kind)
        left = b.stage[car].left
        b.act(car, "drives past", x=(0.72, 0.3) if left else (0.28, 0.7))
        b.event(car, "busy traffic")
        b.leave(car)


def _kick(b: Builder) -> None:
    kid = b.person(child=True)
    effect = b.rng.choice(("bird", "dog", "cat", "flower", "person"))
    if effect in ("bird", "dog", "cat") and effect not in b.stage:
        b.animal(effect)
    elif effect == "flower" and "flower" not in b.stage:
        b.thing("flower", "blooms", 0.9, FLOOR[b.setting])
    other = b.anyone() if effect == "person" else ""
    b.act(kid, "kicks the ball")
    why = b.event(kid, "play", obj="ball")
    b.calm(kid)
    if effect == "bird":
        b.act("bird", "flies away", x=(b.stage["bird"].x1, b.stage["bird"].x1 + 0.12))
        b.event("bird", "play", cause=why)
        b.leave("bird")
    elif effect in ("dog", "cat"):
        x = b.stage[effect].x1
        b.act(effect, "runs after the ball", x=(x, x + (-0.08 if b.stage[effect].left else 0.08)))
        b.event(effect, "play", cause=why, obj="ball")
    elif effect == "flower":
        b.act("flower", "breaks")
        b.event("flower", "play", cause=why)
        b.leave("flower")
    elif other and other != kid:
        b.feels(other, "play", why)
    b.calm()


def _give(b: Builder) -> None:
    a, q = _two_people(b)
    outside = ("balloon", "ball", "book", "bread") if b.setting != "room" else ()
    item = b.rng.choice(outside or ("gift", "book", "cake", "balloon"))
    b.act(a, f"gives the {item} to the {q}")
    why = b.event(a, "generosity", obj=q)
    b.calm(a)
    if b.rng.random() < 0.75:
        b.feels(q, "generosity", why)
    b.calm()


def _steal(b: Builder) -> None:
    thief = b.rng.choice(("dog", "cat", "bird"))
    victim = b.anyone()
    if thief not in b.stage:
        b.animal(thief)
    item = b.rng.choice(("bread", "fish", "cheese"))
    b.act(victim, f"holds the {item}")
    b.event(victim, "a hungry animal", obj=item)
    b.calm(victim)
    x = b.stage[thief].x1
    b.act(thief, f"takes the {item}", x=(x, x + (0.05 if x < 0.5 else -0.05)), left=x >= 0.5)
    why = b.event(thief, "a hungry animal", obj=item)
    b.leave(thief)
    if b.rng.random() < 0.8:
        b.feels(victim, "a hungry animal", why)
    b.calm()


def _water(b: Builder) -> None:
    who = b.anyone()
    if "flower" not in b.stage:
        x = b.stage[who].x1 + (0.2 if b.stage[who].x1 < 0.7 else -0.2)
        b.thing("flower", "wilts", x, FLOOR[b.setting])
        b.calm()
        b.show(2.0)
    b.act(who, "waters the flower")
    why = b.event(who, "care", obj="flower")
    b.calm(who)
    b.act("flower", "blooms")
    b.event("flower", "care", cause=why)
    b.leave("flower")


def _cook(b: Builder) -> None:
    who = b.anyone()
    if b.stage[who].x1 > 0.6:
        b.act(who, "", x=(0.5, 0.5))
    steps = list(zip(b.rng.sample(INGREDIENTS, 3), b.rng.sample(TECHNIQUES, 3), strict=True))
    for item, technique in steps[: b.rng.choice((2, 3))]:
        b.act(who, f"{technique} the {item}")
        b.event(who, "cooking", obj=item)
    b.act(who, f"serves the {b.rng.choice(DISHES)}")
    b.event(who, "cooking", obj=b.stage[who].act.split()[-1])
    b.calm()


def _smoke(b: Builder) -> None:
    who = b.anyone()
    b.thing("pan", "smokes", 0.9 if b.stage[who].x1 < 0.7 else 0.08, 121.0)
    why = b.event("pan", "danger in the kitchen")
    b.feels(who, "danger in the kitchen", why)
    b.leave("pan")
    b.calm()


def _vase(b: Builder) -> None:
    who = b.anyone()
    b.thing("vase", "stands", 0.88, 122.0)
    cause = b.rng.choice(("cat", "dog", "boy"))
    if cause == "boy":
        key = b.person(child=True)
        b.act(key, "kicks the ball")
    else:
        key = cause if cause in b.stage else b.animal(cause)
        x = b.stage[key].x1
        b.act(key, "runs past", x=(x, min(x + 0.1, 0.85)), left=False)
    why = b.event(key, "an accident at home")
    b.calm(key)
    b.act("vase", "breaks")
    effect = b.event("vase", "an accident at home", cause=why)
    b.leave("vase")
    if b.rng.random() < 0.7:
        b.feels(who, "an accident at home", effect)
        b.calm(who)
    if b.rng.random() < 0.6:
        b.act(who, "sweeps the floor")
        b.event(who, "an accident at home", cause=effect)
    b.calm()


def _lamp(b: Builder) -> None:
    who = b.anyone()
    if "lamp" not in b.stage:
        b.thing("lamp", "is on", 0.5, 0.0)
    b.calm()
    b.act("lamp", "is on")
    b.show(2.0)
    b.act("lamp", "is off")
    why = b.event("lamp", "a power cut")
    b.act(who, b.rng.choice(("lights a candle", "falls asleep", "waves")))
    effect = b.event(who, "a power cut", cause=why)
    b.calm(who)
    if b.rng.random() < 0.5:
        b.feels(who, "a power cut", effect)
    b.calm()


def _phone(b: Builder) -> None:
    who = b.anyone()
    if b.stage[who].x1 > 0.72:
        b.act(who, "", x=(0.6, 0.6))
    b.thing("phone", "rings", 0.9, 122.0)
    why = b.event("phone", "news")
    b.leave("phone")
    b.act(who, "answers the phone")
    effect = b.event(who, "news", cause=why, obj="phone")
    b.calm(who)
    b.feels(who, "news", effect)
    b.calm()


def idle(b: Builder) -> None:
    """A distractor: something that has nothing to do with the rest."""
    who = b.anyone()
    b.act(who, b.rng.choice(("waves", "reads a book", "holds a balloon", "walks")))
    b.event(who, "everyday life")
    b.calm()


EPISODES: dict[str, tuple[Callable[[Builder], object], ...]] = {
    "street": (_stop, _stop, _parade, _parade, _drop, _rain),
    "park": (_kick, _give, _steal, _water, _rain, _drop),
    "kitchen": (_cook, _cook, _cook, _smoke, _steal, _give),
    "room": (_vase, _lamp, _phone, _give, _water, _vase),
}


def insert_shot(b: Builder) -> None:
    """A cut to somewhere else that matters to nobody."""
    kept, setting, weather = dict(b.stage), b.setting, b.weather
    b.setting = b.rng.choice([s for s in ("park", "street") if s != setting])
    b.weather = weather or "sun"
    b.stage = {}
    b.thing("flower", "blooms", b.rng.uniform(0.2, 0.8), FLOOR[b.setting])
    if b.rng.random() < 0.5:
        b.animal("bird")
        b.looks.discard("bird")
    b.show(2.0)
    b.stage, b.setting, b.weather = kept, setting, weather
