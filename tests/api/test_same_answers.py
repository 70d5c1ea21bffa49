"""A suite over HTTP gives the answers it gives in process, token for token.

The reference models answer behind the protocol server as they do in process, so every text, every
score and every field of a record that does not depend on the place has to be the same.
"""

from collections.abc import Iterator

import pytest
import torch
from protocol_server import KEY, ProtocolServer
from reference_backends import ReferenceAR, ReferenceDiffusion
from served_suites import MAY_DIFFER, Run, model_of, run_of

from dllm_eval.records import RequestRecord

LIMIT = 2
LENGTH, STEPS = 16, 8
TASKS = ("ref_humaneval", "ref_reversal", "ref_mmlu_generation", "ref_stress_copy")
GAPS = ("ref_infilling", "ref_infilling_several_gaps", "ref_text_infilling")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums are the same in server and process only where they are cut alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def _key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROTOCOL_KEY", KEY)
        yield


@pytest.fixture(scope="module")
def autoregressive() -> Iterator[ProtocolServer]:
    with ProtocolServer(ReferenceAR(), models=["reference-ar"], flavour="vllm") as server:
        yield server


@pytest.fixture(scope="module")
def diffusion() -> Iterator[ProtocolServer]:
    backend = ReferenceDiffusion(gen_length=LENGTH, steps=STEPS)
    with ProtocolServer(backend, models=["mercury"], flavour="vllm") as server:
        yield server


def over(server: ProtocolServer, tasks: tuple[str, ...], **arguments: object) -> Run:
    given = {"gen_length": LENGTH, "route": "completions", "batch_size": 3, **arguments}
    (model,) = server.state.models
    where = {"base_url": server.base_url, "model": model, "key_env": "PROTOCOL_KEY"}
    return run_of(model_of("dllm-api", **where, **given), tasks, LIMIT)


@pytest.fixture(scope="module")
def local_autoregressive() -> Run:
    arguments = {"pretrained": "reference-ar", "fim": "none", "device": "cpu"}
    return run_of(model_of("dllm-ar", **arguments, gen_length=LENGTH), TASKS + GAPS, LIMIT)


@pytest.fixture(scope="module")
def local_diffusion() -> Run:
    arguments = {"pretrained": "reference-diffusion", "device": "cpu"}
    lm = model_of("dllm", **arguments, gen_length=LENGTH, steps=STEPS)
    return run_of(lm, TASKS, LIMIT)


def check_same(local: Run, served: Run) -> None:
    assert served.answers == local.answers
    assert served.scores == local.scores
    assert served.comparable() == local.comparable()
    for where, records in local.records.items():
        for ours, theirs in zip(records, served.records[where], strict=True):
            _check_counts(ours, theirs)


def _check_counts(ours: RequestRecord, theirs: RequestRecord) -> None:
    """Of the fields that may differ, those which a server does report."""
    assert (theirs.nfe, theirs.positions, theirs.cache) == (None, None, None)
    if ours.model == "autoregressive":
        assert theirs.canvas_tokens == ours.canvas_tokens
    assert theirs.tries == 1
    assert theirs.seconds > 0
    assert theirs.first_text_s is None or 0 < theirs.first_text_s <= theirs.seconds
    # Several gaps are several answers, of which each is counted with its own end token.
    assert theirs.visible_tokens is None or theirs.visible_tokens >= (ours.visible_tokens or 0)
    reasons = {"length": {"length"}, "eos": {"eos", "stop"}, "stop_string": {"stop", "stop_string"}}
    assert theirs.stop_reason in reasons[ours.stop_reason]


@pytest.mark.parametrize("stream", [True, False])
def test_an_autoregressive_model(
    stream: bool, autoregressive: ProtocolServer, local_autoregressive: Run
) -> None:
    check_same(local_autoregressive, over(autoregressive, TASKS + GAPS, stream=stream))


@pytest.mark.parametrize("arguments", [{"stream": True}, {"stream": False}])
def test_a_diffusion_model(
    arguments: dict[str, bool], diffusion: ProtocolServer, local_diffusion: Run
) -> None:
    check_same(local_diffusion, over(diffusion, TASKS, kind="diffusion", **arguments))


def test_drafts_are_replaced_by_the_answer(diffusion: ProtocolServer, local_diffusion: Run) -> None:
    served = over(diffusion, TASKS, kind="diffusion", route="chat", drafts=True)
    check_same(local_diffusion, served)


def test_a_model_is_asked_by_chat(
    autoregressive: ProtocolServer, local_autoregressive: Run
) -> None:
    served = over(autoregressive, TASKS, route="chat")
    own = {where: rows for where, rows in local_autoregressive.answers.items() if where[0] in TASKS}
    assert served.answers == own


def test_what_may_differ_is_what_records_have(local_diffusion: Run) -> None:
    assert set(MAY_DIFFER) <= set(RequestRecord.model_fields)
    compared = set(RequestRecord.model_fields) - set(MAY_DIFFER)
    assert {"response", "prompt_tokens", "prompt_end", "model", "infill", "flag"} <= compared
    assert all(len(records) == 1 for records in local_diffusion.records.values())
