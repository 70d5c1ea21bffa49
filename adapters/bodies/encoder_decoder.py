"""A causal encoder of finished text and a bidirectional decoder of one canvas, as one denoiser.

Knows transformers' DiffusionGemma modules, masks, positions and the exact cache; knows no file, no
ids and no decoding rule. `diffusion_gemma.py` builds it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dllm_eval.attention import KeyValues, positions_of
from dllm_eval.families import Family


class EncoderDecoder:
    """A causal encoder for what is finished and a decoder for the canvas, as one `api.Denoiser`.

    Where several requests share a batch, positions count from each row's own first token.
    Transformers' `generate` counts the padding too, so its answers depend on the batch.

    Args:
        encoder: transformers' DiffusionGemmaEncoderTextModel.
        decoder: transformers' DiffusionGemmaDecoderModel, over the same weights.
        config: Their text_config.
        family: The checkpoint's facts.
        tokenizer: The checkpoint's tokenizer.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        config: Any,  # noqa: ANN401 - the class exists in some transformers releases only
        family: Family,
        tokenizer: Any,  # noqa: ANN401 - transformers has no one typed tokenizer class
    ) -> None:
        self.encoder = encoder.eval()
        self.decoder = decoder.eval()
        self.family = family
        self.tokenizer = tokenizer
        self._window: int = config.sliding_window
        self._softcap: float = config.final_logit_softcapping
        self._weight = decoder.get_parameter("embed_tokens.weight")
        self._passing = PassingCache(self._weight, config.num_hidden_layers)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self._weight.device

    @property
    def vocab_size(self) -> int:
        """Number of rows of the embedding, which is the output head too."""
        return self._weight.shape[0]

    def logits(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        time: Tensor | None = None,
        cache: KeyValues | None = None,
        self_conditioning: Tensor | None = None,
    ) -> Tensor:
        """One pass of the decoder over the canvas `rows`, behind the finished columns before it.

        Columns behind `rows` are not looked at.

        Args:
            token_ids: (batch, length) int64.
            valid: (batch, length) bool, False at padding; None where nothing is padded.
            rows: The canvas; None is every column.
            time: Unused: the decoder is not told how much noise is left.
            cache: Finished columns; those before `rows` are encoded once and held in it.
            self_conditioning: (batch, rows, vocab) logits of the step before, after temperature;
                None at a canvas's first step.

        Returns:
            (batch, rows, vocab) float32.

        Raises:
            ValueError: The cache holds columns of the canvas.
        """
        del time
        canvas = rows or slice(0, token_ids.shape[1])
        held = KeyValues(canvas.stop) if cache is None else cache
        if held.length > canvas.start:
            raise ValueError(f"{held.length} columns are held, the canvas begins at {canvas.start}")
        if self_conditioning is not None:
            self_conditioning = self_conditioning.to(self._weight.dtype)
        with torch.inference_mode():
            self._encode(token_ids, valid, slice(held.length, canvas.start), held)
            out = self.decoder(
                decoder_input_ids=token_ids[:, canvas],
                past_key_values=self._passing,
                self_conditioning_logits=self_conditioning,
                decoder_attention_mask=self._masks(valid, canvas, causal=False),
                decoder_position_ids=self._positions(valid, canvas),
                held=held,
            )
            logits = functional.linear(out.last_hidden_state, self._weight).float()
            return torch.tanh_(logits.div_(self._softcap)).mul_(self._softcap)

    def _encode(
        self, token_ids: Tensor, valid: Tensor | None, columns: slice, held: KeyValues
    ) -> None:
        if columns.start == columns.stop:
            return
        self.encoder(
            input_ids=token_ids[:, columns],
            attention_mask=self._masks(valid, columns, causal=True),
            position_ids=self._positions(valid, columns),
            past_key_values=self._passing,
            held=held,
        )
        held.keep = columns.stop
        held.advance()

    def _positions(self, valid: Tensor | None, columns: slice) -> Tensor:
        if valid is None:
            return torch.arange(columns.start, columns.stop, device=self.device)[None]
        return positions_of(valid[:, : columns.stop])[:, columns]

    def _masks(
        self, valid: Tensor | None, columns: slice, *, causal: bool
    ) -> dict[str, Tensor | None]:
        """Who sees whom in either kind of layer: (batch or 1, 1, columns, keys) bool, or None.

        In a sliding layer an encoder column sees itself and the `window` - 1 before it; a canvas
        sees itself whole and the `window` - 1 columns before its first.
        """
        places = torch.arange(columns.stop, device=self.device)
        query, key = places[columns, None], places[None]
        full = key <= query if causal else torch.ones_like(key < query)
        since = query if causal else columns.start
        near = full & (key > since - self._window)
        seen: dict[str, Tensor | None] = {}
        for name, pattern in (("full_attention", full), ("sliding_attention", near)):
            if valid is not None:
                # Padding sees everything, so that no row is empty; nothing sees padding.
                own = pattern & valid[:, None, : columns.stop]
                seen[name] = (own | ~valid[:, columns, None])[:, None]
            else:
                whole = not causal and (name == "full_attention" or columns.start < self._window)
                seen[name] = None if whole else pattern[None, None]
        return seen


class PassingCache:
    """What transformers' layers take for their cache: holds nothing, `attention.attend` does.

    Handed back are a layer's own new keys and values; `attend` puts the held ones before them.
    """

    is_compileable = False

    def __init__(self, like: Tensor, num_layers: int) -> None:
        self.keys = self.values = like.new_empty(0)
        """What the decoder puts before its own; `torch.cat` takes an empty vector for nothing."""
        self.layers = [self] * num_layers

    def update(self, key: Tensor, value: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """The encoder's call."""
        return key, value
