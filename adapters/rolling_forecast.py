"""How many windows a rolling likelihood cuts a text into, told by the checkpoint's files alone.

Knows the tokenizer and the rule of `windows.py`; knows no model and no estimator. `forecast.py`
calls it.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from dllm_eval.checkpoint import read_config
from dllm_eval.families import Family
from dllm_eval.measure.work import Asked, Request, Work, together

from .arguments import AutoregressiveArguments, DiffusionArguments
from .lengths import read_codec
from .windows import Rolling, whole_blocks

_CONTEXT_KEYS = ("max_sequence_length", "max_position_embeddings")
"""Of config.json, in which LLaDA's loader and the others read the longest canvas."""


def rolling_windows(
    request: Request,
    folder: Path | None,
    arguments: AutoregressiveArguments | DiffusionArguments,
    family: Family | None,
) -> tuple[Asked, ...] | None:
    """The windows of a text, each as the scoring of a target.

    Args:
        request: Whose prompt is the text.
        folder: The checkpoint's, with a readable tokenizer; None where it is not here.
        arguments: The model's.
        family: Of a diffusion model, by its card; None for an autoregressive one.

    Returns:
        None where the tokenizer or the context length is not known.

    Raises:
        UsageError: A window has no room for its context.
    """
    context = arguments.rolling_context
    if folder is None:
        return None
    tokens = _window_tokens(folder, arguments.max_length, context, family)
    if tokens is None:
        return None
    rolling = Rolling(tokens=tokens, context=context, scored_at_end=family is not None)
    return _windows(request.prompt, folder, rolling)


def over(windows: tuple[Asked, ...] | None, each: Callable[[Asked], Work | None]) -> Work | None:
    """What all windows cost together; None where they, or one's cost, are not known."""
    return None if windows is None else together(map(each, windows))


def read_once(window: Asked) -> Work:
    """By an autoregressive model, which need not read the last token."""
    positions = window.prompt_tokens + (window.answer_tokens or 0) - 1
    return Work(forwards=1, positions=positions, at_most=False)


@lru_cache(maxsize=20_000)
def _windows(text: str, folder: Path, rolling: Rolling) -> tuple[Asked, ...]:
    codec = read_codec(folder)
    pairs = rolling.windows(codec.encode(text, add_special_tokens=False), codec.begin_id)
    return tuple(
        Asked(request_type="loglikelihood", prompt_tokens=len(before), answer_tokens=len(target))
        for before, target in pairs
    )


def _window_tokens(
    folder: Path, max_length: int | None, context: int, family: Family | None
) -> int | None:
    """Positions of a full window, as the adapters take them; None where no file or card says."""
    config = read_config(folder)
    stated = [config.get(key) for key in _CONTEXT_KEYS]
    stated += [family.context_length] if family is not None else []
    known = [length for length in stated if isinstance(length, int) and length > 0]
    if not known:
        return None
    tokens = min([*known, *([max_length] if max_length else [])])
    return tokens if family is None else whole_blocks(tokens, context, family)
