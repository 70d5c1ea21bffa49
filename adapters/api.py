"""`dllm-api` in lm-eval: a model behind an OpenAI-compatible server, or Mercury's routes.

Translates lm-eval's requests for `endpoint/` and its replies into records; knows no socket. lm-eval
builds it by name through the registry, and `engine.py` derives from it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from dllm_eval.endpoint.ask import Ask, Reply
from dllm_eval.endpoint.client import answer_all
from dllm_eval.endpoint.probe import check
from dllm_eval.endpoint.server import Retries, Server, Timeouts
from dllm_eval.errors import UsageError
from dllm_eval.load import Load
from dllm_eval.records import RequestLog, RequestType

from .api_answering import Answering
from .api_arguments import COST_ONLY, ApiArguments
from .api_facts import Service, check_protocol, service_of
from .api_key import key_of, refuse_keys
from .api_notices import Notices
from .api_provenance import provenance_of
from .api_records import Asked
from .api_requests import ApiJob, Conversation, job_of, no_likelihood
from .arguments import parse, without_none_texts
from .batches import Share
from .distributed import launched, open_log
from .jobs import identities
from .records import finished, response_of
from .tokens import token_counter


class ApiLM(LM):
    """A model that answers over HTTP, behind lm-eval.

    Args:
        **given: `ApiArguments`; anything else is an error.

    Requests are independent of each other: as many are in flight as `batch_size` says, each is
    written to `log` when it is answered, and one that is there is not sent again.
    """

    name: ClassVar[str] = "dllm-api"
    arguments_class: ClassVar[type[ApiArguments]] = ApiArguments
    argument_names: ClassVar[frozenset[str]] = frozenset([*ApiArguments.model_fields, "pretrained"])
    cost_only: ClassVar[frozenset[str]] = COST_ONLY
    """Arguments without a say in what is answered: a log goes on under others of these."""
    request_types: ClassVar[frozenset[RequestType]] = frozenset({"generate_until"})
    """What it answers: a server's log-probabilities, where it has any, are not those of a diffusion
    model's answer."""

    load: Load | None = None
    """What is offered, of a cell that measures load; requests that are not are answered ""."""
    _device: Any

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - lm-eval passes what the user typed
        super().__init__()
        self.arguments = self.parsed(given)
        self._device = torch.device("cpu")
        self.batch_size = self.arguments.batch_size
        if launched().count > 1:
            raise UsageError(
                f"{self.name} runs in one process, and {launched().count} were launched; accepted:"
                " batch_size=N, which keeps N requests in flight"
            )
        self.log: RequestLog = open_log(self.arguments.records, launched())
        self.share: Share | None = None
        """(index, count) where a call asks a share of its requests only, every count-th. Those of
        other shares that the log does not know are then answered with ""."""
        self.notices = Notices()
        self._warm = False

    @classmethod
    def parsed(cls, given: Mapping[str, Any]) -> ApiArguments:
        """Arguments, checked by themselves.

        Raises:
            UsageError: An unknown name, a bad value, or a key among them.
        """
        refuse_keys(cls.name, given)
        named = without_none_texts(given)
        if "pretrained" in named:
            named["model"] = named.pop("pretrained") if "model" not in named else _two(cls.name)
        return parse(cls.name, cls.arguments_class, named, ())

    @classmethod
    def check_arguments(cls, given: dict[str, Any]) -> None:
        """Whatever can be found wrong before anything is asked; needs no key and no server.

        Raises:
            UsageError: Something is.
        """
        cls.service_for(cls.parsed(given))

    @classmethod
    def check_protocol(cls, given: dict[str, Any], *, chat: bool) -> None:
        """As `check_arguments`, for suites with a chat template or for those without.

        Raises:
            UsageError: The arguments and that way of asking do not go together.
        """
        check_protocol(cls.service_for(cls.parsed(given)), chat=chat)

    @classmethod
    def service_for(cls, arguments: ApiArguments) -> Service:
        """The server of these arguments with what its card says."""
        return service_of(cls.name, arguments)

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> Self:
        """Builds the model from "name=value,name=value", as lm-eval's command line does."""
        parse_text = import_module("lm_eval.utils").simple_parse_args_string
        return cls.create_from_arg_obj(parse_text(arg_string), additional_config)

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> Self:
        """Builds the model from a dictionary; what it names wins over lm-eval's own flags.

        lm-eval's `device` is this machine's, on which nothing is computed here.
        """
        flags = {k: v for k, v in (additional_config or {}).items() if v is not None}
        flags.pop("device", None)
        return cls(**(flags | arg_dict))

    @cached_property
    def service(self) -> Service:
        """The server with what its card says."""
        return self.service_for(self.arguments)

    @cached_property
    def server(self) -> Server:
        """Where requests go; looked at once, when the first one has to be sent.

        Raises:
            UsageError: It cannot be reached, refuses the key, or does not know the model.
        """
        server = self._server(self.arguments)
        # A server on this machine may load a folder that it does not list.
        check(server, "" if Path(server.model).is_dir() else server.model)
        return server

    def _server(self, arguments: ApiArguments) -> Server:
        """The server of these arguments; an engine starts one."""
        names = self.service.key_names
        return Server(
            base_url=self.service.base_url,
            model=arguments.model,
            key=key_of(names, self.service.base_url),
            key_names=names,
            timeouts=Timeouts(
                connect_s=arguments.connect_s,
                first_byte_s=arguments.first_byte_s,
                idle_s=arguments.idle_s,
                whole_s=arguments.whole_s,
            ),
            retries=Retries(most_tries=arguments.tries, seed=arguments.seed),
            stream=arguments.stream,
            drafts=arguments.drafts,
            limit_field=arguments.limit_field,
            plain_http=arguments.plain_http,
        )

    @property
    def counting_folder(self) -> str | None:
        """Whose tokenizer counts visible tokens; None leaves that to the server."""
        return self.arguments.tokenizer

    @cached_property
    def _count_tokens(self) -> Callable[[str], int] | None:
        return token_counter(self.counting_folder)

    def _more(self) -> Mapping[str, Any]:
        """Further fields of every body."""
        return self.arguments.more

    @property
    def kind(self) -> Literal["diffusion", "autoregressive"]:
        """Which kind of model answers."""
        return self.service.kind

    @property
    def tier(self) -> str | None:
        """How an autoregressive baseline is served; nobody says so of an API."""
        return None

    @property
    def tokenizer_name(self) -> str:
        """Names in lm-eval's caches who writes the chat template: the server."""
        return f"{self.service.host}__{self.arguments.model}".replace("/", "__")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The conversation as it is: the server applies its own template to the messages."""
        del add_generation_prompt  # a begun answer is the last message, see `prefill`
        return Conversation.of(chat_history)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """One answer per request, cut before its first stop string."""
        jobs = self._jobs(requests)
        if self.load is not None and jobs:
            self._warm_up(jobs[0], self.load.warmup, min(self.load.in_flight or 1, len(jobs)))
            self._answering(repeats=1).offer(jobs, self.load)
        else:
            self._ask_missing(jobs, hidden=disable_tqdm)
        records = [self.log.get(job.identity.key) for job in jobs]
        self.notices.summed(record for record in records if record is not None)
        return self._answers(requests, jobs)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Refused, before anything is sent."""
        raise no_likelihood(self.name, requests)

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Refused, before anything is sent."""
        raise no_likelihood(self.name, requests)

    def answered(
        self,
        asks: Sequence[Ask],
        done: Callable[[int, Reply], None],
        *,
        in_flight: int,
        starts_s: Sequence[float] | None = None,
        until_s: float | None = None,
    ) -> None:
        """Asks the server, see `endpoint.client.answer_all`."""
        server = self.server

        def seen(number: int, reply: Reply) -> None:
            self.notices.seen(reply, asked=server.model)
            done(number, reply)

        answer_all(server, asks, seen, in_flight=in_flight, starts_s=starts_s, until_s=until_s)

    def provenance(self) -> dict[str, Any]:
        """Who answers, for a cell's provenance; what only answers tell is there after the first."""
        return provenance_of(self.service, self.notices)

    def _jobs(self, requests: list[Instance]) -> list[ApiJob]:
        settings = f"{self.arguments.as_json(self.cost_only)} {self.service.host}"
        more = dict(self._more())
        named = identities(requests, f"{settings} {sorted(more.items(), key=str)}")
        return [job_of(r, i, self.service, more) for r, i in zip(requests, named, strict=True)]

    def _ask_missing(self, jobs: Sequence[ApiJob], *, hidden: bool) -> None:
        index, count = self.share or (0, 1)
        own = jobs[index::count]
        missing = [job for job in own if self.log.get(job.identity.key) is None]
        if not missing:
            return
        if any(job.sent_seed is None for job in missing):
            self.notices.once(
                f"{self.arguments.model} takes no seed: answers differ from run to run"
            )
        self._warm_up(missing[0], self.arguments.warmup, min(self.batch_size, len(missing)))
        answering = self._answering(repeats=self.arguments.timing_repeats)
        answering.run(missing, total=len(own), hidden=hidden)

    def _warm_up(self, job: ApiJob, rounds: int, in_flight: int) -> None:
        """Asks the first request of all, so many at a time and so often, which nobody times."""
        first, self._warm = not self._warm, True
        if first and rounds:
            self.answered([job.ask(())] * rounds * in_flight, lambda *_: None, in_flight=in_flight)

    def _answering(self, *, repeats: int) -> Answering:
        return Answering(
            answered=self.answered,
            asked=Asked(
                model=self.kind, in_flight=self.batch_size, count_tokens=self._count_tokens
            ),
            log=self.log,
            repeats=repeats,
        )

    def _answers(self, requests: list[Instance], jobs: Sequence[ApiJob]) -> list[str]:
        if self.share is not None or self.load is not None:
            records = [self.log.get(job.identity.key) for job in jobs]
            return ["" if record is None else record.response for record in records]
        answers = [response_of(finished(self.log, job.identity.key)) for job in jobs]
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, answer)
        return answers


def _two(name: str) -> str:
    raise UsageError(f"{name} was given model and pretrained, which say the same: give one")
