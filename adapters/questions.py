"""Which likelihood requests are the choices of one question, and how long each choice is.

Knows lm-eval's requests and nothing of models. `base.py` asks it before anything is scored.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance

from dllm_eval.likelihood.question import Question

from .jobs import Identity, ScoringJob, ScoringUnit


def scoring_units(requests: Sequence[Instance], jobs: Sequence[ScoringJob]) -> list[ScoringUnit]:
    """The choices of a question together, by their index; any other request alone.

    Requests are choices of one question where they belong to one document and round of `repeats`,
    and either ask different continuations of one context, or one continuation of different
    contexts. Whatever else a document asks (lm-eval's `acc_mutual_info` adds the continuations
    without their context) is no contest, and each of its requests is scored alone.

    Args:
        requests: One call's likelihood requests.
        jobs: The same, ready for the model.
    """
    documents: dict[tuple[object, ...], list[tuple[Instance, ScoringJob]]] = defaultdict(list)
    for number, (request, job) in enumerate(zip(requests, jobs, strict=True)):
        documents[_document(job.identity, number)].append((request, job))
    units = []
    for members in documents.values():
        members.sort(key=lambda member: member[1].identity.index)
        asked = [request for request, _ in members]
        own = [job for _, job in members]
        if _compared(asked):
            units.append(ScoringUnit(jobs=tuple(own), divisors=_characters(asked)))
        else:
            units += [ScoringUnit(jobs=(job,)) for job in own]
    return units


def _document(identity: Identity, number: int) -> tuple[object, ...]:
    """Requests without a document's number are compared with none."""
    if identity.doc_id < 0:
        return (number,)
    return (identity.task, identity.doc_id, identity.repeat)


def _compared(requests: Sequence[Instance]) -> bool:
    contexts = {request.args[0] for request in requests}
    continuations = {request.args[1] for request in requests}
    return len(requests) > 1 and min(len(contexts), len(continuations)) == 1


def _characters(requests: Sequence[Instance]) -> tuple[float, ...] | None:
    """What lm-eval's `acc_norm` divides by: each choice's characters without the delimiter.

    A request holds delimiter and choice as one continuation (0.4.13, `ConfigurableTask`). What the
    choices are is read from the document, where a list in it ends the continuations with the same
    white space in front of each; else one blank in front of every continuation is taken for
    lm-eval's default `target_delimiter`. None where contexts differ: the choices are then in the
    contexts, and the request does not say where; and where a choice is empty.
    """
    if len({request.args[0] for request in requests}) > 1:
        return None
    continuations = [request.args[1] for request in requests]
    lengths = [float(len(choice)) for choice in _choices(requests[0].doc, continuations)]
    return tuple(lengths) if min(lengths) > 0 else None


def _choices(doc: object, continuations: list[str]) -> list[str]:
    for texts in _lists_of_texts(doc):
        if len(texts) != len(continuations):
            continue
        pairs = list(zip(continuations, texts, strict=True))
        delimiters = {whole[: len(whole) - len(text)] for whole, text in pairs}
        ends = all(whole.endswith(text) for whole, text in pairs)
        if ends and len(delimiters) == 1 and not delimiters.pop().strip():
            return texts
    if all(continuation.startswith(" ") for continuation in continuations):
        return [continuation[1:] for continuation in continuations]
    return continuations


def _lists_of_texts(doc: object) -> Iterator[list[str]]:
    """The document's lists of texts, those of its mappings (ARC's "choices") included."""
    values: list[Any] = list(doc.values()) if isinstance(doc, Mapping) else []
    for value in values:
        if isinstance(value, Mapping):
            yield from _lists_of_texts(value)
        elif isinstance(value, list | tuple) and all(isinstance(text, str) for text in value):
            yield list(value)


def numbered(units: Sequence[ScoringUnit]) -> list[Question]:
    """The questions among units whose windows are laid out one behind another as pairs."""
    questions, first = [], 0
    for unit in units:
        stop = first + unit.num_pairs
        if len(unit.jobs) > 1:
            questions.append(Question(pairs=tuple(range(first, stop)), divisors=unit.divisors))
        first = stop
    return questions
