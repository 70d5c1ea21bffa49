"""Code documents: a one-argument integer function, its docstring and one of several bodies.

The instruction lists three or four operations. The body draws one of three forms, a name for the
temporary and the order of commutative operands, so that a guess which fills many positions at
once mixes forms and fails, while a guess spread over many steps agrees on one.

Knows nothing about tokens or models. Called by ``corpus`` and ``code_tests``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from dllm_eval.reference.document import Document, is_held_out

Verb = Literal[
    "add", "subtract", "multiply by", "subtract from", "double", "triple", "negate", "square"
]
Form = Literal["return_last", "return_name", "nested"]

WITH_NUMBER: Final[tuple[Verb, ...]] = ("add", "subtract", "multiply by", "subtract from")
WITHOUT_NUMBER: Final[tuple[Verb, ...]] = ("double", "triple", "negate", "square")
FUNCTION_NAMES: Final = ("f", "g", "h", "run", "solve", "apply")
TEMPORARIES: Final = ("t", "y", "v", "a", "b", "r", "n", "out")
WORDS: Final = (
    *("def", "return", "add", "subtract", "multiply", "by", "from", "double", "triple", "negate"),
    *("square", "then", "x", *FUNCTION_NAMES, *TEMPORARIES),
)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One step of an instruction: a verb and, for verbs that take one, a digit from 1 to 9."""

    verb: Verb
    number: int | None = None

    def phrase(self) -> str:
        """The words of the docstring."""
        return self.verb if self.number is None else f"{self.verb} {self.number}"


def instruction(operations: Sequence[Operation]) -> str:
    """The docstring text of a list of operations."""
    return ", then ".join(operation.phrase() for operation in operations)


def draw_operation(rng: Random) -> Operation:
    """Draw one operation; verbs with a number are three times as likely as those without."""
    if rng.random() < 0.75:
        verb = rng.choice(WITH_NUMBER)
        return Operation(verb=verb, number=rng.randint(2 if verb == "multiply by" else 1, 9))
    return Operation(verb=rng.choice(WITHOUT_NUMBER))


def draw_operations(rng: Random, *, num_operations: int, held_out: bool) -> tuple[Operation, ...]:
    """Draw a list of operations from the asked-for side of the held-out split."""
    while True:
        operations = tuple(draw_operation(rng) for _ in range(num_operations))
        verbs = [operation.verb for operation in operations]
        if verbs.count("square") > 1 or is_held_out(instruction(operations)) is not held_out:
            continue
        return operations


def _commuted(rng: Random, left: str, operator: str, right: str) -> str:
    return f"{left} {operator} {right}" if rng.random() < 0.5 else f"{right} {operator} {left}"


def _expression(rng: Random, operation: Operation, value: str) -> str:
    number = str(operation.number)
    match operation.verb:
        case "add":
            return _commuted(rng, value, "+", number)
        case "subtract":
            return f"{value} - {number}"
        case "multiply by":
            return _commuted(rng, value, "*", number)
        case "subtract from":
            return f"{number} - {value}"
        case "double":
            return _commuted(rng, value, "*", "2")
        case "triple":
            return _commuted(rng, value, "*", "3")
        case "negate":
            return f"-{value}"
        case "square":
            # One operand, so that a nested expression need not write its inside twice.
            return f"{value} ** 2"


def _lines(rng: Random, operations: Sequence[Operation], *, return_name: bool) -> str:
    name = rng.choice(TEMPORARIES)
    assigned = operations if return_name else operations[:-1]
    lines: list[str] = []
    value = "x"
    for operation in assigned:
        lines.append(f"    {name} = {_expression(rng, operation, value)}\n")
        value = name
    returned = name if return_name else _expression(rng, operations[-1], name)
    return "".join(lines) + f"    return {returned}\n"


def _nested(rng: Random, operations: Sequence[Operation]) -> str:
    value = "x"
    for index, operation in enumerate(operations):
        value = _expression(rng, operation, f"({value})" if index else value)
    return f"    return {value}\n"


def draw_body(rng: Random, operations: Sequence[Operation], *, form: Form | None = None) -> str:
    """Write one correct body, in ``form`` or in a form drawn at random.

    Four operations never take ``return_name``, which would not fit into 32 tokens.
    """
    if form is None:
        forms: tuple[Form, ...] = ("return_last", "return_name", "nested")
        form = rng.choice(forms if len(operations) < 4 else ("return_last", "nested"))
    if form == "nested":
        return _nested(rng, operations)
    return _lines(rng, operations, return_name=form == "return_name")


def write_prompt(name: str, operations: Sequence[Operation]) -> str:
    """The signature and the docstring."""
    return f'def {name}(x):\n    """{instruction(operations)}"""\n'


def draw_document(rng: Random, *, num_operations: int) -> Document:
    """Draw one training document."""
    operations = draw_operations(rng, num_operations=num_operations, held_out=False)
    prompt = write_prompt(rng.choice(FUNCTION_NAMES), operations)
    return Document(kind="code", prompt=prompt, response=draw_body(rng, operations))


def evaluate(operations: Sequence[Operation], value: int) -> int:
    """The value an instruction gives, computed without the text of any body."""
    for operation in operations:
        number = operation.number or 0
        match operation.verb:
            case "add":
                value += number
            case "subtract":
                value -= number
            case "multiply by":
                value *= number
            case "subtract from":
                value = number - value
            case "double":
                value *= 2
            case "triple":
                value *= 3
            case "negate":
                value = -value
            case "square":
                value *= value
    return value
