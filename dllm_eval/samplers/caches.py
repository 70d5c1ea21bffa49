"""Approximate caches: which columns a pass processes, and whose keys it uses as they were.

Under full attention a finished token's keys change with every token that is revealed. These caches
use them again all the same, so an answer may differ from the uncached one. Knows canvas, families
and settings; nothing of networks. `reader.py` asks before each pass.

    pass of a block   prefix             dual        delayed
    first             everything         everything  everything, and so does the second
    later             block to the end   block       masks, and what the step before revealed

Where a row is read at its left neighbour (Dream), the neighbours of open rows are processed too.

dLLM-Cache (arXiv 2506.06295) and d2Cache (arXiv 2509.23094) are left out: they pick the tokens to
renew by how far their values moved in each layer, and by attention weights, and keep each layer's
outputs; one attention call that gives its output alone shows none of it.
"""

import torch
from torch import Tensor
from torch.nn import functional

from dllm_eval.attention import StaleKeyValues
from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.last_pass import LastPass

APPROXIMATE = ("prefix", "dual", "delayed")

DELAYED_REFRESH = 8
"""Steps; dKV-Cache's README decodes LLaDA with `cache_reloading_step=8`, where its function's own
default, 1, would remember nothing."""


class ApproximateCache:
    """Names the columns of each pass over a batch whose blocks are the same columns in every row.

    prefix, dual: Fast-dLLM, arXiv 2505.22618; NVlabs/Fast-dLLM 24cc59e, llada/generate.py,
    `generate_with_prefix_cache` and `generate_with_dual_cache`. Two slips there are not ours: a
    pass more where a block's first pass finishes it, and an error at one step per block. The Dream
    variant (dream/model/generation_utils_block.py, `_sample`) reveals a block's first token alone,
    from the pass over everything, and leaves the block's left neighbour out afterwards; so does
    `first_token: autoregressive` here.

    delayed: dKV-Cache-Decode, arXiv 2505.15781; horseee/dKV-Cache 49a76fc,
    generation_utils/llada_dkv_cache_decode.py, `generate`. A token's remembered keys are those of
    the step after it was revealed. The Dream variant there has several ways to treat the left
    neighbour; ours is its `shift_type="un_right"`: a column is remembered once both it and the one
    that it predicts are known. Its second pass is not over everything; ours is, as for LLaDA.

    Args:
        canvas: The batch.
        config: `cache`, `cache_refresh` and `first_token`; `check_cache` has passed it.
    """

    def __init__(self, canvas: Canvas, config: SamplerConfig) -> None:
        self.canvas = canvas
        self.kind = config.cache
        self.held = StaleKeyValues(canvas.tokens.shape[1])
        published = DELAYED_REFRESH if self.kind == "delayed" else None
        self._refresh = config.cache_refresh or published
        alone = config.first_token == "autoregressive"
        self._shift = 0 if alone else canvas.family.logits_shift
        self._block_start = -1
        self._index = 0
        self._masked = canvas.tokens == canvas.family.mask_id
        self._num_masked = self._num_in_block = 0

    def plan(self, rows: slice, revealed: int) -> LastPass:
        """Decides what the next pass processes, and says what that costs.

        Args:
            rows: The columns whose logits are wanted; they begin where the block does.
            revealed: How many positions of the block the schedule has revealed before this step,
                the fewest of any row.
                Only the delayed cache reads it, because nobody asks the device for the number.
        """
        self._index = 0 if rows.start != self._block_start else self._index + 1
        self._block_start = rows.start
        start, stop = 0, self.held.capacity
        if self.kind == "delayed":
            late, num_late, num_read = self._masked, self._num_masked, self._num_in_block
            behind = slice(rows.start, self.canvas.start + self.canvas.gen_length)
            num_open = max(self.canvas.open_counts(behind))
            self._masked = self.canvas.tokens == self.canvas.family.mask_id
            self._num_masked = num_open - revealed
            self._num_in_block = max(self.canvas.open_counts(rows)) - revealed
            if not self._is_full():
                return self._plan_late(late, num_late, num_read)
        elif not self._is_full():
            start = max(rows.start - self._shift, 0)
            stop = rows.stop if self.kind == "dual" else stop
        self.held.next = slice(start, stop)
        return LastPass(passes=1, start=start, stop=stop)

    def _is_full(self) -> bool:
        full = self._index == 0 or (self.kind == "delayed" and self._index == 1)
        return full or (self._refresh is not None and self._index % self._refresh == 0)

    def _plan_late(self, late: Tensor, num_late: int, num_read: int) -> LastPass:
        """A pass over what was masked when the last one began.

        That is `num_late` columns of each row, of which the first `num_read` lie in the block.
        """
        wanted, most = late, num_late
        if self._shift:
            wanted = late | functional.pad(late, (0, self._shift))[:, self._shift :]
            most = min(num_late * (1 + self._shift), late.shape[1])
        self.held.read = slice(0, min(num_read * (1 + self._shift), most))
        length = late.shape[1]
        places = torch.arange(length, device=late.device)
        columns = torch.where(wanted, places, length).sort(dim=1).values[:, :most]
        # Rows that want fewer process their first one again; a finished row wants none.
        first = columns[:, :1].clamp(max=length - 1)
        self.held.next = torch.where(columns < length, columns, first)
        return LastPass(passes=1, num_columns=wanted.sum(dim=1, keepdim=True))


def check_cache(family: Family, config: SamplerConfig) -> None:
    """Whether family and sampler have a place for the cache that is asked for.

    Raises:
        UsageError: They have none, or `cache_refresh` is set for a cache that is never out of date.
    """
    name = f"cache {config.cache!r}"
    if config.cache not in APPROXIMATE:
        if config.cache_refresh is not None:
            raise UsageError(
                f"cache_refresh is {config.cache_refresh}, but {name} is never out of date; leave "
                f"it unset, or pass cache={'|'.join(APPROXIMATE)}"
            )
        return
    if family.looks_back:
        raise UsageError(
            f"{name} is an approximation for attention that looks everywhere; family "
            f"{family.name!r} only looks back, and cache=auto is exact"
        )
    if not _reveals_in_place(family, config):
        raise UsageError(
            f"{name} means nothing to family {family.name!r} under these settings, which do not "
            "reveal masks of a canvas of fixed length, block by block; pass cache=none"
        )
    for what, asked, instead in _not_published(config):
        if asked:
            raise UsageError(f"{name} has no place for {what}; {instead}")


def _reveals_in_place(family: Family, config: SamplerConfig) -> bool:
    moves = family.expand_id is not None or config.window is not None
    redraws = family.noise != "mask" or config.transition != "none" or family.time_conditioned
    return not moves and not redraws and all(part.kind != "length" for part in config.parts)


def _not_published(config: SamplerConfig) -> list[tuple[str, bool, str]]:
    """What no such cache was published with, whether it is asked for, and what to do."""
    parts = config.parts
    fixed = not config.adaptive and config.schedule != "bernoulli"
    quota = fixed and all(part.kind != "select" for part in parts)
    dual, delayed = config.cache == "dual", config.cache == "delayed"
    return [
        ("cfg_scale above 0", config.cfg_scale > 0, "pass cfg_scale=0 or cache=none"),
        ("mode 'reference'", config.mode == "reference", "pass mode=fast or cache=none"),
        (
            f"sampler {config.sampler!r}, which masks each position in turn",
            any(part.leave_one_out for part in parts),
            "pass cache=none",
        ),
        (
            f"sampler {config.sampler!r}, which looks behind the block",
            dual and any(part.whole_canvas for part in parts),
            "pass cache=prefix or cache=none",
        ),
        (
            "a sampler that reveals other numbers than a schedule of steps gives it",
            delayed and not quota,
            "pass an order and steps, or cache=prefix or cache=dual",
        ),
    ]
