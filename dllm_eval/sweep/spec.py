"""What a user asks a sweep for: models, suites and how to measure them.

Plain pydantic models of the YAML a user writes. Knows no file (`spec_file.py` reads those) and
no cell (`plan.py` makes those).
"""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    field_validator,
    model_validator,
)

from dllm_eval.sweep.origin import Origin
from dllm_eval.sweep.spec_runs import LatencySpec as LatencySpec
from dllm_eval.sweep.spec_runs import LoadSpec as LoadSpec
from dllm_eval.sweep.spec_runs import QualitySpec as QualitySpec
from dllm_eval.sweep.spec_values import STRICT, Number, Real
from dllm_eval.sweep.spec_values import Setting as Setting
from dllm_eval.sweep.spec_values import SpecError as SpecError

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


class _Strict(BaseModel):
    model_config = STRICT


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


class Sweep(_Strict):
    """Everything one sweep is to run."""

    name: str = Field(min_length=1)
    models: list[ModelSpec] = Field(min_length=1)
    suites: list[SuiteSpec] = Field(min_length=1)
    quality: QualitySpec = QualitySpec()
    latency: LatencySpec = LatencySpec()
    load: LoadSpec | None = None
    """What models are offered in load cells, which come last; None is no such cells."""
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
