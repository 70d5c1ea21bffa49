"""`transformers serve`, a server that is none of ours, answers as `dllm-ar` does in process."""

from collections.abc import Iterator

import pytest
import torch
from served_suites import Run, model_of, run_of
from transformers_server import MISSING, TransformersServer, transformers_server

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"transformers serve needs {MISSING}")

LENGTH = 16
TASKS = ("ref_humaneval", "ref_reversal", "ref_infilling_several_gaps")
WRITTEN = (
    *("ref_humaneval", "ref_humaneval_spaced", "ref_humaneval_comment", "ref_humaneval_instruct"),
    *("ref_infilling", "ref_infilling_random_span", "ref_infilling_several_gaps"),
    *("ref_text_infilling", "ref_text_infilling_several_gaps"),
    *("ref_reversal", "ref_reversal_forward", "ref_reversal_both", "ref_reversal_both_forward"),
    *("ref_reversal_infill", "ref_mmlu_generation", "ref_stress_copy", "ref_stress_sort"),
)
"""Of the shipped suites, those that are answered by text and without sampling."""
LOCAL = {"pretrained": "reference-ar", "fim": "none", "device": "cpu"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The server has one thread; sums are the same only where they are cut alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersServer]:
    with transformers_server(tmp_path_factory.mktemp("serve")) as found:
        yield found


def over(
    server: TransformersServer,
    tasks: tuple[str, ...],
    limit: int | None = None,
    **arguments: object,
) -> Run:
    where = {"base_url": server.base_url, "model": server.model, "route": "completions"}
    return run_of(model_of("dllm-api", **where, **arguments), tasks, limit)


@pytest.fixture(scope="module")
def local() -> Run:
    return run_of(model_of("dllm-ar", **LOCAL, gen_length=LENGTH), TASKS, 2)


@pytest.mark.parametrize("stream", [True, False])
def test_the_same_answers_as_in_process(
    stream: bool, server: TransformersServer, local: Run
) -> None:
    served = over(server, TASKS, gen_length=LENGTH, stream=stream, batch_size=2, limit=2)
    assert served.answers == local.answers
    assert served.scores == local.scores
    assert served.comparable() == local.comparable()


def test_what_the_server_counts(server: TransformersServer, local: Run) -> None:
    """Its completion tokens are all that the model wrote, the end token among them."""
    served = over(server, TASKS[:2], gen_length=LENGTH, limit=2)
    for where, (theirs,) in served.records.items():
        (ours,) = local.records[where]
        assert theirs.canvas_tokens == ours.canvas_tokens
        # Its text still has the stop string, so its count is of another text than the one scored.
        is_cut = theirs.stop_reason == "stop_string"
        assert theirs.visible_tokens == (None if is_cut else theirs.canvas_tokens)
        assert (theirs.nfe, theirs.positions, theirs.cache) == (None, None, None)
        assert (theirs.tries, theirs.flag) == (1, None)
        assert theirs.first_text_s is not None
        assert 0 < theirs.first_text_s <= theirs.seconds


def test_the_server_was_asked_once_for_each_document(server: TransformersServer) -> None:
    before = server.asked()
    over(server, ("ref_reversal",), gen_length=4, limit=3)
    assert server.asked() - before == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_every_document_of_the_shipped_suites(name: str, server: TransformersServer) -> None:
    own = run_of(model_of("dllm-ar", **LOCAL, gen_length=32, batch_size=8), (name,))
    served = over(server, (name,), gen_length=32, batch_size=4)
    assert served.answers == own.answers
    assert served.scores == own.scores
    assert served.comparable() == own.comparable()
