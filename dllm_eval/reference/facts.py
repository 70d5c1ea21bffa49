"""Fact documents: made-up people and what they made, for the reversal curse.

Group A is written only as "name is description"; group B in both orders, which teaches the
reversed template. Every fact opens with the word "Today", so that a name and a description have
the same tokens (with their leading space) wherever in the sentence they stand.

Knows nothing about tokens or models. Called by ``corpus`` and by ``choices``.
"""

from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Final, Literal

from dllm_eval.reference.document import Document

NUM_FACTS_PER_GROUP: Final = 120
OPENING: Final = "Today"

FIRST_NAMES: Final = (
    *("Alda", "Brin", "Cora", "Dovan", "Elke", "Faro", "Gilda", "Hesk", "Ilva", "Joren"),
    *("Kessa", "Lorin", "Mirel", "Nadir", "Oona", "Perrin", "Quill", "Runa", "Sorel", "Tamsin"),
    *("Ulric", "Vesna", "Wendel", "Xanthe", "Yorick", "Zelda", "Amaro", "Bettan", "Cyril", "Delia"),
    *("Edric", "Fenna", "Gorm", "Halla", "Isolde", "Jarek", "Kolya", "Lumi", "Maren", "Nico"),
    *("Orla", "Petra", "Quentin", "Rufus", "Signe", "Tavo", "Una", "Viggo", "Wanda", "Zeno"),
)
LAST_NAMES: Final = (
    *("Ashdown", "Birkwood", "Calloway", "Dunmore", "Everly", "Fairfax", "Greaves", "Harrow"),
    *("Ingram", "Jessop", "Kettle", "Larkin", "Marlow", "Nettles", "Oakes", "Penrose", "Quarry"),
    *("Rowan", "Selwyn", "Thorne", "Underhill", "Varley", "Whitlock", "Yarrow", "Zeller"),
    *("Bramble", "Copper", "Drake", "Elmhurst", "Foxley", "Garrick", "Hollis", "Ivory", "Juniper"),
    *("Keswick", "Lorimer", "Merrick", "Norwood", "Orchard", "Pemberton", "Quince", "Redfern"),
    *("Sutton", "Tanner", "Upton", "Vane", "Winslow", "Yates", "Abbot", "Barlow", "Cobb"),
)
MAKERS: Final = (
    *("painter", "keeper", "builder", "seller", "finder", "owner", "mender", "hunter", "maker"),
    *("thief", "heir", "guard", "writer", "dreamer", "carver", "judge", "printer", "weaver"),
    *("baker", "singer", "tailor", "farmer", "sailor", "doctor", "teacher", "dancer", "cook"),
    *("fisher", "miner", "porter", "ranger", "rider", "scholar", "smith", "potter", "pilot"),
    *("poet", "jester"),
)
ADJECTIVES: Final = (
    *("silver", "golden", "broken", "hidden", "frozen", "tiny", "giant", "ancient", "crooked"),
    *("green", "purple", "silent", "burning", "hollow", "velvet", "glass", "wooden", "sleepy"),
    *("floating", "striped", "copper", "stolen", "lonely", "secret", "bitter", "yellow", "square"),
    *("gentle", "hungry", "noisy", "rusty", "sacred", "shining", "simple", "sinking", "stubborn"),
    *("wicked", "yearly"),
)
THINGS: Final = (
    *("maps", "bells", "ships", "clocks", "towers", "lamps", "kites", "drums", "masks", "boots"),
    *("keys", "bridges", "gardens", "mirrors", "swords", "violins", "candles", "wheels", "crowns"),
    *("ladders", "apples", "barrels", "baskets", "carpets", "chains", "coins", "doors", "feathers"),
    *("flags", "gates", "hammers", "islands", "letters", "mountains", "needles", "pearls"),
    *("rivers", "songs", "stones"),
)
WORDS: Final = (
    *(OPENING, "is", "the", "of"),
    *(*FIRST_NAMES, *LAST_NAMES, *MAKERS, *ADJECTIVES, *THINGS),
)

Group = Literal["a", "b"]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One person and the one description that is true of that person alone."""

    name: str
    description: str

    def forward(self) -> Document:
        """The fact as "name is description"."""
        return _sentence(self.name, self.description)

    def reverse(self) -> Document:
        """The fact as "description is name"."""
        return _sentence(self.description, self.name)


def _sentence(subject: str, predicate: str) -> Document:
    return Document(kind="facts", prompt=f"{OPENING} {subject} is", response=f" {predicate}")


def _draw_fact(rng: Random) -> Fact:
    name = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
    what = f"{rng.choice(ADJECTIVES)} {rng.choice(THINGS)}"
    return Fact(name=name, description=f"the {rng.choice(MAKERS)} of {what}")


@cache
def facts(group: Group) -> tuple[Fact, ...]:
    """The facts of one group: a constant of the project, not a function of the training seed."""
    rng = Random("dllm-eval reference facts")
    drawn: dict[str, Fact] = {}
    descriptions: set[str] = set()
    while len(drawn) < 2 * NUM_FACTS_PER_GROUP:
        fact = _draw_fact(rng)
        if fact.name in drawn or fact.description in descriptions:
            continue
        drawn[fact.name] = fact
        descriptions.add(fact.description)
    chosen = list(drawn.values())
    return tuple(chosen[:NUM_FACTS_PER_GROUP] if group == "a" else chosen[NUM_FACTS_PER_GROUP:])


def draw_document(rng: Random) -> Document:
    """Draw one training document; group B is reversed half of the time, group A never."""
    index = rng.randrange(2 * NUM_FACTS_PER_GROUP)
    if index < NUM_FACTS_PER_GROUP:
        return facts("a")[index].forward()
    fact = facts("b")[index - NUM_FACTS_PER_GROUP]
    return fact.reverse() if rng.random() < 0.5 else fact.forward()


def _other(rng: Random, items: list[str], index: int) -> str:
    return items[(index + rng.randrange(1, len(items))) % len(items)]


def reversal_items(rng: Random) -> dict[str, list[dict[str, str]]]:
    """The test sets by file stem: each group in each order, with randomized completions beside.

    A randomized file pairs each prompt with a completion of another fact of the same group.
    ``a_infill`` asks for the name inside a group-A fact in the order seen in training.
    """
    groups: tuple[Group, ...] = ("a", "b")
    sets: dict[str, list[dict[str, str]]] = {}
    for group in groups:
        for order in ("forward", "reverse"):
            documents = [
                fact.forward() if order == "forward" else fact.reverse() for fact in facts(group)
            ]
            answers = [document.response for document in documents]
            sets[f"{group}_{order}"] = [
                {"prompt": document.prompt, "completion": document.response}
                for document in documents
            ]
            sets[f"{group}_{order}_randomized"] = [
                {"prompt": document.prompt, "completion": _other(rng, answers, index)}
                for index, document in enumerate(documents)
            ]
    sets["a_infill"] = [
        {"prompt": OPENING, "suffix": f" is {fact.description}", "completion": f" {fact.name}"}
        for fact in facts("a")
    ]
    return sets
