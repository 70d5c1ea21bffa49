"""Stopping at an end-of-text: which rows of a batch go on behind a block.

Knows canvases; knows no model. `loop.py` asks after each block where `stop: eos` is set.
"""

import torch

from dllm_eval.samplers.canvas import Canvas


def end_rows(canvas: Canvas, block: slice) -> None:
    """Ends the rows that have an end-of-text in this block; the host waits for the device.

    What is given behind it says that the text goes on: then it ends its own gap alone.
    """
    tokens, ended = canvas.tokens[:, block], torch.zeros_like(canvas.active)
    counted = ~canvas.given[:, block]
    if canvas.given_columns is not None:
        lasts = torch.tensor(canvas.given_columns.lasts).to(tokens.device, non_blocking=True)
        columns = torch.arange(block.start, block.start + tokens.shape[1], device=tokens.device)
        counted &= columns > lasts[:, None]
    for end_id in canvas.family.end_ids:
        ended |= ((tokens == end_id) & counted).any(dim=1, keepdim=True)
    canvas.let_end(ended[:, 0].tolist())
