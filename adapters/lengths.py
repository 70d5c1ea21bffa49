"""How many tokens a request's texts are, told by the checkpoint's tokenizer alone.

Knows texts and tokens as the adapters cut them; knows no model. `forecast.py` calls it.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from dllm_eval.errors import UsageError
from dllm_eval.measure.work import Asked, Request

from .boundaries import Boundaries, Boundary
from .infill_length import LengthPolicy
from .tokenizers.byte_pairs import load_byte_pairs
from .tokens import Codec


@lru_cache(maxsize=16)
def read_codec(folder: Path) -> Codec:
    """A folder's tokenizer, read once.

    Raises:
        UsageError: It is not all of it there as JSON.
    """
    return Codec(load_byte_pairs(folder))


def readable(folder: Path) -> bool:
    """Whether the folder has all of its tokenizer as JSON; some loaders add what theirs lacks."""
    try:
        read_codec(folder)
    except UsageError:
        return False
    return True


def chat_template(folder: Path) -> Callable[..., str]:
    """(conversation, add_generation_prompt=True) -> its text, as the checkpoint's template has it.

    Raises:
        UsageError: The folder's tokenizer is not `readable`, or has no template.
    """
    codec = read_codec(folder)
    if codec.tokenizer.chat_template is None:
        raise UsageError(f"{folder.name} has no chat template; leave apply_chat_template off")

    def apply(history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return codec.conversation(history, answer_follows=add_generation_prompt)

    return apply


@lru_cache(maxsize=200_000)
def asked(request: Request, folder: Path) -> Asked:
    """A request's lengths in the checkpoint's own tokens; nothing is cut to the model's context.

    Of texts around gaps each is tokenised alone, see `canvases`.

    Raises:
        UsageError: The folder's tokenizer is not `readable`.
    """
    codec, kind = read_codec(folder), request.request_type
    if request.middles:
        inside = [codec.encode(text, add_special_tokens=False) for text in request.texts[1:]]
        return Asked(
            request_type=kind,
            prompt_tokens=max(1, len(codec.encode(request.texts[0]))),
            most_tokens=request.most_tokens,
            given_tokens=sum(len(ids) for ids in inside[:-1]),
            suffix_tokens=len(inside[-1]),
            infilling=True,
        )
    if request.answer is None:
        length = max(1, len(codec.encode(request.prompt)))
        return Asked(request_type=kind, prompt_tokens=length, most_tokens=request.most_tokens)
    # White space at the context's end goes to the target, as lm-eval moves it.
    context = len(codec.encode(request.prompt.rstrip())) if request.prompt.strip() else 0
    whole = codec.encode(request.prompt + request.answer, add_special_tokens=context > 0)
    return Asked(
        request_type=kind,
        prompt_tokens=max(1, context),
        answer_tokens=max(1, len(whole) - context),
    )


@lru_cache(maxsize=200_000)
def canvases(
    request: Request, folder: Path, boundary: Boundary, policy: LengthPolicy
) -> tuple[Asked, ...]:
    """The canvases that an infilling request is decoded on, more than one where the model chooses.

    Raises:
        UsageError: The folder's tokenizer is not `readable`.
    """
    boundaries = Boundaries(read_codec(folder), boundary)
    given = boundaries.given(request.texts)
    choices = policy.choices(
        len(request.middles), lambda: boundaries.lengths(request.texts, given, request.middles)
    )
    found = []
    for gaps in choices:
        texts = [len(text.ids) for text in boundaries.fitted(given, gaps)]
        between = sum(texts[1:-1])
        found.append(
            Asked(
                request_type=request.request_type,
                prompt_tokens=texts[0],
                answer_tokens=sum(gaps) + between,
                most_tokens=request.most_tokens,
                given_tokens=between,
                suffix_tokens=texts[-1],
                infilling=True,
            )
        )
    return tuple(found)


def unfilled(request: Request, folder: Path) -> int:
    """Tokens of an infilling request's whole prefix, as a model that only continues it reads it."""
    return max(1, len(read_codec(folder).encode(request.prompt)))
