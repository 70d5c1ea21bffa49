"""The word-level tokenizer of the reference pair.

A token is a word or a digit with or without one leading space, a Python operator, a newline, a
four-space indentation or, for anything else, one printable ASCII character. Decoding is plain
concatenation, so any ASCII text comes back exactly. No token starts inside a word and crosses a
space or a newline, so ``encode(a + b) == encode(a) + encode(b)`` when ``b`` starts at one.

Knows nothing about documents beyond their words. Called by ``train`` and ``export``.
"""

import re
from functools import cache
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dllm_eval.reference import choices, code, facts

EOS: Final = "<|endoftext|>"
MASK: Final = "<|mdm_mask|>"
UNKNOWN: Final = "<unk>"
FIM_PREFIX: Final = "<|fim_prefix|>"
FIM_SUFFIX: Final = "<|fim_suffix|>"
FIM_MIDDLE: Final = "<|fim_middle|>"
SPECIALS: Final = (EOS, MASK, UNKNOWN, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE)

INDENTATION: Final = "    "
OPERATORS: Final = ("**", "*", "+", "-", "=", "(")
SYMBOLS: Final = ('"""', "):", "**")
MAX_LENGTH: Final = 1024


def words() -> tuple[str, ...]:
    """Every word of the corpus, sorted and without repeats."""
    return tuple(sorted({*code.WORDS, *facts.WORDS, *choices.WORDS}))


def vocabulary() -> dict[str, int]:
    """Token to id; the specials come first."""
    printable = [chr(point) for point in range(32, 127)]
    spaceable = [*words(), *map(str, range(10)), *OPERATORS]
    tokens = [
        *(*SPECIALS, "\n", "\t", *printable, INDENTATION, *SYMBOLS, *spaceable),
        *(f" {token}" for token in spaceable),
    ]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def _pattern() -> str:
    longest_first = sorted(words(), key=len, reverse=True)
    alternatives = (
        INDENTATION,
        f" ?(?:{'|'.join(longest_first)})(?![A-Za-z])",
        " ?[0-9]",
        f" (?:{'|'.join(map(re.escape, OPERATORS))})",
        "|".join(map(re.escape, SYMBOLS)),
        r"[\s\S]",
    )
    return "|".join(alternatives)


@cache
def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer; it adds no special token to what it encodes."""
    tokenizer = Tokenizer(models.WordLevel(vocabulary(), unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_pattern()), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=EOS,
        pad_token=EOS,
        mask_token=MASK,
        unk_token=UNKNOWN,
        additional_special_tokens=[FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE],
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_LENGTH,
    )


def encode(text: str) -> list[int]:
    """Encode ``text`` to ids of shape (length,)."""
    ids: list[int] = build_tokenizer().encode(text, add_special_tokens=False)
    return ids
