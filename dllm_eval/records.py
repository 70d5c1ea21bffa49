"""One row per request, one row per score: what every table and figure is computed from.

Plain data (pydantic) with a schema version. Knows no file and no model: `request_log.py` writes
rows, adapters fill them in, `stats/` and `report/` read them as data frames.
"""

from math import log
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1

SHOWN_CHARACTERS = 400
"""How much of the text around an answer its record keeps; lm-eval's sample files have it all."""

RequestType = Literal["generate_until", "loglikelihood", "loglikelihood_rolling"]
Infill = Literal["native", "fim", "prefix_only"]
Flag = Literal["reasoning_limit", "content_filter", "refusal"]
"""Reasoning used up the token limit and nothing was left for an answer; the server withheld the
answer; the server says that the model refused to answer."""


class RequestRecord(BaseModel):
    """What one request asked, what came back and what it cost."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    key: str
    """Content hash of task, document, index and the request itself; unique within a cell."""
    task: str
    doc_id: int
    index: int
    """Which request of the document: the choice of a multiple-choice question, else 0."""
    request_type: RequestType
    model: Literal["diffusion", "autoregressive"]

    prompt_tokens: int | None = None
    visible_tokens: int | None = None
    canvas_tokens: int | None = None
    nfe: int | None = None
    positions: int | None = None
    """What a server does not report of an answer is None; our own models report all five."""
    seconds: float
    """Token ids in to token ids out, device synchronised; a batch's time is shared equally. Of a
    server's answer: from the request to the last byte of the answer, waits between tries apart. Of
    a request under load: from the moment at which it was offered to its answer."""
    cpu_seconds: float | None = None
    """What this process computed meanwhile, over all threads; clearly less than `seconds` times the
    threads means that the machine was busy with something else. None on other devices."""
    repeat_seconds: list[float] = []
    """Every timed repetition, where a latency cell repeats requests; `seconds` is the median."""
    batch_size: int
    """How many requests shared the forward passes; of a server's answer, how many were in flight
    at most."""
    seed: int
    stop_reason: str = ""
    host_syncs: int = 0
    cache: Literal["none", "exact", "approximate"] | None = None
    """What decoding used again of earlier passes; "approximate" may have changed the answer. None
    for a score, and in records from before this was written."""

    draft_nfe: int | None = None
    draft_positions: int | None = None
    """Of speculative decoding with an assistant: what the assistant's own passes cost; `nfe` and
    `positions` are the model's."""
    reasoning_tokens: int | None = None
    """Tokens that a server counts as reasoning, which is no part of the answer; None where it does
    not say."""
    first_text_s: float | None = None
    """From the request to the first visible text of a streamed answer; drafts that later text
    replaces do not count."""
    tries: int | None = None
    """How often a server was asked until it answered."""
    served_model: str | None = None
    """The model that a server says has answered."""
    flag: Flag | None = None
    """Why an answer says little about the model: see `Flag`."""
    offered_s: float | None = None
    """Of a request under load: when it was offered, from the load's beginning."""

    prompt_end: str = ""
    """The last `SHOWN_CHARACTERS` before the canvas, for the reader's eye (generation only)."""
    suffix_start: str = ""
    """The first `SHOWN_CHARACTERS` behind the canvas (infilling only)."""
    response: str = ""
    """The text that was scored (generation only)."""
    tokens: list[int] = []
    pieces: list[str] = []
    """The text of each canvas token, for the denoising view."""
    reveal_step: list[int] = []
    infill: Infill | None = None
    infill_length: str | None = None
    """The length policy of an infilling request, for example "oracle" or "fixed:8"."""

    value: float | None = None
    stderr: float | None = None
    exact: bool | None = None
    quantity: str | None = None
    estimator: str | None = None
    samples: int | None = None
    is_greedy: bool | None = None
    degrees: float | None = None
    """Degrees of freedom of Student's t behind `stderr`."""
    importance_bound: float | None = None
    upper_bound: float | None = None
    upper_bound_stderr: float | None = None
    """What the same forwards say beside an ELBO about log p: a tighter lower bound, and an estimate
    of an upper bound with its standard error; nats."""
    win_probability: float | None = None
    win_probability_normalised: float | None = None
    """Of a question's choice: the chance that it is the answer under another seed, by its value and
    by its value per character."""
    flip_probability: float | None = None
    flip_probability_normalised: float | None = None
    """Of the whole question, the same at each choice: the chance that another seed gives another
    answer."""
    windows: int | None = None
    window_tokens: int | None = None
    """Of a rolling likelihood: the windows it was cut into, and the positions of a full one."""
    target_bytes: int | None = None
    """Of a rolling likelihood: the text's length in UTF-8."""

    @property
    def nats_per_token(self) -> float | None:
        """Of a score: -value over the tokens scored; None for a text without tokens."""
        if self.value is None or not self.visible_tokens:
            return None
        return -self.value / self.visible_tokens

    @property
    def bits_per_byte(self) -> float | None:
        """Of a rolling likelihood: -value in bits over the text's bytes; None for an empty text."""
        if self.value is None or not self.target_bytes:
            return None
        return -self.value / (self.target_bytes * log(2))


class ScoreRecord(BaseModel):
    """One document's score under one metric, as lm-eval's task computed it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    doc_id: int
    metric: str
    filter: str
    value: float
    """Of a perplexity, or of bits per byte, the document's own."""
    weight: float | None = None
    """What the document weighs in the mean, such as its bytes; None where all weigh the same."""
    gold: int | None = None
    """Which choice is right, where the document is a question with numbered choices."""
    cluster: str | None = None
    """Documents of one cluster ask for the same fact and are not independent of each other; None
    where every document stands for itself."""
    category: str | None = None
    """Where the document belongs, from the widest to the narrowest: "stem/astronomy"."""
    verdict: str | None = None
    """What became of a program: "passed", "timed out", or the error that stopped it."""
    isolation: str | None = None
    """How well the program was locked up while it ran, see `sandbox/outcome.py`."""


class RequestLog(Protocol):
    """Where finished requests go, and come from when a run is taken up again."""

    def get(self, key: str) -> RequestRecord | None:
        """The finished request with this key, if there is one."""
        ...

    def put(self, record: RequestRecord) -> None:
        """Keeps a finished request; it survives a crash once this returns."""
        ...
