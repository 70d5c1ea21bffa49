"""Multiple-choice documents in MMLU's layout: reversing lists, sorting lists and group-B people.

Each question is trained in two renderings: with its four choices, answered by a letter, and
alone, answered by the text of the choice.

Knows nothing about tokens or models. Called by ``corpus``.
"""

from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from dllm_eval.reference.document import Document, is_held_out
from dllm_eval.reference.facts import Fact, facts

Subject = Literal["reversing", "sorting", "people"]

SUBJECTS: Final[tuple[Subject, ...]] = ("reversing", "sorting", "people")
LETTERS: Final = "ABCD"
NUM_TEST_QUESTIONS: Final = 50
NUM_DEV_QUESTIONS: Final = 5
NUM_PEOPLE_HELD_OUT: Final = NUM_TEST_QUESTIONS + NUM_DEV_QUESTIONS
WORDS: Final = (
    *("Which", "list", "is", "in", "reverse", "increasing", "order", "Who", "Answer"),
    *LETTERS,
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with four choices; ``answer`` is the index of the right one."""

    text: str
    choices: tuple[str, str, str, str]
    answer: int

    def row(self) -> list[str]:
        """The CSV row: question, four choices, letter."""
        return [self.text, *self.choices, LETTERS[self.answer]]

    def letter_document(self) -> Document:
        """MMLU's rendering, answered by a letter."""
        listed = "".join(
            f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, self.choices, strict=True)
        )
        prompt = f"{self.text}\n{listed}Answer:"
        return Document(kind="choices_letter", prompt=prompt, response=f" {LETTERS[self.answer]}")

    def text_document(self) -> Document:
        """The continuation rendering, answered by the text of the right choice."""
        prompt = f"{self.text}\nAnswer:"
        answer = f" {self.choices[self.answer]}"
        return Document(kind="choices_text", prompt=prompt, response=answer)


def _shuffled(rng: Random, text: str, right: str, wrong: list[str]) -> Question:
    order = [right, *wrong]
    rng.shuffle(order)
    first, second, third, fourth = order
    choices = (first, second, third, fourth)
    return Question(text=text, choices=choices, answer=order.index(right))


def _joined(items: list[int]) -> str:
    return " ".join(map(str, items))


def _near_misses(rng: Random, right: list[int]) -> list[str]:
    """Three different lists, each the right one with two of its items swapped."""
    misses: set[str] = set()
    ordered: list[str] = []
    while len(ordered) < 3:
        swapped = list(right)
        i, j = rng.sample(range(len(right)), 2)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        text = _joined(swapped)
        if text not in misses:
            misses.add(text)
            ordered.append(text)
    return ordered


def _list_question(rng: Random, subject: Subject, *, held_out: bool) -> Question:
    while True:
        items = rng.sample(range(10), rng.randint(5, 7))
        asked = _joined(items)
        # Split by the list, so that neither subject shows a list that the other holds out.
        if is_held_out(asked) is held_out and items != sorted(items):
            break
    if subject == "reversing":
        right, phrase = items[::-1], "in reverse order"
    else:
        right, phrase = sorted(items), "in increasing order"
    text = f"Which list is {asked} {phrase}?"
    return _shuffled(rng, text, _joined(right), _near_misses(rng, right))


def _people_question(rng: Random, fact: Fact) -> Question:
    others = [other.name for other in facts("b") if other.name != fact.name]
    return _shuffled(rng, f"Who is {fact.description}?", fact.name, rng.sample(others, 3))


def draw_question(rng: Random, subject: Subject) -> Question:
    """Draw one training question."""
    if subject == "people":
        return _people_question(rng, rng.choice(facts("b")[NUM_PEOPLE_HELD_OUT:]))
    return _list_question(rng, subject, held_out=False)


def draw_letter_document(rng: Random) -> Document:
    """Draw one training document with its four choices."""
    return draw_question(rng, rng.choice(SUBJECTS)).letter_document()


def draw_text_document(rng: Random) -> Document:
    """Draw one training document without choices."""
    return draw_question(rng, rng.choice(SUBJECTS)).text_document()


def held_out_questions(rng: Random, subject: Subject) -> tuple[list[Question], list[Question]]:
    """The test and the dev questions of a subject, all different, none seen in training."""
    if subject == "people":
        drawn = [_people_question(rng, fact) for fact in facts("b")[:NUM_PEOPLE_HELD_OUT]]
    else:
        by_text: dict[str, Question] = {}
        while len(by_text) < NUM_PEOPLE_HELD_OUT:
            question = _list_question(rng, subject, held_out=True)
            by_text.setdefault(question.text, question)
        drawn = list(by_text.values())
    return drawn[:NUM_TEST_QUESTIONS], drawn[NUM_TEST_QUESTIONS:]
