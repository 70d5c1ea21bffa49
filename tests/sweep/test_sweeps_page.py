"""docs/sweeps.md: every example loads and plans, and every key of a spec is explained."""

import re
from pathlib import Path

import pytest

from dllm_eval.sweep.check import check_plan
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec import LatencySpec, LoadSpec, ModelSpec, SearchSpec, SuiteSpec, Sweep
from dllm_eval.sweep.spec_file import load_spec

PAGE = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CELLS = {
    "first": (4 + 1) * (1 + 3),
    "per-model": (2 + 2 + 3 + 2 + 2) * 4,
    "ways-to-decode": (6 + 2) * 2 * 4,
    "with-exceptions": (1 + 2 + 1) * 4,
    "demo-quick": (2 + 1) * (1 + 3),
    "batches": (2 + 1) * (1 + 3 * 3),
    "under-load": (2 + 1) * (1 + 3 + 3 * 5) - 3 * 2,
    "knee": (2 * 6 + 1) * 4,
}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_a_sweep(number: int, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(EXAMPLES[number])
    sweep = load_spec(file)
    cells = plan(sweep, accepted_arguments)
    check_plan(sweep, cells)
    assert len(cells) == CELLS[sweep.name]


def test_every_example_is_counted() -> None:
    names = [re.search(r"^name: (\S+)", example, re.MULTILINE) for example in EXAMPLES]
    assert [name.group(1) for name in names if name] == list(CELLS)


@pytest.mark.parametrize(
    "section", [Sweep, ModelSpec, SuiteSpec, LatencySpec, LoadSpec, SearchSpec]
)
def test_every_key_is_on_the_page(section: type[Sweep]) -> None:
    for key in section.model_fields:
        assert re.search(rf"\b{key}\b", PAGE), key
