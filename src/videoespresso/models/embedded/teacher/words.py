"""The teacher's vocabulary: which words are verbs, moods, places; stems; verbs in other forms."""

import re
from functools import lru_cache

DETERMINERS = frozenset({"a", "an", "the", "this", "that", "his", "her", "its", "their", "another"})
NUMBERS = frozenset(
    {"one", "two", "three", "four", "five", "six", "several", "many", "some", "few", "both"}
)
PRONOUNS = frozenset({"he", "she", "it", "they", "i", "you", "we", "who", "there", "which"})
PREPOSITIONS = frozenset(
    {"in", "on", "at", "with", "of", "under", "near", "by", "behind", "beside", "between", "from"}
    | {"inside", "next", "over", "above", "below", "for", "to", "into", "onto", "off", "past"}
    | {"after", "across", "around", "through", "towards", "toward", "along", "against", "during"}
)
COLORS = frozenset(
    {"red", "blue", "green", "yellow", "white", "black", "purple", "orange", "brown", "pink"}
    | {"grey", "gray", "silver", "golden", "dark", "light-blue"}
)
MOODS = frozenset(
    {"happy", "sad", "angry", "surprised", "afraid", "scared", "worried", "excited", "bored"}
    | {"nervous", "proud", "upset", "calm", "tired", "confused", "relieved", "glad", "annoyed"}
)
WEATHERS = frozenset({"sun", "rain", "snow", "night", "fog", "clouds", "storm", "wind"})
WEATHER_STARTS = {"rain": "starts to rain", "snow": "starts to snow"}
"""What a change of weather is called; other changes are not told as events."""
VEHICLES = frozenset(
    {"car", "bus", "truck", "van", "bicycle", "bike", "motorcycle", "taxi", "train", "tram"}
    | {"lorry", "scooter", "ambulance"}
)
PERSONS = frozenset(
    {"man", "woman", "boy", "girl", "child", "person", "cook", "officer", "builder", "chef"}
    | {"lady", "kid", "baby", "guy", "driver", "player", "worker", "teacher", "student", "waiter"}
    | {"policeman", "cyclist", "pedestrian", "father", "mother", "doctor", "men", "women", "people"}
)
ANIMALS = frozenset(
    {"dog", "cat", "bird", "horse", "cow", "sheep", "duck", "goat", "rabbit", "pig", "fox", "bear"}
)
SHOWN = frozenset(
    {"image", "picture", "photo", "frame", "scene", "video", "view", "camera", "caption"}
)
"""What a caption calls itself: no part of the scene."""
VESSELS = frozenset(
    {"pan", "pot", "bowl", "plate", "board", "oven", "tray", "dish", "cup", "knife"}
)
SCENERY = frozenset({"road", "street", "floor", "ground", "wall", "room", "grass", "table", "air"})
COOKING = frozenset(
    {"chop", "boil", "fry", "mix", "stir", "bake", "slic", "peel", "grat", "dic", "knead", "whisk"}
    | {"season", "grill", "roast", "steam", "simer", "pour", "cut", "marinat"}
)
"""Stems of what is done to ingredients."""
SERVING = frozenset({"serv", "plat"})
IDLE = frozenset({"stand", "sit", "wait", "rest", "remain", "lie", "li"})
"""Stems of verbs that say that nothing happens."""
STATES = frozenset({"wilt", "bloom", "hang", "glow", "shin", "burn"})
"""Stems of verbs that say how a thing is: its first sight is no event."""
OPINION = frozenset(
    {"beautiful", "nice", "best", "better", "worst", "favourite", "favorite", "good", "bad", "ugly"}
    | {"interesting", "boring", "opinion", "think", "believe", "like", "prefer", "recommend"}
    | {"should", "might", "could", "would", "maybe", "perhaps", "probably", "impressive", "lovely"}
    | {"funny", "wonderful", "amazing", "great", "charming", "pretty", "cute", "feelings", "moral"}
    | {"imagine", "suppose"}
)
"""Words of taste and of what might be."""

_VERBS = """
answer appear approach arrive ask bake bark beat bend bite bloom blow boil bounce bow break
breathe bring brush build burn buy call carry cast catch change chase chat check cheer chew chop
clap clean climb close collapse collect come cook count cover crack crash crawl cross cry cut
dance dig dip disappear dive dodge drag draw dress dribble drink drive drop eat empty enter escape
examine exit explain explode face fall feed fight fill fish fix flip float flow fly fold follow
fry gather gaze get give glow go grab grate greet grill grind grow hand hang hide hit hold hop hug
hurry ignite inspect jump keep kick kiss knead kneel knit knock land laugh lay lead leak lean leap
leave lie lift light listen load look lower make march measure meet melt mix move nod open order
pack paint park pass pat pedal peel pet pick place plant play point pose pour press pull pump push
put raise reach read receive remove rest ride ring rise roast roll row rub run sail say scatter
scoop scrape scream scrub sell serve set sew shake share shine shoot shop shout shovel show shower
sing sink sip sit skate ski skip sleep slice slide slip smell smile smoke snap snow sow speak
spill spin splash spray spread sprinkle squeeze stand stare start stay steal step stir stop
stretch strike study surf sway sweep swim swing take talk tap taste tear tell throw tie touch toss
turn type unload unlock unpack untie unwrap use wait wake walk wash watch water wave wear weep
weigh whip whisk whisper wilt wipe work wrap write yawn yell become feel begin finish seem vanish
shut switch glide hover nap trip stumble slow speed travel bear own contain help assist teach
visit rescue save search sort sprint stack surround tackle wander warm wrestle adjust attach aim
apply blend bump carve comb crouch deliver demonstrate discuss drip embrace exercise frown gesture
grin hammer harvest hike hurl iron jog juggle lick lock mop mow observe operate perform pitch
polish practice prepare present protect race rake rinse rotate score scratch shave shiver shred
sketch slam slap sneeze snowboard squat stamp stroll struggle swallow tend tickle tidy toast tow
trim tug twirl twist unfold vacuum wade whistle wink garnish drain return"""
_IRREGULAR = {
    **dict.fromkeys(("is", "are", "was", "were", "been", "being", "am"), "be"),
    **dict.fromkeys(("gave", "given"), "give"),
    **dict.fromkeys(("ran",), "run"),
    **dict.fromkeys(("broke", "broken"), "break"),
    **dict.fromkeys(("fell", "fallen"), "fall"),
    **dict.fromkeys(("drove", "driven"), "drive"),
    **dict.fromkeys(("took", "taken"), "take"),
    **dict.fromkeys(("held",), "hold"),
    **dict.fromkeys(("flew", "flown"), "fly"),
    **dict.fromkeys(("rang", "rung"), "ring"),
    **dict.fromkeys(("swept",), "sweep"),
    **dict.fromkeys(("lit",), "light"),
    **dict.fromkeys(("stood",), "stand"),
    **dict.fromkeys(("sat",), "sit"),
    **dict.fromkeys(("has", "had"), "have"),
    **dict.fromkeys(("went", "gone", "goes"), "go"),
    **dict.fromkeys(("men",), "man"),
    **dict.fromkeys(("women",), "woman"),
    **dict.fromkeys(("children",), "child"),
    "does": "do",
    "rainy": "rain",
    "sunny": "sun",
    "snowy": "snow",
    "nighttime": "night",
}
_BASE_VERBS = frozenset(_VERBS.split())
COPULAS = frozenset({"is", "are", "was", "were"})
_TURNING = frozenset(
    {"turns", "becomes", "gets", "feels", "looks", "seems", "turn", "become", "turned", "became"}
    | {"feel", "look", "get", "felt"}
)
"""Verbs that say of a state what "is" says of it: "turns red"."""


def words(text: str) -> list[str]:
    """Its words, casefolded; "man's" is "man"."""
    return [w.removesuffix("'s").strip("'") for w in re.findall(r"[\w'-]+", plain(text))]


def plain(text: str) -> str:
    """Casefolded, in one line, with straight apostrophes."""
    return " ".join(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold().split())


def is_plural(who: str) -> bool:
    """Whether a subject is of several: "two dogs", "people"."""
    name = re.split(rf" (?:{'|'.join(sorted(PREPOSITIONS))}) ", f"{who} ")[0].split() or [""]
    heads = {"people", "men", "women", "children"}
    return name[0] in NUMBERS - {"one"} or name[-1] in heads


@lru_cache(maxsize=1 << 14)
def stem(word: str) -> str:
    """A word without its ending, the same for "stops", "stopping" and "stopped"."""
    word = _IRREGULAR.get(word, word)
    if word.endswith(("ies", "ied")) and len(word) > 4:
        word = word[:-3] + "y"
    elif (word.endswith("ing") and len(word) > 5) or (word.endswith("ed") and len(word) > 4):
        word = word[:-3] if word.endswith("ing") else word[:-2]
    elif word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        word = word[:-1]
    word = word.rstrip("e") if len(word) > 3 else word
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


def base(act: str) -> str:
    """ "crosses the road" -> "cross the road"; what is no third person stays as it is."""
    verb, _, rest = act.partition(" ")
    if verb in COPULAS:
        verb = "be"
    elif verb in _IRREGULAR:
        verb = _IRREGULAR[verb]
    elif verb.endswith("ies") and len(verb) > 4:
        verb = verb[:-3] + "y"
    elif verb.endswith(("sses", "shes", "ches", "xes", "zes")):
        verb = verb[:-2]
    elif verb.endswith("s") and not verb.endswith("ss"):
        verb = verb[:-1]
    return f"{verb} {rest}".strip()


_FORMS = {base_verb: base_verb for base_verb in _BASE_VERBS} | {
    stem(base_verb): base_verb for base_verb in _BASE_VERBS
}


def is_verb(word: str, *, plural: bool = False) -> bool:
    """Whether a word is a known verb in the third person or, of a plural subject, as it stands."""
    if word in COPULAS or word in _TURNING or word in ("has", "have"):
        return True
    if plural and word in _BASE_VERBS:
        return True
    if not word.endswith("s") or word.endswith("ss"):
        return False
    return base(word) in _BASE_VERBS


def is_progressive(word: str) -> bool:
    """Whether a word is a known verb's -ing form."""
    return word.endswith("ing") and len(word) > 5 and stem(word) in _FORMS


def told(act: str) -> str:
    """An act as it is compared: "turns red" and "feels sad" are "is red" and "is sad"."""
    verb, _, rest = act.partition(" ")
    return f"is {rest}" if verb in _TURNING and rest else act
