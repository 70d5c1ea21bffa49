"""LMDeploy: SDAR by one of three unmasking strategies that are fixed at the server's start.

Facts as data, read in the wheel lmdeploy 0.18.0 (0.16.0 has the same flags); calls nothing. Flags:
cli/utils.py (ArgumentHelper.dllm_*); what they do: pytorch/strategies/dllm/unmasking.py
(UnmaskingProcessor).

What the release does, and a reader of its numbers should know: `low_confidence_dynamic` reads the
threshold and never the steps; `low_confidence_static` and `sequential` read the steps and never the
threshold. Those two divide by the steps even where none were given, although the line before fills
them in (_get_denoise_num): without steps they end in a TypeError, so we ask for them. A block
length that is not given reaches SDAR's network as None, so we ask for it as well.
"""

from dllm_eval.engines.engine import Chosen, Engine
from dllm_eval.engines.setting import Setting
from dllm_eval.errors import UsageError

_STRATEGIES = ("low_confidence_dynamic", "low_confidence_static", "sequential")
_UNMASKING = "pytorch/strategies/dllm/unmasking.py "


def check(chosen: Chosen) -> None:
    """Refuses what the strategy would not read, and what it fails without."""
    strategy = chosen.get("strategy", _STRATEGIES[0])
    dynamic = strategy == _STRATEGIES[0]
    unread = "steps" if dynamic else "threshold"
    if unread in chosen:
        readers = _STRATEGIES[1:] if dynamic else _STRATEGIES[:1]
        raise UsageError(
            f"argument {unread} of engine lmdeploy is read by strategy={' or '.join(readers)}, "
            f"not by {strategy}"
        )
    if not dynamic and "steps" not in chosen:
        raise UsageError(f"strategy={strategy} of engine lmdeploy needs the argument steps")
    if chosen and "block_length" not in chosen:
        raise UsageError(
            "engine lmdeploy needs the argument block_length for a diffusion model, for example 4, "
            "as SDAR was trained"
        )
    steps, length = chosen.get("steps"), chosen.get("block_length")
    if steps is not None and length is not None and steps > length:  # type: ignore[operator]
        raise UsageError(
            f"argument steps={steps} of engine lmdeploy: accepted: at most block_length={length}"
        )


LMDEPLOY = Engine(
    name="lmdeploy",
    package="lmdeploy",
    version_read="0.18.0",
    install="pip install lmdeploy",
    module=("lmdeploy", "serve", "api_server"),
    program=("lmdeploy", "serve", "api_server"),
    host="--server-name",
    port="--server-port",
    served_name="--model-name",
    check=check,
    settings=(
        Setting(
            name="strategy",
            kind=str,
            place="flag",
            theirs="--dllm-unmasking-strategy",
            accepted=_STRATEGIES,
            unset="low_confidence_dynamic",
            source="cli/utils.py dllm_unmasking_strategy",
        ),
        Setting(
            name="steps",
            kind=int,
            place="flag",
            theirs="--dllm-denoising-steps",
            least=1,
            unset="the strategies that read it fail without it",
            source=f"{_UNMASKING}_get_denoise_num: block_length // steps tokens a step",
        ),
        Setting(
            name="threshold",
            kind=float,
            place="flag",
            theirs="--dllm-confidence-threshold",
            least=0,
            most=1,
            unset="0.85",
            source=f"{_UNMASKING}low_confidence_dynamic: at least the threshold, else the surest",
        ),
        Setting(
            name="block_length",
            kind=int,
            place="flag",
            theirs="--dllm-block-length",
            least=1,
            unset="SDAR's network fails without it",
            source="pytorch/models/sdar.py",
        ),
    ),
    families={"sdar": "SDARForCausalLM, SDARMoeForCausalLM (pytorch/models/module_map.py)"},
    needs={"": ("block_length",)},
)
