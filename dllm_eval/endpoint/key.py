"""A server's key, which shows itself to nobody but the request that needs it.

Knows no socket and no environment: whoever has one gives it as a mapping. `server.py` holds a key;
`exchange.py` alone reads it.
"""

from collections.abc import Iterable, Mapping
from typing import NoReturn

from dllm_eval.errors import UsageError

HIDDEN = "***"

CUT = "..."
"""What stands where the end of a server's words is left out."""

LEAST_SECRET = 8
"""A key of fewer characters is a placeholder for a server that wants any key ("EMPTY", "x"): it is
hidden in errors, but an answer may hold that word by itself."""

LEAST_PIECE = 4
"""Characters of a key's beginning that are hidden where a line was cut within it."""


class Key:
    """A secret word. Its text, its repr and its formats are all "Key(***)".

    It cannot be pickled, so that no executor, log or record carries it by accident: a process that
    needs it reads its own environment.
    """

    __slots__ = ("__text", "name")

    def __init__(self, text: str, *, name: str = "the key") -> None:
        """Take a key.

        Args:
            text: The secret.
            name: Where it stood, for error lines: the environment variable's name.

        Raises:
            UsageError: If it is empty or cannot stand in a header; the line does not show it.
        """
        text = text.strip()
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise UsageError(
                f"{name} does not hold a key: accepted is one word of printable ASCII characters"
            )
        self.__text = text
        self.name = name

    @classmethod
    def from_environment(cls, names: Iterable[str], environ: Mapping[str, str]) -> "Key | None":
        """The key in the first of these variables that is set and not empty; None if none is.

        Raises:
            UsageError: If that variable holds something that is no key.
        """
        for name in names:
            if environ.get(name, "").strip():
                return cls(environ[name], name=name)
        return None

    def header(self) -> str:
        """The Authorization header's value."""
        return f"Bearer {self.__text}"

    def hide(self, text: str) -> str:
        """`text`, in which a server may have quoted the key, without it or its cut beginning."""
        text = text.replace(self.__text, HIDDEN)
        for length in range(len(self.__text) - 1, LEAST_PIECE - 1, -1):
            text = text.replace(self.__text[:length] + CUT, HIDDEN + CUT)
        return text

    def hide_in_answer(self, answer: str) -> str:
        """`answer`, the text that is scored, without the key if that is long enough for one."""
        is_secret = len(self.__text) >= LEAST_SECRET
        return answer.replace(self.__text, HIDDEN) if is_secret else answer

    def __repr__(self) -> str:
        return f"Key({HIDDEN})"

    __str__ = __repr__

    def __format__(self, form: str) -> str:
        return format(repr(self), form)

    def __copy__(self) -> "Key":
        return self

    def __deepcopy__(self, memo: object) -> "Key":
        return self

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            f"a key is never written down or sent: read {self.name} again where it is needed"
        )
