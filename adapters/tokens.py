"""A checkpoint's tokenizer, read without running its code, and the few things asked of it.

Knows tokenizer files, ids and text; nothing of models. Family loaders and the adapters call it.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from dllm_eval.errors import UsageError

from .token_bytes import TokenBytes

TRIAL_WORDS = ("x", "a", "return", "the", "(")
"""Any text may follow a prompt; these show whether its last blank stays a token of its own."""


def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - transformers has no one typed class
    """The tokenizer of a checkpoint folder; a missing or damaged one is a `UsageError`."""
    if not (folder / "tokenizer.json").is_file():
        raise UsageError(f"{folder} has no tokenizer.json")
    try:
        return PreTrainedTokenizerFast.from_pretrained(folder)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise UsageError(f"the tokenizer in {folder} cannot be read: {error}") from error


def token_id(tokenizer: Any, token: str) -> int | None:  # noqa: ANN401
    """The id of a token that the vocabulary has, else None (never the unknown token's id)."""
    found = tokenizer.convert_tokens_to_ids(token)
    if found is None or tokenizer.convert_ids_to_tokens(found) != token:
        return None
    return int(found)


class Codec:
    """Text to ids and back, for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401
        self.tokenizer = tokenizer
        if tokenizer.eos_token_id is None:
            raise UsageError("the tokenizer has no end-of-text token; add eos_token to its config")
        self.end_id: int = tokenizer.eos_token_id
        self.begin_id: int = tokenizer.eos_token_id
        if tokenizer.bos_token_id is not None:
            self.begin_id = tokenizer.bos_token_id

    @cached_property
    def token_bytes(self) -> TokenBytes:
        """What each token spells; made when it is first asked for."""
        return TokenBytes(self.tokenizer)

    def encode(self, text: str, *, add_special_tokens: bool | None = None) -> list[int]:
        """Token ids of a text.

        Args:
            text: Any text.
            add_special_tokens: None leaves it to the tokenizer, except that a text which
                already begins with the begin-of-text token does not get a second one.
        """
        if add_special_tokens is None:
            begin = self.tokenizer.bos_token
            add_special_tokens = not (begin and text.startswith(begin))
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out."""
        text: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each id alone, special tokens written out."""
        return [self.tokenizer.decode([token], skip_special_tokens=False) for token in ids]

    def cut(self, ids: Sequence[int], until: Sequence[str]) -> tuple[str, int]:
        """The text before the first stop string, and how many of the ids it takes.

        An id counts when any of its text lies before the cut; nothing is tokenised again.
        """
        text = self.decode(ids)
        places = [place for stop in until if stop and (place := text.find(stop)) >= 0]
        if not places:
            return text, len(ids)
        end = min(places)
        lengths = range(len(ids) + 1)
        return text[:end], bisect_left(lengths, end, key=lambda n: len(self.decode(ids[:n])))

    def ends_with(self, ids: Sequence[int], until: Sequence[str]) -> bool:
        """Whether the newest ids complete a stop string."""
        longest = max((len(stop.encode()) for stop in until), default=0)
        tail = self.decode(ids[-(longest + 4) :])
        return any(stop in tail for stop in until if stop)

    def split_trailing_blanks(self, text: str) -> tuple[str, str]:
        """The text, and the white space at its end that belongs to the token of the next word.

        A tokenizer that glues a blank to the word behind it would otherwise see a prompt that ends
        as no text it was trained on does. Whether it does so is tried with a few words.
        """
        trials = [self.encode(text + word, add_special_tokens=False) for word in TRIAL_WORDS]
        for end in range(len(text), len(text.rstrip()) - 1, -1):
            ids = self.encode(text[:end], add_special_tokens=False)
            if all(trial[: len(ids)] == ids for trial in trials):
                return text[:end], text[end:]
        return text, ""

    def conversation(self, history: list[dict[str, str]], *, answer_follows: bool = True) -> str:
        """A conversation as the tokenizer's own template writes it.

        Args:
            history: The turns.
            answer_follows: Whether the next turn is begun; else the last one goes on.
        """
        text: str = self.tokenizer.apply_chat_template(
            history,
            tokenize=False,
            add_generation_prompt=answer_follows,
            continue_final_message=not answer_follows,
        )
        return text


def token_counter(folder: str | None) -> Callable[[str], int] | None:
    """Counts a text's tokens by the tokenizer of a folder; None where there is no folder."""
    if folder is None:
        return None
    codec = Codec(load_tokenizer(Path(folder)))
    return lambda text: len(codec.encode(text, add_special_tokens=False))
