"""Errors a user can mend.

Everything a user may have typed wrongly ends in a `UsageError` of one line: what was wrong, the
value, and what is accepted. The command line prints it without a traceback and exits with 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """Bad input. The message is one line that names the fault, the value and the remedy."""


class AbsentDataError(UsageError):
    """A data set lies on a hub that gives no answer, or no such data set: it may be there later."""


FEW = 10
"""Names that a line lists where a command lists them all."""


def unknown(kind: str, name: object, known: Iterable[str], *, all_by: str = "") -> UsageError:
    """The error for a name that is not in a closed list, with the nearest known name.

    Args:
        kind: What the name stands for, for example "sampler".
        name: What the user wrote.
        known: The accepted names.
        all_by: The command that lists them; of more than `FEW` only the nearest are named then.
    """
    names = sorted(known)
    near = get_close_matches(str(name), names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    if all_by and len(names) > FEW:
        few = get_close_matches(str(name), names, n=FEW, cutoff=0.0)
        listed = f"nearest: {', '.join(few)}; all of them: {all_by}"
    else:
        listed = f"known: {', '.join(names)}"
    return UsageError(f"unknown {kind} {str(name)!r}{hint}; {listed}")
