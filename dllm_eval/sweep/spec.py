"""What a user asks a sweep for: models, suites and how to measure them.

Plain pydantic models of the YAML a user writes. Knows no file (`spec_file.py` reads those) and
no cell (`plan.py` makes those).
"""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    field_validator,
    model_validator,
)

from dllm_eval.sweep.origin import Origin

Setting = bool | int | float | str | None
"""A value that reaches a model class as one of its arguments."""

ModelKind = Literal["diffusion", "autoregressive"]


def _axis(values: object) -> object:
    """A single value is an axis of one."""
    return values if isinstance(values, list) else [values]


Axis = Annotated[list[Setting], BeforeValidator(_axis), Field(min_length=1)]
Axes = dict[str, Axis]
"""Dials by name; their product is what is run."""

ONE_PRODUCT, SEVERAL_PRODUCTS = "(one mapping)", "(a list of mappings)"
"""The two ways to write a sweep; both stand in pydantic's locations, and in no user's file."""


def _way_of_writing(value: object) -> str:
    return SEVERAL_PRODUCTS if isinstance(value, list) else ONE_PRODUCT


Products = Annotated[
    Annotated[Axes, Tag(ONE_PRODUCT)]
    | Annotated[
        list[Annotated[Axes, Field(min_length=1)]], Field(min_length=1), Tag(SEVERAL_PRODUCTS)
    ],
    Discriminator(_way_of_writing),
]


Selector = Annotated[Axes, Field(min_length=1)]
"""What a cell has to be to be chosen: `model`, `suite` or a setting -> the values it may have."""


class SpecError(ValueError):
    """A fault that pydantic finds in a whole section, and that stands deeper in it."""

    def __init__(self, message: str, *location: int | str) -> None:
        super().__init__(message)
        self.location = location


def _number(value: object) -> object:
    # A whole number of hundreds of digits is too large to be looked at as a float.
    if type(value) not in (int, float) or not -1e300 < value < 1e300:  # type: ignore[operator]
        raise ValueError(f"must be a number, not {value!r}")
    return value


Number = Annotated[int | float, BeforeValidator(_number)]


def _whole(value: object) -> object:
    """YAML writes 1 where 1.0 is meant; nothing else becomes a float."""
    return float(value) if type(value) is int else value


Real = Annotated[float, BeforeValidator(_whole)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelSpec(_Strict):
    """One model under test."""

    name: str = Field(min_length=1)
    """What tables and figures call it."""
    model: str = Field(min_length=1)
    """A model name of lm-eval ("dllm", "dllm-ar", "hf", ...), or "module:Class"."""
    args: dict[str, Setting] = {}
    kind: ModelKind = "autoregressive"
    """Whether a suite's sweep applies to it; told by the name for `dllm`."""
    settings: dict[str, Setting] = {}
    """Settings for this model; they win over those of a suite."""
    sweep: Products | None = None
    """This model's own axes, in the place of every suite's; of autoregressive models too."""
    suites: list[str] | None = Field(default=None, min_length=1)
    """The titles of the suites it is run on; None is all."""

    @model_validator(mode="after")
    def _one_source_of_a_setting(self) -> "ModelSpec":
        _check_one_source(self.settings, self.sweep)
        return self

    @model_validator(mode="before")
    @classmethod
    def _kind_of_ours(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("model") == "dllm" and "kind" not in values:
            return {**values, "kind": "diffusion"}
        return values


class SearchSpec(_Strict):
    """Finds the smallest value of one dial that is as good as the best, instead of running all."""

    dial: str = Field(min_length=1)
    """An argument of the model, for example `steps`."""
    values: list[Number] = Field(min_length=2)
    """The candidates, upwards."""
    within: Real = Field(default=0.01, gt=0, allow_inf_nan=False)
    """How far below the best score still counts as good."""
    confidence: Real = Field(default=0.95, gt=0.5, lt=1)

    @field_validator("values")
    @classmethod
    def _upwards(cls, values: list[int | float]) -> list[int | float]:
        for number, (before, after) in enumerate(pairwise(values), start=1):
            if not before < after:
                raise SpecError(
                    f"{after:g} stands behind {before:g}; values go upwards, each once", number
                )
        return values


class SuiteSpec(_Strict):
    """One lm-eval task or group, the metric that stands for it, and the dials to turn."""

    task: str = Field(min_length=1)
    title: str = ""
    metric: str = Field(min_length=1)
    filter: str | None = None
    """Which lm-eval filter's score to read; None takes the first that has the metric."""
    chance: Real = Field(default=0.0, allow_inf_nan=False)
    """What guessing scores: the reference point of the hypervolume."""
    limit: int | None = Field(default=None, ge=1)
    """The first so many documents of each task; None takes all."""
    num_fewshot: int | None = Field(default=None, ge=0)
    apply_chat_template: bool = False
    settings: dict[str, Setting] = {}
    """Arguments for the models that take them."""
    sweep: Products = {}
    """Axes, their product taken in the order written; of a list of such mappings, one product after
    the other, each setting once. Diffusion models without a sweep of their own."""
    search: SearchSpec | None = None
    """One more dial, searched at every point of the sweep. Diffusion models only."""
    models: list[str] | None = Field(default=None, min_length=1)
    """The names of the models that run it; None is all."""

    @model_validator(mode="after")
    def _one_source_of_a_setting(self) -> "SuiteSpec":
        _check_one_source(self.settings, self.sweep)
        return self

    @property
    def name(self) -> str:
        """What other keys call it: the title, else the task."""
        return self.title or self.task

    @property
    def products(self) -> list[Axes]:
        """The sweep as a list of products, in the order written."""
        return products_of(self.sweep)


def products_of(sweep: Products) -> list[Axes]:
    """Both ways to write a sweep, as a list of products."""
    return sweep if isinstance(sweep, list) else [sweep]


def _check_one_source(settings: dict[str, Setting], sweep: Products | None) -> None:
    for number, axes in enumerate(products_of(sweep or {})):
        twice = sorted(set(settings) & set(axes))
        if twice:
            place = f"sweep[{number}]" if isinstance(sweep, list) else "sweep"
            message = f"{twice[0]!r} stands in both settings and {place}; keep one of them"
            raise SpecError(message, "settings", twice[0])


class QualitySpec(_Strict):
    """How quality cells run."""

    batch_size: int = Field(default=16, ge=1)


class LatencySpec(_Strict):
    """How latency cells run, with the machine to themselves."""

    enabled: bool = True
    batch_sizes: list[Annotated[int, Field(ge=1)]] = Field(default=[1], min_length=1)
    """Requests that share the forward passes. Seconds per request are read at 1; the others say
    what a loaded machine answers in a second."""
    requests: int = Field(default=10, ge=1)
    """Documents timed in each task, at least; a batch size above its half takes more."""
    rounds: int = Field(default=3, ge=1)
    """Passes over all settings, each in another order; a request's seconds are the median over
    them, so that a slow minute of the machine does not stick to one setting."""
    repeats: int = Field(default=1, ge=1)
    """Times each request is run in a round; its seconds there are the median."""
    warmup: int = Field(default=3, ge=0)
    """Full generations before the first one timed."""
    min_seconds: Real = Field(default=10.0, ge=0, allow_inf_nan=False)
    """Repeats go up until a setting has measured for this long, over its rounds."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads while timing; None takes all cores. Small models are fastest, and timings
    steadiest, on one."""

    @field_validator("batch_sizes")
    @classmethod
    def _each_once(cls, sizes: list[int]) -> list[int]:
        for number, size in enumerate(sizes):
            if size in sizes[:number]:
                raise SpecError(f"{size} stands there twice; keep one of them", number)
        return sizes

    def timed_documents(self, batch_size: int, limit: int | None) -> int:
        """Documents timed at a batch size: two full batches at least, as far as there are any.

        Args:
            batch_size: Requests that share the forward passes.
            limit: The suite's.
        """
        wanted = self.requests if batch_size == 1 else max(self.requests, 2 * batch_size)
        return min(wanted, limit or wanted)

    def relaxed_at(self, requests: int) -> bool:
        """Whether timing so many documents this way is less than the measuring rules ask for."""
        return requests < 10 or self.warmup < 3 or self.min_seconds < 10


class Sweep(_Strict):
    """Everything one sweep is to run."""

    name: str = Field(min_length=1)
    models: list[ModelSpec] = Field(min_length=1)
    suites: list[SuiteSpec] = Field(min_length=1)
    quality: QualitySpec = QualitySpec()
    latency: LatencySpec = LatencySpec()
    seeds: list[int] = Field(default=[0], min_length=1)
    include: list[str] = []
    """More folders of lm-eval task YAML."""
    exclude: list[Selector] = []
    """Cells to leave out: those that match every key of an entry."""
    only: list[Selector] = []
    """If there are any, cells that match none of these entries are left out."""
    confirm_run_unsafe_code: bool = False
    loggers: dict[Literal["wandb", "trackio"], dict[str, Setting]] = {}
    """lm-eval's loggers for finished quality cells: which, and the arguments of their `init`."""
    _origin: Origin = PrivateAttr(default_factory=Origin)

    @model_validator(mode="after")
    def _names_differ(self) -> "Sweep":
        seen: set[str] = set()
        for number, model in enumerate(self.models):
            if model.name in seen:
                message = f"two models are named {model.name!r}; names must differ"
                raise SpecError(message, "models", number, "name")
            seen.add(model.name)
        for number, seed in enumerate(self.seeds):
            if seed in self.seeds[:number]:
                raise SpecError(f"seed {seed} stands there twice; keep one", "seeds", number)
        return self

    def from_file(self, origin: Origin) -> "Sweep":
        """The same sweep, which knows where its keys were written."""
        self._origin = origin
        return self

    def place(self, *location: int | str) -> str:
        """For a message about a key: "sweep.yaml:7: ", or "" where no file wrote the sweep."""
        return self._origin.place(location)

    def canonical(self) -> dict[str, Any]:
        """The spec with every default written out."""
        return self.model_dump(mode="json")
