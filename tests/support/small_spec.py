"""A sweep of one suite on a diffusion and an autoregressive model, and what their classes take.

Plans are made of it without any model class.
"""

from typing import Any

TAKES = {
    "dllm": frozenset({"pretrained", "steps", "gen_length", "block_length", "seed", "warmup"})
    | {"timing_repeats", "batch_size", "records", "mc_samples"},
    "dllm-ar": frozenset({"pretrained", "gen_length", "seed", "warmup", "timing_repeats"}),
    "hf": frozenset({"pretrained", "batch_size"}),
}
SPEC: dict[str, Any] = {
    "name": "n",
    "models": [
        {"name": "D", "model": "dllm", "args": {"pretrained": "d"}},
        {"name": "A", "model": "dllm-ar", "args": {"pretrained": "a"}},
    ],
    "suites": [
        {
            "task": "t",
            "metric": "m",
            "limit": 5,
            "settings": {"gen_length": 8},
            "sweep": {"steps": [1, 2], "block_length": [4, 8]},
        }
    ],
}
