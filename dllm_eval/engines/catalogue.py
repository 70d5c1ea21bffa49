"""The engines by name, and which of them serve a family.

Plain data; starts nothing. The command line, the adapter and the catalogue of families ask it.
"""

from dllm_eval.engines.engine import Engine
from dllm_eval.engines.lmdeploy import LMDEPLOY
from dllm_eval.engines.sglang import SGLANG
from dllm_eval.engines.transformers import TRANSFORMERS
from dllm_eval.engines.vllm import VLLM
from dllm_eval.errors import unknown

ENGINES = {one.name: one for one in (SGLANG, VLLM, LMDEPLOY, TRANSFORMERS)}


def engine_of(name: str) -> Engine:
    """The engine of a name.

    Raises:
        UsageError: There is none.
    """
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    return ENGINES[name]


def engines_for(family: str) -> tuple[Engine, ...]:
    """The engines that serve a diffusion family, by our name of it; () where none does."""
    return tuple(one for one in ENGINES.values() if family in one.families)


def setting_names() -> tuple[str, ...]:
    """Every setting that any engine has, each once."""
    return tuple(dict.fromkeys(one.name for e in ENGINES.values() for one in e.settings))
