"""GPT-2's tokenizer for checkpoints that were trained on it and publish none of their own.

Knows tokenizer files and where GPT-2's lie on the hub; nothing of models. The loaders of MDLM, SEDD
and BD3-LM call `load_gpt2_tokenizer`.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from tokenizers.processors import TemplateProcessing

from dllm_eval.errors import UsageError

from ..tokens import load_tokenizer, token_id

HUB_ID = "openai-community/gpt2"
FILES = ("tokenizer.json", "tokenizer_config.json")
END = "<|endoftext|>"
"""GPT-2's only special token: it ends a text and begins one."""


def load_gpt2_tokenizer(folder: Path, *, num_tokens: int, begin: bool) -> Any:  # noqa: ANN401
    """The folder's own tokenizer, or GPT-2's from the hub where the folder has none.

    Args:
        folder: A checkpoint folder.
        num_tokens: How many tokens the checkpoint's embedding has beside the mask.
        begin: Whether the model was trained on texts that begin with the end-of-text token; then
            the tokenizer puts it in front.

    Raises:
        UsageError: There is no tokenizer, or it is none of this checkpoint's.
    """
    own = (folder / FILES[0]).is_file()
    tokenizer = load_tokenizer(folder if own else _fetched(folder))
    end_id = token_id(tokenizer, END)
    if end_id is None:
        raise UsageError(f"the tokenizer in {folder} has no token {END!r}, as GPT-2's has")
    if len(tokenizer) != num_tokens:
        raise UsageError(
            f"the tokenizer in {folder} knows {len(tokenizer)} tokens, config.json asks for "
            f"{num_tokens} beside the mask"
        )
    # GPT-2's published files leave the roles to its tokenizer class.
    tokenizer.eos_token = tokenizer.bos_token = tokenizer.pad_token = END
    if begin:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{END} $0", special_tokens=[(END, end_id)]
        )
    return tokenizer


def _fetched(folder: Path) -> Path:
    hub = import_module("huggingface_hub")
    try:
        paths = [Path(hub.hf_hub_download(HUB_ID, name)) for name in FILES]
    except Exception as error:  # the hub client raises errors of several libraries
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{folder} has no tokenizer.json, and the hub gave none of {HUB_ID}: {line}; put "
            f"{' and '.join(FILES)} of {HUB_ID} into the folder"
        ) from error
    return paths[0].parent
