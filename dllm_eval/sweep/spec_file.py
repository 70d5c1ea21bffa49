"""Reads a sweep's YAML file into a `Sweep`, and turns every fault in it into one clear line.

Knows pydantic's errors, and the files through `spec_nodes.py`; knows nothing of models, tasks or
cells. The command line calls it.
"""

from difflib import get_close_matches
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dllm_eval.errors import UsageError
from dllm_eval.sweep.origin import Location, Origin
from dllm_eval.sweep.spec import (
    ONE_PRODUCT,
    SEVERAL_PRODUCTS,
    LatencySpec,
    LoadSpec,
    ModelSpec,
    QualitySpec,
    SearchSpec,
    SpecError,
    SuiteSpec,
    Sweep,
)
from dllm_eval.sweep.spec_nodes import EXTENDS, SHIPPED, read_nodes

__all__ = ["SHIPPED", "load_spec"]

_VALUES = ("bool", "int", "float", "str", "none")
_BRANCHES = (*_VALUES, ONE_PRODUCT, SEVERAL_PRODUCTS, "[key]")
"""What pydantic adds to a location for the branch of a union it tried; no user's file has them."""

_SECTIONS: dict[str, type[BaseModel]] = {
    "models": ModelSpec,
    "suites": SuiteSpec,
    "quality": QualitySpec,
    "latency": LatencySpec,
    "load": LoadSpec,
}
_EXAMPLES = {
    "sweep": "{steps: [8, 16]}",
    "exclude": "{model: NAME, steps: [8, 16]}",
    "only": "{model: NAME, steps: [8, 16]}",
    "args": "{pretrained: FOLDER}",
    "settings": "{gen_length: 32}",
    "loggers": "{wandb: {project: NAME}}",
}


def load_spec(path: Path) -> Sweep:
    """The sweep that a YAML file describes, or the shipped one of that name.

    Raises:
        UsageError: One line that names the file, the line, the key and what is accepted.
    """
    root = read_nodes(path)
    data: object = None
    try:
        data = yaml.SafeLoader("").construct_document(root)
        return Sweep.model_validate(data).from_file(Origin(root))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{mark.name}:{mark.line + 1}" if mark else str(path)
        raise UsageError(
            f"{place}: not valid YAML: {getattr(error, 'problem', None) or error}"
        ) from error
    except ValidationError as error:
        # A misspelt key is also a missing one; the misspelling is what the user has to see.
        faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        raise UsageError(_line(Origin(root), faults[0]) + _as_list(data, faults[0])) from error


def _as_list(data: object, fault: ErrorDetails) -> str:
    """How to write `steps: 4, 8`, which YAML takes for a value 4 and a key 8; "" of others."""
    location = _location(fault)
    if fault["type"] not in ("invalid_key", "string_type") or fault["loc"][-1:] != ("[key]",):
        return ""
    for part in location[:-1]:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            data = data[part]
    name, values = "", list[object]()
    for key, value in data.items() if isinstance(data, dict) else ():
        if isinstance(key, str):
            if fault["input"] in values:
                break
            name, values = key, [value]
        elif value is None:
            values.append(key)
    listed = fault["input"] in values[1:]
    return f"; several values are a list: {name}: {values}" if listed else ""


def _location(fault: ErrorDetails) -> Location:
    return tuple(part for part in fault["loc"] if part not in _BRANCHES)


def _line(origin: Origin, fault: ErrorDetails) -> str:
    location = _location(fault)
    inner = fault.get("ctx", {}).get("error")
    deeper = inner.location if isinstance(inner, SpecError) else ()
    return f"{origin.place((*location, *deeper))}{_explain(_dotted(location), location, fault)}"


def _dotted(location: Location) -> str:
    out = ""
    for part in location:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def _explain(key: str, location: Location, fault: ErrorDetails) -> str:
    kind = fault["type"]
    if kind == "extra_forbidden":
        return _unknown_key(location)
    if kind == "missing":
        return f"missing key {key!r}{_accepted_here(location[:-1])}"
    if kind in ("too_short", "string_too_short"):
        return _too_short(key, fault)
    if kind == "literal_error" and fault["loc"][-1:] == ("[key]",):
        return f"unknown key {key!r}; known: {fault['ctx']['expected']}"
    if kind == "invalid_key" or fault["loc"][-1:] == ("[key]",):
        return f"a key is a name, not {_shown(fault['input'])}"
    if kind in ("model_type", "model_attributes_type"):
        return f"{key!r} must be a mapping with the keys {_keys(_section(location))}"
    if kind == "value_error":
        message = str(fault["ctx"]["error"])
        return f"in {key!r}: {message}" if key else message
    return _wrong_type(key, location, fault)


def _too_short(key: str, fault: ErrorDetails) -> str:
    if fault["input"]:
        return f"{key!r} has too few entries; it needs at least {fault['ctx']['min_length']}"
    wanted = "it needs at least one entry" if fault["type"] == "too_short" else "write a name"
    return f"{key!r} is empty; {wanted}"


def _wrong_type(key: str, location: Location, fault: ErrorDetails) -> str:
    kind, shown = fault["type"], _shown(fault["input"])
    if fault["loc"][-1] in _VALUES:
        return f"{key!r} must be a number, a name, true, false or null, not {shown}"
    if kind == "dict_type" and (example := _example(location)):
        several = "sweep" in location and not isinstance(location[-1], int)
        more = ", or a list of such mappings" if several else ""
        return f"{key!r} must be a mapping such as {example}{more}, not {shown}"
    if kind == "list_type" and location[-1] in ("exclude", "only"):
        wanted = f"a list of mappings such as [{_EXAMPLES['exclude']}]"
        return f"{key!r} must be {wanted}, not {shown}"
    return f"{key!r} {fault['msg'].removeprefix('Input ')}, not {shown}"


def _unknown_key(location: Location) -> str:
    name, section = str(location[-1]), _section(location[:-1])
    near = get_close_matches(name, _key_names(section), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown key {_dotted(location)!r}{hint}; known: {_keys(section)}"


def _accepted_here(location: Location) -> str:
    return f"; known: {_keys(_section(location))}"


def _example(location: Location) -> str | None:
    return next(
        (_EXAMPLES[part] for part in location if isinstance(part, str) and part in _EXAMPLES), None
    )


def _section(location: Location) -> type[BaseModel]:
    if location[:1] == ("suites",) and "search" in location:
        return SearchSpec
    return _SECTIONS.get(str(location[0]), Sweep) if location else Sweep


def _keys(section: type[BaseModel]) -> str:
    return ", ".join(_key_names(section))


def _key_names(section: type[BaseModel]) -> list[str]:
    return [*section.model_fields, *([EXTENDS] if section is Sweep else [])]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
