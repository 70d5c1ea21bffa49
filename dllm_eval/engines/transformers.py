"""`transformers serve`: autoregressive models only, one request at a time unless told otherwise.

Facts as data, read in transformers 5.23.0; calls nothing. Flags: cli/serve.py (Serve.__init__);
what they do: cli/serving/utils.py (GenerationState, BaseHandler._build_generation_config).

The model is named by every request as it was at the start (server.py, BaseHandler._resolve_model
refuses another name), and its revision is written behind it: name@revision.
"""

from dllm_eval.engines.engine import Engine
from dllm_eval.engines.setting import Setting

TRANSFORMERS = Engine(
    name="transformers",
    package="transformers",
    also=("fastapi", "uvicorn", "openai"),
    version_read="5.23.0",
    install='pip install "transformers[serving]"',
    module=("transformers.cli.transformers", "serve"),
    program=("transformers", "serve"),
    revision=None,
    environment={"HF_HUB_DISABLE_UPDATE_CHECK": "1"},
    settings=(
        Setting(
            name="compile",
            kind=bool,
            place="flag",
            theirs="--compile",
            diffusion=False,
            unset="eager passes, a dynamic cache",
            source="cli/serving/utils.py _build_generation_config: a static cache, compiled",
        ),
        Setting(
            name="continuous_batching",
            kind=bool,
            place="flag",
            theirs="--continuous-batching",
            diffusion=False,
            unset="requests are answered one after another",
            source="cli/serving/utils.py GenerationState.use_continuous_batching",
        ),
    ),
    remarks=("Without continuous batching, requests wait for each other.",),
)
