"""The arguments of our lm-eval models: names, accepted values, defaults, meaning; and their page.

Knows no class of arguments: `adapters/argument_groups.py` reads them, reached through the registry.
`arguments_screen.py` lays them out for a terminal; docs/arguments.md is `markdown()`, and a test
keeps it so.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from dllm_eval.registry import ARGUMENTS, resolve

MODELS = {
    "dllm": "a diffusion model on this machine, of any family",
    "dllm-ar": "an autoregressive transformers model on this machine, with a KV cache",
    "dllm-api": "a model behind a server: Mercury's, or any OpenAI-compatible one",
    "dllm-engine": "a model in a serving engine that the harness starts and ends",
}

INTRODUCTION = """\
# Arguments of the models

Made by `dllm-eval arguments --out docs/arguments.md` from the classes that check them.
`dllm-eval arguments MODEL` prints one model's part.

They are what `--model_args name=value,name=value` takes, and `args`, `settings` and the axes of a
[sweep](sweeps.md). An unknown name is an error that lists the known ones; so is a setting that
would change nothing. `none` stands for "unset".
"""


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One argument of a model."""

    name: str
    accepted: str
    """The values or the range."""
    default: str
    """"required" without one, "unset" where leaving it out means something of its own."""
    says: str
    """What it does, with its unit, as its docstring says."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Arguments of one subject."""

    title: str
    about: str
    """What holds for all of them, as markdown; "" where nothing does."""
    arguments: tuple[Argument, ...]


def groups_of(model: str) -> tuple[Group, ...]:
    """Every argument that a model accepts, by subject.

    Args:
        model: Its lm-eval name.

    Raises:
        UsageError: There is no such model.
    """
    groups: tuple[Group, ...] = resolve("model", ARGUMENTS, model)()
    return groups


def data_of(model: str | None) -> Any:  # noqa: ANN401 - plain JSON data
    """The same as plain data: of one model, or of all by name.

    Raises:
        UsageError: There is no such model.
    """
    if model is None:
        return {name: data_of(name) for name in ARGUMENTS}
    return [asdict(group) for group in groups_of(model)]


def markdown() -> str:
    """The page docs/arguments.md."""
    lines = [INTRODUCTION]
    for model in ARGUMENTS:
        lines.append(f"## `{model}`: {MODELS[model]}\n")
        for group in groups_of(model):
            lines += _section(group)
    return "\n".join(lines)


def _section(group: Group) -> Iterator[str]:
    yield f"### {group.title}\n"
    if group.about:
        yield f"{group.about}\n"
    yield "| argument | accepted | default | what it does |\n| --- | --- | --- | --- |"
    for each in group.arguments:
        cells = (f"`{each.name}`", each.accepted, each.default, each.says)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""
