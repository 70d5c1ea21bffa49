"""What a user has to be told of a server's answers: once each, and counted at a call's end.

Knows replies and records; changes none. `api.py` calls it.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from dllm_eval.endpoint.ask import Reply
from dllm_eval.records import Flag, RequestRecord

logger = logging.getLogger(__name__)

WHAT_TO_DO: dict[Flag, str] = {
    "reasoning_limit": "have no text, because reasoning used up the token limit: they are scored"
    " as they are, empty; a higher reasoning_room or another reasoning_effort leaves more room",
    "content_filter": "were withheld by the server's content filter: they are scored as they are",
    "refusal": "are refusals by the server's own word: they are scored as they are",
}


@dataclass(kw_only=True)
class Notices:
    """Who answered, and what was said about it."""

    served_models: set[str] = field(default_factory=set)
    fingerprints: set[str] = field(default_factory=set)
    _said: set[str] = field(default_factory=set)

    def seen(self, reply: Reply, *, asked: str) -> None:
        """Takes note of a reply: who answered when `asked` was asked, and the server's remarks."""
        if reply.served_model:
            self.served_models.add(reply.served_model)
            # `transformers serve` names a revision, "main" where none was asked.
            if reply.served_model not in (asked, f"{asked}@main"):
                self.once(f"model {asked} was asked, and {reply.served_model} answered")
        if reply.fingerprint:
            self.fingerprints.add(reply.fingerprint)
        if reply.warning:
            self.once(f"the server remarks: {reply.warning}")

    def once(self, line: str) -> None:
        """Says a line the first time."""
        if line not in self._said:
            self._said.add(line)
            logger.warning("%s", line)

    def summed(self, records: Iterable[RequestRecord]) -> None:
        """Says how many answers of a call say little about the model, and why, and who gave them.

        A call that was taken up again has answers of earlier processes among its records.
        """
        found = list(records)
        self.served_models.update(x.served_model for x in found if x.served_model is not None)
        if len(self.served_models) > 1:
            names = ", ".join(sorted(self.served_models))
            self.once(f"these answers are of {len(self.served_models)} models: {names}")
        flags = Counter(record.flag for record in found if record.flag is not None)
        for flag, count in sorted(flags.items()):
            logger.warning("%d of %d answers %s", count, len(found), WHAT_TO_DO[flag])
