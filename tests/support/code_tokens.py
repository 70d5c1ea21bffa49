"""A byte-level tokenizer trained here on a few lines of code, as tests of texts around gaps use it.

`trained` gives a codec of the adapters; knows nothing of gaps.
"""

from importlib import import_module
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

tokens: Any = import_module("dllm_eval.adapters.tokens")

CODE = """
def add(first, second):
    return first + second


def subtract(first, second):
    result = first - second
    return result


class Counter:
    def __init__(self, start=0):
        self.count = start

    def increment(self, amount=1):
        self.count += amount
        return self.count


def largest(numbers):
    best = numbers[0]
    for number in numbers:
        if number > best:
            best = number
    return best


def strings_to_integers(strings):
    return [int(string) for string in strings if string.isdigit()]
"""
END = "<|end|>"


def trained(text: str = CODE, size: int = 500) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokens.Codec(wrapped(tokenizer))


def wrapped(tokenizer: Tokenizer) -> Any:
    wrap: Any = PreTrainedTokenizerFast
    return wrap(tokenizer_object=tokenizer, eos_token=END, clean_up_tokenization_spaces=False)


def encode(codec: Any, text: str) -> list[int]:
    found: list[int] = codec.encode(text, add_special_tokens=False)
    return found
