"""The Python face: there, complete, and light until it is used."""

import subprocess
import sys

import pytest

import dllm_eval


def test_importing_the_package_imports_no_torch() -> None:
    code = (
        "import sys, dllm_eval; dllm_eval.UsageError; dir(dllm_eval);"
        "print([m for m in ('torch', 'lm_eval', 'pandas', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_the_object_of_its_module() -> None:
    from dllm_eval import api, likelihood, loading, samplers

    assert dllm_eval.load_model is loading.load_model
    assert dllm_eval.generate is samplers.generate
    assert dllm_eval.log_likelihood is likelihood.log_likelihood
    assert dllm_eval.Generation is api.Generation
    for name in dllm_eval.__all__:
        assert getattr(dllm_eval, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'generat'"):
        dllm_eval.generat  # noqa: B018
