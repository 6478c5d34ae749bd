"""Does a detector's label fit the name of a key item? English noun phrases, by rule.

Small on purpose: names come from captions ("the red car", "man in blue"), labels from detectors
("car", "person"). Knows no pixels and no model.
"""

import re


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


KINDS: dict[str, tuple[str, ...]] = {
    # people by age, sex or trade, for detectors that know only "person" (COCO, Objects365)
    **dict.fromkeys(
        _listed(
            "adult artist athlete baby boy builder businessman businesswoman chef child clerk cook "
            "courier crowd customer cyclist dancer doctor driver farmer father firefighter fireman "
            "fisherman friend gardener gentleman girl guard guest guy human kid lady man "
            "mechanic mother musician nurse officer painter passenger pedestrian player policeman "
            "policewoman runner shopper singer skier soldier student surfer teacher teenager "
            "toddler tourist vendor waiter waitress walker woman worker"
        ),
        ("person",),
    ),
    # young and kinds of animals
    "puppy": ("dog",),
    "hound": ("dog",),
    "kitten": ("cat",),
    "calf": ("cow",),
    "bull": ("cow",),
    "lamb": ("sheep",),
    "pony": ("horse",),
    "duck": ("bird",),
    "pigeon": ("bird",),
    "seagull": ("bird",),
    # vehicles
    "automobile": ("car", "vehicle"),
    "cab": ("taxi", "car", "vehicle"),
    "taxi": ("car", "vehicle"),
    "sedan": ("car", "vehicle"),
    "suv": ("car", "vehicle"),
    "car": ("vehicle",),
    "lorry": ("truck", "vehicle"),
    "van": ("truck", "vehicle"),
    "truck": ("vehicle",),
    "bus": ("vehicle",),
    "coach": ("bus", "vehicle"),
    "bike": ("bicycle",),
    "motorbike": ("motorcycle",),
    "scooter": ("motorcycle",),
    "plane": ("airplane",),
    "aeroplane": ("airplane",),
    "aircraft": ("airplane",),
    "ship": ("boat",),
    "vessel": ("boat",),
    # things with two names
    "sofa": ("couch",),
    "television": ("tv",),
    "telly": ("tv",),
    "mobile": ("cell phone", "phone"),
    "smartphone": ("cell phone", "phone"),
    "mug": ("cup",),
    "hob": ("stove",),
    "cooker": ("stove",),
    "rucksack": ("backpack",),
    "purse": ("handbag",),
    "stoplight": ("traffic light",),
    "semaphore": ("traffic light",),
}
"""A word, and the labels it may go by; read both ways, so "person" also takes a label "man"."""

_IRREGULAR = {
    "people": "person",
    "persons": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "knives": "knife",
    "leaves": "leaf",
    "loaves": "loaf",
    "shelves": "shelf",
    "wolves": "wolf",
    "calves": "calf",
    "buses": "bus",
    "shoes": "shoe",
    "toes": "toe",
    "ties": "tie",
    "pies": "pie",
    "movies": "movie",
    "cookies": "cookie",
}
_ARTICLES = _listed(
    "a an the this that these those his her their its my your our some any each every another "
    "one two three four five six seven eight nine ten several many few both all"
)
_AFTER_HEAD = _listed(
    "in on at of with without by near behind beside under over above below between inside outside "
    "into onto from to for against across around along through who which that wearing holding "
    "carrying riding sitting standing walking running lying driving and or"
)
_PARTITIVES = _listed(
    "piece slice group pair bunch couple row set pack herd flock crowd line pile stack lot number "
    "kind type part"
)
_ADJECTIVES = _listed(
    "red orange yellow green blue purple violet pink brown black white grey gray golden silver "
    "dark light bright pale colourful colorful big large small little tiny tall short long young "
    "old new wooden metal plastic empty full open closed parked moving broken"
)
_IDIOMS = frozenset({"hot dog", "teddy bear"})  # not a dog, not a bear: never taken for one

EXACT, LABEL_IN_NAME, NAME_IN_LABEL, KIND = 1000, 100, 50, 10
"""Grades of a fit; a longer label adds its number of words to `LABEL_IN_NAME`."""


def singular(word: str) -> str:
    """The singular of an English noun, by rule; only has to agree with itself on both sides."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or word.endswith(("ss", "us", "is")) or not word.endswith("s"):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "oes")):
        return word[:-2]
    return word[:-1]


def name_words(phrase: str) -> list[str]:
    """Words of a name in lower case, without articles, possessive 's, a last number ("car 2")."""
    words = re.findall(r"\w+", re.sub(r"['’]s?\b", "", phrase.casefold()).replace("_", " "))
    while len(words) > 1 and (words[-1].isdigit() or len(words[-1]) == 1):
        words.pop()
    kept = [word for word in words if word not in _ARTICLES]
    return kept or words


def head_noun(name: str) -> list[str]:
    """The noun phrase up to its head, singular: "two men in blue" → ["man"].

    A partitive hands over to what it is a part of: "slice of the pizza" → ["pizza"].
    """
    parts: list[list[str]] = [[]]
    for word in name_words(name):
        if word in _AFTER_HEAD:
            parts.append([])
        else:
            parts[-1].append(word)
    filled = [part for part in parts if part]
    if not filled:
        return [singular(word) for word in name_words(name)]
    first = filled[0]
    if len(filled) > 1 and singular(first[-1]) in _PARTITIVES:
        first = filled[1]
    return [*first[:-1], singular(first[-1])]


def _kinds(phrase: list[str]) -> tuple[str, ...]:
    return KINDS.get(" ".join(phrase), ()) or KINDS.get(phrase[-1], ())


def label_fit(name: str, label: str) -> int:
    """How well a label fits a name, 0 for not at all; higher is better, comparable across labels.

    In this order: the very words ("traffic light"); the label ends the name's noun phrase ("red
    car" – "car", the longest label first); the name's noun ends the label ("phone" – "cell phone");
    one is a kind of the other (`KINDS`). Adjectives are not weighed, but "car door" is not a
    "car", "race car" no "police car", and "man" no "woman".
    """
    wanted, offered = name_words(name), name_words(label)
    if not wanted or not offered:
        return 0
    offered = [*offered[:-1], singular(offered[-1])]
    if [*wanted[:-1], singular(wanted[-1])] == offered:
        return EXACT
    noun = head_noun(name)
    if noun[-len(offered) :] == offered:
        return LABEL_IN_NAME + len(offered)
    plain = [word for word in noun[:-1] if word not in _ADJECTIVES] + noun[-1:]
    if plain == offered[-1:] and " ".join(offered) not in _IDIOMS:
        return NAME_IN_LABEL
    if " ".join(offered) in _kinds(plain) or plain[-1] in _kinds(offered):
        return KIND
    return 0
