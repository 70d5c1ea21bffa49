"""Every yes and every no of `dllm-eval models`, shown on a tiny checkpoint through lm-eval.

Each family's writer makes a random checkpoint in the published layout; it loads by its own
config.json, with no code of its own, and lm-eval's evaluator drives it. What the answers are is the
business of the family's own tests; here it is whether the capability is there.
"""

import json
import shutil
from functools import cache
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.catalogue.capabilities import CAPABILITIES
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model
from dllm_eval.registry import FAMILIES

WRITERS = {
    "llada": ("llada",),
    "dream": ("dream",),
    "dreamon": ("dreamon",),
    "sdar": ("sdar", "sdar_moe"),
    "llada2": ("llada2",),
    "llada21": ("llada21",),
    "fast_dllm_v2": ("fast_dllm_v2",),
    "nbdiff": ("nbdiff",),
    "bd3lm": ("bd3lm",),
    "wedlm": ("wedlm",),
    "diffusion_gemma": ("diffusion_gemma",),
    "mdlm": ("mdlm",),
    "sedd": ("sedd",),
    "d3pm": ("d3pm", "d3pm_uniform"),
    "plaid": ("plaid",),
    "diffusion_lm": ("diffusion_lm",),
}
"""Family -> the modules of tests/support/checkpoints that write one of it."""

NAMED = {"sedd": "sedd", "llada2": "llada2", "llada21": "llada21"}
"""Writers whose config.json does not say what it is -> the family a user has to name."""

CHECKPOINTS = [(family, writer) for family, writers in WRITERS.items() for writer in writers]
GEN_LENGTH = 8
INFILLS = [
    {"infill": {"prefix": "def add(a,", "suffix": " return a + b\n", "middle": " b):"}},
    {"infill": {"prefix": "The capital", "suffix": " is Paris.", "middle": " of France"}},
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`written("sdar")`: the folder of that writer's checkpoint, written once."""

    @cache
    def write(writer: str) -> Path:
        folder: Path = import_module(f"checkpoints.{writer}").write(
            tmp_path_factory.mktemp(writer) / "tiny"
        )
        return folder

    return write


@pytest.fixture
def load(written: Any, make_model: Any) -> Any:
    """`load("sdar", batch_size=2)`: the lm-eval model on that writer's checkpoint."""

    def build(writer: str, **arguments: Any) -> Any:
        if writer in NAMED:
            arguments["family"] = NAMED[writer]
        given = {"gen_length": GEN_LENGTH, "mc_samples": 4} | arguments
        return make_model("dllm", pretrained=written(writer), **given)

    return build


def answers(model: Any, evaluate: Any, task: Any) -> list[str]:
    return [sample["resps"][0][0] for sample in evaluate(model, task)]


def test_the_table_lists_every_family_that_loads() -> None:
    assert set(WRITERS) == set(CAPABILITIES)
    assert set(FAMILIES) <= set(CAPABILITIES)


@pytest.mark.parametrize(("family", "writer"), CHECKPOINTS)
def test_code_that_a_checkpoint_brings_along_is_not_run(
    family: str, writer: str, written: Any, tmp_path: Path
) -> None:
    """Every class that config.json could name is a trap which leaves a file behind."""
    del family
    folder, trace = tmp_path / "trapped", tmp_path / "it ran"
    shutil.copytree(written(writer), folder)
    config = json.loads((folder / "config.json").read_text())
    classes = ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoTokenizer")
    config["auto_map"] = dict.fromkeys(classes, "trap.Trap")
    (folder / "config.json").write_text(json.dumps(config))
    trap = f"open({str(trace)!r}, 'w').close()\nclass Trap:\n    pass\n"
    (folder / "trap.py").write_text(trap)
    (folder / "__init__.py").write_text(trap)
    load_model(str(folder), family=NAMED.get(writer, "auto"), device="cpu")
    assert not trace.exists()


@pytest.mark.parametrize(("family", "writer"), CHECKPOINTS)
def test_generate_alone_and_in_a_batch(
    family: str, writer: str, load: Any, evaluate: Any, tasks: Any, records_of: Any
) -> None:
    assert CAPABILITIES[family].generate
    task = tasks("generate_until", generation_kwargs={"until": []})
    alone, batched = load(writer), load(writer, batch_size=3)
    texts = answers(alone, evaluate, task)
    assert all(isinstance(text, str) for text in texts)
    assert len(set(texts)) > 1  # the prompt matters
    for record in records_of(alone).values():
        assert record.nfe >= 1
        assert record.positions >= record.canvas_tokens
        assert record.canvas_tokens == alone.config.gen_length == len(record.tokens)
    if CAPABILITIES[family].batch:
        assert answers(batched, evaluate, task) == texts
        assert any(record.batch_size > 1 for record in records_of(batched).values())


@pytest.mark.parametrize(("family", "writer"), CHECKPOINTS)
def test_the_cache_changes_what_an_answer_costs_and_not_the_answer(
    family: str, writer: str, load: Any, evaluate: Any, tasks: Any, records_of: Any
) -> None:
    task = tasks("generate_until", generation_kwargs={"until": []})
    cached, plain = load(writer, gen_length=32), load(writer, gen_length=32, cache="none")
    assert answers(cached, evaluate, task) == answers(plain, evaluate, task)
    spent = [
        sum(record.positions for record in records_of(model).values()) for model in (cached, plain)
    ]
    if CAPABILITIES[family].cache:
        assert spent[0] < spent[1]
    else:
        assert spent[0] == spent[1]


@pytest.mark.parametrize(("family", "writer"), CHECKPOINTS)
def test_infilling_is_native_or_said_to_be_the_prefix_alone(
    family: str, writer: str, load: Any, evaluate: Any, tasks: Any, records_of: Any
) -> None:
    docs = [{"q": d["infill"]["prefix"], "a": d["infill"]["middle"], **d} for d in INFILLS]
    model = load(writer)
    evaluate(model, tasks("generate_until", docs, generation_kwargs={"until": []}))
    kinds = {record.infill for record in records_of(model).values()}
    assert kinds == {"native" if CAPABILITIES[family].infill else "prefix_only"}


@pytest.mark.parametrize(("family", "writer"), CHECKPOINTS)
@pytest.mark.parametrize("kind", ["loglikelihood", "loglikelihood_rolling"])
def test_likelihoods_are_numbers_or_refused_in_one_line(
    family: str, writer: str, kind: str, load: Any, evaluate: Any, tasks: Any, records_of: Any
) -> None:
    able = CAPABILITIES[family]
    supported = able.log_likelihood if kind == "loglikelihood" else able.rolling
    model, task = load(writer), tasks(kind)
    if not supported:
        with pytest.raises(UsageError, match="likelihood") as caught:
            evaluate(model, task)
        assert "\n" not in str(caught.value)
        return
    evaluate(model, task)
    records = list(records_of(model).values())
    assert records
    assert all(isfinite(record.value) and record.nfe >= 1 for record in records)
    if able.likelihood == "exact":
        assert all(record.exact and record.quantity == "log_likelihood" for record in records)
    else:
        assert any(record.quantity == "elbo" for record in records)
