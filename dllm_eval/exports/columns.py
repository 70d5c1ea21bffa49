"""The columns of the exported tables: names with units, types and meanings.

The same descriptions stand in docs/interchange.md, as a test sees to. `tables.py` fills them.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "integer", "number", "flag"]


@dataclass(frozen=True)
class Column:
    """One column of an exported table."""

    name: str
    kind: Kind
    meaning: str
    source: str = ""
    """What `sweep.store` calls it; "" where it is called the same."""

    @property
    def origin(self) -> str:
        """The column it comes from."""
        return self.source or self.name


CELLS = (
    Column("cell_id", "text", "joins the three tables"),
    Column("config_id", "text", "the same for all cells of one setting of one model and suite"),
    Column("folder", "text", "the results folder it was read from"),
    Column("model", "text", "display name; imported runs say so in it"),
    Column("kind", "text", "diffusion or autoregressive"),
    Column("imported", "flag", "whether lm-eval itself ran it, outside a sweep"),
    Column("task", "text", "lm-eval's task or group"),
    Column("suite", "text", "its title"),
    Column("metric", "text", "the metric that stands for it"),
    Column("lower_is_better", "flag", "whether the task says that less of it is better"),
    Column("filter", "text", "lm-eval's filter of that metric"),
    Column("chance", "number", "what guessing scores, a share of 1"),
    Column("variant", "text", "what an imported run was put to differently"),
    Column("num_fewshot", "integer", "shots that were asked for; empty for the task's own"),
    Column("apply_chat_template", "flag", "whether prompts went through the chat template"),
    Column("task_facts", "text", "what the tasks say of themselves, by task, as JSON"),
    Column("purpose", "text", "quality, latency or load"),
    Column("dial", "text", "the number that varies along a sweep"),
    Column("dial_value", "number", "its value here"),
    Column("settings", "text", "every setting of the model, as JSON"),
    Column("num_documents", "integer", "the first so many of each task; empty for all", "limit"),
    Column("batch_size", "integer", "requests that shared forward passes, at most"),
    Column("seed", "integer", "of the sampler"),
    Column("placement", "text", "local, engine or api: in process, or who answered"),
    Column("tier", "text", "how hard the stack was driven; empty where nobody said"),
    Column("load_in_flight", "integer", "of a load cell: requests in flight at any time"),
    Column("load_arrivals_per_s", "number", "of a load cell: mean rate of Poisson arrivals"),
    Column("machine", "text", "where it ran"),
    Column("stack", "text", "what ran the model"),
    Column("cell_s", "number", "seconds of the whole cell, model loading apart"),
    Column("peak_memory_bytes", "integer", "the most memory held at once"),
    Column("peak_memory_scope", "text", "what that counts"),
    Column("energy_joules", "number", "of the timed evaluation, where a meter was there"),
    Column("weights", "text", "hash of the weights, or the revision of an imported run's"),
    Column("dtype", "text", "of the weights"),
    Column("git_commit", "text", "of this package"),
    Column("versions", "text", "of the software, as JSON"),
)

REQUESTS = (
    Column("cell_id", "text", "joins the three tables"),
    Column("key", "text", "hash of task, document, index and request; unique within a cell"),
    Column("task", "text", "lm-eval's task"),
    Column("doc_id", "integer", "lm-eval's number of the document"),
    Column("index", "integer", "which request of the document: the choice of a question, else 0"),
    Column("request_type", "text", "generate_until, loglikelihood or loglikelihood_rolling"),
    Column("kind", "text", "diffusion or autoregressive", "model"),
    Column("prompt_tokens", "integer", "tokens of the prompt"),
    Column("visible_tokens", "integer", "tokens of the answer that are shown, or scored"),
    Column("canvas_tokens", "integer", "tokens that were denoised"),
    Column("num_forwards", "integer", "forward passes (NFE); of a score, canvases", "nfe"),
    Column("positions", "integer", "positions that went through the network"),
    Column("latency_s", "number", "seconds, device synchronised; a batch's are shared", "seconds"),
    Column("cpu_s", "number", "CPU seconds of the process meanwhile", "cpu_seconds"),
    Column("batch_size", "integer", "requests that shared its forward passes"),
    Column("seed", "integer", "of the sampler"),
    Column("stop_reason", "text", "why decoding ended"),
    Column("host_syncs", "integer", "times the host waited for the device"),
    Column("cache", "text", "none, exact or approximate"),
    Column("num_draft_forwards", "integer", "an assistant's forward passes", "draft_nfe"),
    Column("draft_positions", "integer", "positions that went through the assistant"),
    Column("reasoning_tokens", "integer", "tokens that a server counts as reasoning"),
    Column("first_text_s", "number", "seconds to the first visible text that stayed"),
    Column("tries", "integer", "how often a server was asked until it answered"),
    Column("flag", "text", "why an answer says little about the model"),
    Column("offered_s", "number", "under load: when it was offered, from the load's beginning"),
    Column("infill", "text", "how a gap was put to the model"),
    Column("infill_length", "text", "the length policy of an infilling request"),
    Column("value_nats", "number", "of a score: the log-likelihood or its bound", "value"),
    Column("value_stderr_nats", "number", "its Monte-Carlo standard error", "stderr"),
    Column("exact", "flag", "whether the value has no Monte-Carlo noise"),
    Column("quantity", "text", "what the value is, for example elbo"),
    Column("estimator", "text", "how it was estimated"),
    Column("num_samples", "integer", "draws it rests on", "samples"),
    Column("is_greedy", "flag", "whether greedy decoding gives the target"),
    Column("degrees", "number", "degrees of freedom behind the standard error"),
    Column("importance_bound_nats", "number", "a tighter lower bound", "importance_bound"),
    Column("upper_bound_nats", "number", "an estimate of an upper bound", "upper_bound"),
    Column("upper_bound_stderr_nats", "number", "its standard error", "upper_bound_stderr"),
    Column("win_probability", "number", "chance of the choice to be the answer, another seed"),
    Column("win_probability_normalised", "number", "the same by value per character"),
    Column("flip_probability", "number", "chance of another answer under another seed"),
    Column("flip_probability_normalised", "number", "the same by value per character"),
    Column("num_windows", "integer", "of a rolling likelihood: its windows", "windows"),
    Column("window_tokens", "integer", "of a rolling likelihood: positions of a full window"),
    Column("target_bytes", "integer", "of a rolling likelihood: its text's UTF-8 bytes"),
)

SCORES = (
    Column("cell_id", "text", "joins the three tables"),
    Column("task", "text", "lm-eval's task"),
    Column("doc_id", "integer", "lm-eval's number of the document"),
    Column("metric", "text", "the metric"),
    Column("filter", "text", "lm-eval's filter"),
    Column("value", "number", "the document's score; its unit is the metric's"),
    Column("gold_index", "integer", "which choice is right, from 0", "gold"),
    Column("cluster", "text", "documents that ask for one fact; they are not independent"),
    Column("category", "text", "where the document belongs, the widest first"),
    Column("verdict", "text", "what became of a program"),
    Column("isolation", "text", "how well the program was locked up"),
)

TABLES = {"cells": CELLS, "requests": REQUESTS, "scores": SCORES}
