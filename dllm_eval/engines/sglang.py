"""SGLang: LLaDA2.x, SDAR and DiffusionGemma by algorithms that are fixed at the server's start.

Facts as data, read in the wheel sglang 0.5.23; calls nothing. Flags: ExecDllm and Serving in
srt/arg_groups/fields/; the YAML file's keys: DllmConfig.from_server_args in srt/dllm/config.py and
the constructors in srt/dllm/algorithm/.

What the release does, and a reader of its numbers should know: `LowConfidence` reveals where the
confidence is above the threshold, else the surest position, and takes the argmax whatever
temperature a request asks. There is no request field for any of it, and no mode of a fixed number
of steps apart from `Gemma4Renoise`'s most steps. One request runs at a time where
`--max-running-requests` is not given (DllmConfig.from_server_args), whatever is sent to the server.
A reply does not say how many forward passes it took.
"""

from dllm_eval.engines.engine import Chosen, Engine
from dllm_eval.engines.setting import Setting
from dllm_eval.errors import UsageError

_ALGORITHM = "srt/dllm/algorithm/"
_JOINT = ("JointThreshold", "JointThresholdInDel")
_READ_BY = {
    "threshold": ("LowConfidence", *_JOINT),
    "edit_threshold": _JOINT,
    "max_edit_steps": _JOINT,
    "penalty_lambda": ("JointThreshold",),
    "steps": ("Gemma4Renoise",),
    "entropy_bound": ("Gemma4Renoise",),
}
"""Setting -> the algorithms that read it; others ignore it without a word."""


def check(chosen: Chosen) -> None:
    """Refuses what the algorithm would not read."""
    algorithm = chosen.get("algorithm")
    for name in chosen:
        readers = _READ_BY.get(name)
        if name == "block_length" and algorithm is None:
            readers = ("LowConfidence", *_JOINT, "Gemma4Renoise")
        if readers is not None and algorithm not in readers:
            raise UsageError(
                f"argument {name} of engine sglang is read by algorithm={' or '.join(readers)}, "
                f"not by {algorithm or 'a server without an algorithm'}"
            )
    if "speculation" in chosen and algorithm is not None:
        raise UsageError("speculation is for autoregressive models; leave algorithm out")


SGLANG = Engine(
    name="sglang",
    package="sglang",
    version_read="0.5.23",
    install="pip install sglang",
    module=("sglang.launch_server",),
    program=("sglang", "serve"),
    model=("--model-path",),
    served_name="--served-model-name",
    file_flag="--dllm-algorithm-config",
    health="/health",
    versions=(("/server_info", "version"), ("/get_server_info", "version")),
    check=check,
    settings=(
        Setting(
            name="algorithm",
            kind=str,
            place="flag",
            theirs="--dllm-algorithm",
            accepted=("LowConfidence", "JointThreshold", "JointThresholdInDel", "Gemma4Renoise"),
            unset="without an algorithm SGLang serves a model as an autoregressive one",
            source=f"{_ALGORITHM}__init__.py import_algorithms",
        ),
        Setting(
            name="threshold",
            kind=float,
            place="file",
            theirs="threshold",
            least=0,
            unset="0.95 of LowConfidence, 0.5 of the joint ones",
            source=f"{_ALGORITHM}low_confidence.py, joint_threshold.py __init__",
        ),
        Setting(
            name="edit_threshold",
            kind=float,
            place="file",
            theirs="edit_threshold",
            least=0,
            unset="0: a token is edited whenever another one is likelier",
            source=f"{_ALGORITHM}joint_threshold.py __init__",
        ),
        Setting(
            name="max_edit_steps",
            kind=int,
            place="file",
            theirs="max_post_edit_steps",
            least=0,
            unset="16 steps after the block's last mask",
            source=f"{_ALGORITHM}joint_threshold.py __init__, max_steps",
        ),
        Setting(
            name="penalty_lambda",
            kind=float,
            place="file",
            theirs="penalty_lambda",
            least=0,
            unset="0",
            source=f"{_ALGORITHM}joint_threshold.py __init__; the InDel variant does not read it",
        ),
        Setting(
            name="block_length",
            kind=int,
            place="file",
            theirs="block_size",
            least=1,
            unset="32 of LLaDA2.x, 4 of SDAR, DiffusionGemma's canvas",
            source="srt/dllm/config.py DllmConfig.from_server_args",
        ),
        Setting(
            name="steps",
            kind=int,
            place="file",
            theirs="max_denoising_steps",
            least=1,
            unset="48 at most; the temperature falls over them",
            source=f"{_ALGORITHM}gemma4_renoise.py __init__, _temperature",
        ),
        Setting(
            name="entropy_bound",
            kind=float,
            place="file",
            theirs="sampler_config.entropy_bound",
            least=0,
            unset="0.1",
            source=f"{_ALGORITHM}gemma4_renoise.py __init__",
        ),
        Setting(
            name="speculation",
            kind=str,
            place="flag",
            theirs="--speculative-algorithm",
            accepted=("ngram",),
            words={"ngram": "NGRAM"},
            diffusion=False,
            unset="no speculative decoding",
            source="srt/arg_groups/fields/spec.py Spec.speculative_algorithm",
        ),
        Setting(
            name="speculative_tokens",
            kind=int,
            place="flag",
            theirs="--speculative-num-draft-tokens",
            least=1,
            diffusion=False,
            unset="SGLang's own choice",
            source="srt/arg_groups/fields/spec.py Spec.speculative_num_draft_tokens",
        ),
    ),
    families={
        "llada2": "LLaDA2MoeModelLM (srt/dllm/config.py)",
        "llada21": "LLaDA2MoeModelLM (srt/dllm/config.py)",
        "sdar": "SDARForCausalLM, SDARMoeForCausalLM (srt/dllm/config.py)",
        "diffusion_gemma": "DiffusionGemmaForBlockDiffusion (srt/dllm/config.py)",
    },
    needs={"": ("algorithm",)},
    remarks=(
        "Of a diffusion model one request runs at a time, however many are sent, unless "
        "engine_args has --max-running-requests.",
        "LowConfidence takes the likeliest token whatever temperature a request asks.",
    ),
)
