"""A family's facts before its checkpoint is loaded: from cards, by the folder's config.json.

Knows cards and arguments; reads no weights. `forecast.py` calls it.
"""

from pathlib import Path

from dllm_eval.catalogue.cards import Card, card_for, cards_of
from dllm_eval.checkpoint import read_config
from dllm_eval.families import NO_MASK, Family
from dllm_eval.registry import MODEL_TYPES, SHARED_MODEL_TYPES

from .arguments import DiffusionArguments


def family_of(arguments: DiffusionArguments, folder: Path | None) -> Family | None:
    """The facts that matter here, of the checkpoint's card, else of its family's cards.

    Those of another checkpoint hold only where it has no blocks of its own and all cards agree.
    """
    card = card_for(arguments.pretrained)
    if card is None:
        cards = cards_of(_name(arguments, folder) or "")
        alike = {repr(each.decoding) for each in cards}
        whole = all(each.attention == "full" for each in cards)
        card = cards[0] if len(alike) == 1 and whole else None
    return None if card is None or card.family is None else _facts(card, card.family)


def _name(arguments: DiffusionArguments, folder: Path | None) -> str | None:
    if arguments.family != "auto" or folder is None:
        return None if arguments.family == "auto" else arguments.family
    found = str(read_config(folder).get("model_type"))
    return None if found in SHARED_MODEL_TYPES else MODEL_TYPES.get(found)


def _facts(card: Card, name: str) -> Family:
    noise = card.noise or "mask"
    return Family(
        name=name,
        noise=noise,
        mask_id=NO_MASK if card.mask_id is None else card.mask_id,
        eos_id=card.eos_id or 0,
        pad_id=card.eos_id or 0,
        attention=card.attention or "full",
        block_length=card.block_length,
        context_length=card.context_length or 0,
        decoding=card.decoding.sampler_settings(),
    )
