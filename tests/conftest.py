"""Tiny random checkpoints in the published layouts, written once per test session."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from checkpoints import llada, llama

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

LladaWriter = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs transformers classes that an older release, still accepted, has not."""
    if find_spec("transformers.models.diffusion_gemma") is not None:
        return
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "diffusion_gemma" in callspec.params.values():
            item.add_marker(pytest.mark.skip(reason="needs transformers >= 5.11"))


@pytest.fixture(scope="session")
def llada_writer() -> LladaWriter:
    """`llada_writer(folder, shards=1, seed=0, **config_entries)` writes a tiny LLaDA folder."""
    return llada.write


@pytest.fixture(scope="session")
def tiny_llada(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random LLaDA-format checkpoint in one safetensors file."""
    return llada.write(tmp_path_factory.mktemp("llada") / "tiny")


@pytest.fixture(scope="session")
def tiny_llada_sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as `tiny_llada`, in three shards with an index."""
    return llada.write(tmp_path_factory.mktemp("llada") / "sharded", shards=3)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random autoregressive checkpoint without infilling tokens."""
    return llama.write(tmp_path_factory.mktemp("llama") / "tiny")


@pytest.fixture(scope="session")
def tiny_llama_fim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random autoregressive checkpoint whose tokenizer has infilling tokens."""
    return llama.write(tmp_path_factory.mktemp("llama") / "fim", fim=True)
