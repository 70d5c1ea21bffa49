"""A generation request of lm-eval as what a server is asked.

Knows lm-eval's Instance, gaps and the facts of a server; knows no connection and no record.
`api.py` makes a job of every request, `api_answering.py` asks it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.api.instance import Instance

from dllm_eval.endpoint.ask import Ask, Message, Route
from dllm_eval.errors import UsageError
from dllm_eval.records import SHOWN_CHARACTERS, Infill

from .api_arguments import ApiArguments
from .api_facts import Service, no_effort
from .gaps import Gaps, gaps_of
from .jobs import GenerationKeywords, Identity, content_seed, read_keywords

SEEDS = 2**31
"""Seeds are sent below this, which every server's integers hold."""


class Conversation(str):
    """A conversation that lm-eval hands on as a prompt: its text is the messages as JSON.

    A text of its own kind, so that lm-eval's caches, hashes and sample files take it for one.
    """

    __slots__ = ()

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, str]]) -> "Conversation":
        """Keeps messages, each {"role": ..., "content": ...}."""
        return cls(json.dumps(list(messages), ensure_ascii=False))

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages again."""
        return tuple(json.loads(self))


@dataclass(frozen=True, kw_only=True)
class ApiJob:
    """A generation request, ready to be asked: once, or once for each of several gaps."""

    identity: Identity
    route: Route
    messages: tuple[Message, ...] = ()
    """Of the chat and edit routes."""
    texts: tuple[str, ...] = ()
    """Of the others: the prompt, or the texts around gaps, one more than these."""
    ends: tuple[str, ...] = ()
    """Of several gaps, what stands between each answer and the next text: the stop string that the
    answer was cut before, where the reference has it (see `in_turn.ids_between`)."""
    until: tuple[str, ...]
    """Where answers are cut."""
    stop: tuple[str, ...]
    """Which of these the server is told."""
    max_tokens: int
    """The task's limit with room for reasoning."""
    temperature: float | None
    seed: int
    sent_seed: int | None
    more: Mapping[str, Any]
    infill: Infill | None = None
    suffix: str = ""
    """The text behind the last gap, where the server is given it."""

    @property
    def num_gaps(self) -> int:
        """How many answers are asked for, one after another."""
        return max(1, len(self.texts) - 1)

    @property
    def several(self) -> bool:
        """Whether the answer is a list of texts."""
        return self.num_gaps > 1

    @property
    def shown_end(self) -> str:
        """The last characters before the answer, for the reader's eye."""
        text = self.messages[-1]["content"] if self.messages else self.texts[0]
        return text[-SHOWN_CHARACTERS:]

    def ask(self, answers: Sequence[str]) -> Ask:
        """What is asked next.

        Args:
            answers: To the gaps before, cut.
        """
        gap = len(answers)
        before = self.texts[:1]
        for number, answer in enumerate(answers):
            before += (answer, self.ends[number], self.texts[number + 1])
        seed = self.seed if gap == 0 else content_seed(self.seed, gap)
        sees_suffix = self.infill == "fim"
        return Ask(
            route=self.route,
            prompt="".join(before),
            # Later gaps are left out of the suffix: such a server has no sign for them.
            suffix="".join(self.texts[gap + 1 :]) if sees_suffix else None,
            messages=self.messages,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            stop=self.stop,
            seed=None if self.sent_seed is None else seed % SEEDS,
            more=self.more,
        )


def job_of(
    request: Instance, identity: Identity, service: Service, more: Mapping[str, Any]
) -> ApiJob:
    """What a request asks of a server.

    Args:
        request: A `generate_until` of lm-eval.
        identity: Which one it is.
        service: The server.
        more: Further fields of the body.

    Raises:
        UsageError: The server has no route for it, or the task asks what cannot be asked.
    """
    prompt: str = request.args[0]
    gaps, chat = gaps_of(request), isinstance(prompt, Conversation)
    fills = gaps is not None and service.fills_in != "prefix_only"
    route = _gap_route(service) if fills else service.text_route(chat=chat)
    facts, arguments = service.route(route), service.arguments
    keywords = _keywords(request, service, route)
    limits = [n for n in (arguments.gen_length, keywords.max_gen_toks) if n is not None]
    answer = min(limits, default=arguments.max_gen_toks)
    seed = content_seed(arguments.seed, prompt, *(gaps.texts if gaps else ()), identity.repeat)
    until = () if fills else keywords.until
    infill: Infill | None = None if gaps is None else "fim" if fills else "prefix_only"
    own = {**facts.body, **_effort(arguments, route), **more}
    messages = _messages(prompt, route, arguments, request)
    if arguments.prefill == "continue" and messages and messages[-1]["role"] == "assistant":
        own |= {"add_generation_prompt": False, "continue_final_message": True}
    return ApiJob(
        identity=identity,
        route=route,
        messages=messages,
        texts=_texts(prompt, gaps, fills=fills, chat=bool(messages), task=identity.task),
        ends=_ends(gaps, until),
        until=until,
        stop=until[: service.most_stops(route)],
        max_tokens=service.max_tokens(route, answer),
        temperature=service.temperature(route),
        seed=seed,
        sent_seed=seed if service.takes_seed(route) else None,
        more=own,
        infill=infill,
        suffix=gaps.texts[-1] if gaps is not None and fills else "",
    )


def no_likelihood(name: str, requests: Sequence[Instance]) -> UsageError:
    """The error for likelihood requests, which no server is asked.

    Args:
        name: lm-eval's name of the model class.
        requests: What a task asks.
    """
    tasks = ", ".join(sorted({str(request.task_name) for request in requests}))
    return UsageError(
        f"{name} answers no likelihood requests, and {tasks} makes them: a server's"
        " log-probabilities, where it has any, are not those of a diffusion model's answer;"
        " accepted: tasks that are answered by text (generate_until)"
    )


def _gap_route(service: Service) -> Route:
    return "fim" if service.fills_in == "fim" else "completions"


def _keywords(request: Instance, service: Service, route: Route) -> GenerationKeywords:
    """The task's keywords, whose temperature has to be the one in force."""
    in_force = service.decodes_at(route)
    asked = request.args[1]
    if in_force is None and (asked.get("do_sample") or asked.get("temperature")):
        raise UsageError(
            f"task {request.task_name} asks for sampling at a temperature of its own, and only the"
            " server knows the one in force: pass temperature=NUMBER, where it takes one"
        )
    return read_keywords(asked, in_force or 0.0)


def _effort(arguments: ApiArguments, route: Route) -> dict[str, str]:
    chosen = arguments.reasoning_effort
    if chosen is None:
        return {}
    if route != "chat":
        raise no_effort(route)
    return {"reasoning_effort": chosen}


def _messages(
    prompt: str, route: Route, arguments: ApiArguments, request: Instance
) -> tuple[Message, ...]:
    """The messages of the chat and edit routes; a text is one message of the user."""
    if route not in ("chat", "edit"):
        return ()
    if not isinstance(prompt, Conversation):
        return ({"role": "user", "content": prompt},)
    messages = prompt.messages
    if messages[-1]["role"] == "assistant" and arguments.prefill == "refuse":
        raise UsageError(
            f"task {request.task_name} begins the answer itself, and servers differ in what they"
            " make of that: pass prefill=continue (vLLM, SGLang), prefill=send (the beginning as"
            " the last message), or choose a template without one"
        )
    return messages


def _texts(
    prompt: str, gaps: Gaps | None, *, fills: bool, chat: bool, task: str
) -> tuple[str, ...]:
    """The prompt, or the texts around gaps, where the answers are asked for in turn."""
    if gaps is None or not gaps.several:
        if gaps is not None and fills:
            return gaps.texts
        return () if chat else (prompt,)
    if chat:
        raise UsageError(
            f"task {task} has several gaps, which are filled in turn by continuing a text, and this"
            " server is asked by chat; accepted: route=completions, or infill=fim"
        )
    return gaps.texts if fills else (prompt, *gaps.texts[1:])


def _ends(gaps: Gaps | None, until: Sequence[str]) -> tuple[str, ...]:
    if gaps is None or not gaps.several:
        return ()
    return tuple(
        max((stop for stop in until if middle.endswith(stop)), key=len, default="")
        for middle in gaps.middles
    )
