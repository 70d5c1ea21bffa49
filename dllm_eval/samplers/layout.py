"""Which columns of a batch each request's prefix, canvas and suffix take.

Plain numbers, known without the device; knows no tensor and no model. `canvas.py` asks once a
batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dllm_eval.api import Prompt
from dllm_eval.families import Family
from dllm_eval.packing import Span


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of every row."""

    starts: Sequence[int]
    """Each row's first canvas column."""
    ends: Sequence[int]
    """Behind each row's last column to fill in, the overhang included."""
    spans: Sequence[Span]
    """Each row's own columns, from its prefix to its suffix."""
    length: int
    """Of all rows, padding included."""

    @classmethod
    def of(
        cls,
        prompts: Sequence[Prompt],
        family: Family,
        *,
        gen_length: int,
        overhang: int,
        cut: bool,
    ) -> "Layout":
        """See `Canvas.build`."""
        block, starts = family.aligned_block or 1, _starts(prompts, family)
        whole_ends = [-(-(start + gen_length + overhang) // block) * block for start in starts]
        ends = [start + gen_length for start in starts] if cut else whole_ends
        spans = [
            (start - len(prompt.prefix), end + len(prompt.suffix))
            for prompt, start, end in zip(prompts, starts, ends, strict=True)
        ]
        length = max(*whole_ends, *(last for _, last in spans))
        return cls(starts=starts, ends=ends, spans=spans, length=length)


def _starts(prompts: Sequence[Prompt], family: Family) -> list[int]:
    """The column of each row's first canvas position."""
    block, before = family.aligned_block or 1, [len(prompt.prefix) for prompt in prompts]
    whole = max(length // block for length in before) * block
    if family.aligned_block is None:
        return [whole] * len(prompts)
    return [whole + length % block for length in before]
