"""The kernel compiled ahead of time for a Hopper GPU, which needs Triton and no device.

That it compiles, keeps its numbers in registers, and reads several logits at once where the
vocabulary is a multiple of 16, as LLaDA's is. What it computes: `test_row_statistics.py`.
"""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

triton = pytest.importorskip("triton", reason="Triton is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # Triton's own

HOPPER = 90
SIXTEEN = [["tt.divisibility", 16]]
"""What a launch says of pointers and numbers that are multiples of 16."""
REGISTERS = 128
"""With 8 warps, two programs a multiprocessor: enough to hide the latency of memory."""


def compiled(dtype: str, *, both: bool, aligned: bool) -> Any:
    compiler = pytest.importorskip("triton.compiler")
    backends = pytest.importorskip("triton.backends.compiler")
    from dllm_eval.samplers import row_statistics_triton as module

    names = {"logits": f"*{dtype}", "numbers": "*fp32", "token": "*i64"}
    numbers = dict.fromkeys(("vocab", "stride", "num_rows"), "i32")
    constants = {"ENTROPY": both, "RUNNER_UP": both, "COLUMNS": module.COLUMNS}
    source = compiler.ASTSource(
        fn=module._reduce,
        signature={**names, **numbers, **dict.fromkeys(constants, "constexpr")},
        constexprs=constants,
        attrs={(place,): SIXTEEN for place in range(5)} if aligned else {},
    )
    target = backends.GPUTarget("cuda", HOPPER, 32)
    return triton.compile(
        source, target=target, options={"num_warps": module.WARPS, "enable_fp_fusion": True}
    )


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize("both", [False, True])
def test_the_kernel_compiles_and_spills_nothing(dtype: str, both: bool, tmp_path: Path) -> None:
    nvidia = pytest.importorskip("triton.backends.nvidia.compiler")
    ptx = compiled(dtype, both=both, aligned=True).asm["ptx"]
    assert re.search(r"ld\.global\.v[24]\.b(32|64)|ld\.global\.v8", ptx), "one logit at a time"
    text = tmp_path / "kernel.ptx"
    text.write_text(ptx, encoding="utf-8")
    assembler = nvidia.get_ptxas(HOPPER).path
    done = subprocess.run(
        [assembler, "-v", f"-arch=sm_{HOPPER}a", "-o", str(tmp_path / "kernel.cubin"), str(text)],
        capture_output=True,
        text=True,
        check=True,
    )
    spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    registers = re.search(r"Used (\d+) registers", done.stderr)
    assert spilled is not None
    assert spilled.groups() == ("0", "0")
    assert registers is not None
    assert int(registers.group(1)) <= REGISTERS


def test_a_vocabulary_of_any_size_compiles() -> None:
    assert "ld.global" in compiled("bf16", both=True, aligned=False).asm["ptx"]
