"""The layers of ARCHITECTURE.md, checked on the source itself: who may import whom, and what."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOMES = {"dllm_eval": "dllm_eval", "adapters": "dllm_eval.adapters", "tasks": "dllm_eval.tasks"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

LEAVES = {"errors", "families", "load", "records"}
CORE = LEAVES | {"api", "attention", "denoiser", "packing", "processes"}
MAY_IMPORT = {
    "errors": set(),
    "families": set(),
    "records": set(),
    "load": {"errors"},
    "endpoint": {"errors", "load", "measure", "records"},
    "engines": {"errors", "files", "measure"},
    "packing": set(),
    "attention": {"families", "packing"},
    "api": {"attention", "families"},
    "registry": {"errors"},
    "processes": {"errors"},
    "shapes": {"attention"},
    "compiled": {"attention", "errors", "shapes"},
    "denoiser": {"attention", "compiled", "errors", "families", "packing"},
    "samplers": CORE | {"compiled", "token_frequencies"},
    "token_frequencies": {"errors"},
    "likelihood": CORE | {"registry", "samplers"},
    "oracle": CORE | {"samplers", "likelihood", "stats"},
    "measure": LEAVES,
    "sandbox": {"errors"},
    "reference": set(),
    "catalogue": {"errors", "families", "registry"},
    "checkpoint": {"errors"},
    "loading": {"errors", "families", "registry", "catalogue", "checkpoint", "api"}
    | {"compiled", "denoiser"},
    "files": {"errors"},
    "request_log": {"errors", "records", "files", "measure"},
    "finetune": {"errors", "families", "registry", "checkpoint", "denoiser", "loading", "files"}
    | {"measure", "reference"},
    "adapters": CORE
    | {"registry", "catalogue", "checkpoint", "loading", "samplers", "likelihood", "measure"}
    | {"request_log", "endpoint", "engines"},
    "code_eval": {"errors", "sandbox"},
    "tasks": {"errors", "registry", "sandbox", "reference", "code_eval"},
    "sweep": LEAVES | {"registry", "measure", "files", "request_log", "loading", "stats"},
    "stats": {"errors", "records"},
    "report": {"errors", "records", "stats", "sweep", "catalogue", "files"},
    "exports": {"errors", "files", "stats", "sweep"},
}
"""Part -> parts it may import, beside its own modules. `cli` and `__init__` may import all."""

FORBIDDEN = {
    "samplers": {"lm_eval", "pathlib", "os", "io", "time", "json"},
    "likelihood": {"lm_eval", "transformers", "pathlib", "os", "io", "time", "json"},
    "oracle": {"lm_eval", "transformers", "os", "io", "time"},
    "stats": {"torch", "lm_eval", "transformers", "pathlib", "os"},
    "report": {"torch", "lm_eval", "transformers"},
    "exports": {"torch", "lm_eval", "transformers"},
    "sandbox": {"torch", "lm_eval", "transformers"},
    "endpoint": {"torch", "lm_eval", "transformers", "os"},
    "engines": {"torch", "lm_eval", "transformers", "sglang", "vllm", "lmdeploy"},
    "registry": {"torch", "lm_eval", "transformers"},
    "catalogue": {"torch", "lm_eval", "transformers"},
}
"""Part -> libraries it must know nothing of, wherever in the file the import stands."""


def sources() -> list[tuple[str, Path]]:
    """(part, file) of every source file; the part is the first name below dllm_eval."""
    found = []
    for home in HOMES:
        for path in sorted((ROOT / home).rglob("*.py")):
            inner = path.relative_to(ROOT / home)
            part = home if home != "dllm_eval" else inner.parts[0].removesuffix(".py")
            found.append((part, path))
    return found


def imports(path: Path, part: str) -> set[str]:
    """Dotted names this file imports; relative ones are read as the part itself."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(f"dllm_eval.{part}" if node.level else str(node.module))
    return names


@pytest.mark.parametrize(("part", "path"), sources(), ids=lambda value: str(value))
def test_imports_go_one_way(part: str, path: Path) -> None:
    if part in ("cli", "__init__", "__main__"):
        return
    assert part in MAY_IMPORT, f"{path} belongs to no layer; give it one here"
    names = imports(path, part)
    inner = {name.split(".")[1] for name in names if name.startswith("dllm_eval.")}
    assert inner <= MAY_IMPORT[part] | {part}
    outer = {name.split(".")[0] for name in names}
    assert not outer & FORBIDDEN.get(part, set())


def test_the_clock_is_read_in_one_place_only() -> None:
    """Wall-clock dates may stand in provenance; durations come from measure/ alone."""
    clocks = {"perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time"}
    users = set()
    for part, path in sources():
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            name = node.attr if isinstance(node, ast.Attribute) else None
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                name = next((a.name for a in node.names if a.name in clocks), name)
            if name in clocks:
                users.add(part)
    assert users <= {"measure", "sandbox", "reference"}  # a kill timer and a training log


def test_only_the_command_line_prints() -> None:
    for _, path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if called and node.func.id == "print":  # type: ignore[attr-defined]
                assert path.parent.name == "cli", path


def test_every_package_is_listed() -> None:
    """A package that pyproject does not list is silently missing from the wheel."""
    folders = {path.parent.relative_to(ROOT) for _, path in sources()}
    found = {".".join((HOMES[f.parts[0]], *f.parts[1:])) for f in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_entry_points_are_the_registry() -> None:
    from dllm_eval.registry import LM_EVAL_MODELS

    assert PROJECT["project"]["entry-points"]["lm_eval.models"] == LM_EVAL_MODELS


def test_every_name_on_the_registry_page_resolves_to_itself() -> None:
    from dllm_eval import registry

    for kind in ("LM_EVAL_MODELS", "FAMILIES", "ESTIMATORS"):
        table = getattr(registry, kind)
        for name, target in table.items():
            found = registry.resolve(kind, table, name)
            assert f"{found.__module__}:{found.__name__}" == target


def test_every_file_says_what_it_is() -> None:
    for _, path in sources():
        text = path.read_text()
        assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{path} has no docstring"
