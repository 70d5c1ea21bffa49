"""Training batches: what is masked, what is predicted and how it is weighted."""

from random import Random

import pytest
import torch

from dllm_eval.reference.batches import FIM_RATE, IGNORED, autoregressive_batch, diffusion_batch
from dllm_eval.reference.corpus import draw_update
from dllm_eval.reference.tokenizer import EOS, FIM_MIDDLE, MASK, encode, vocabulary

IDS = vocabulary()


@pytest.mark.parametrize("kind", range(4), ids=["code", "facts", "choices_text", "choices_letter"])
def test_diffusion_rows_restore_to_document_and_end_of_text(kind: int) -> None:
    documents = draw_update(0, 3).batches()[kind]
    batch = diffusion_batch(Random(1), documents)
    masked = batch.targets.ne(IGNORED)
    assert torch.equal(masked, batch.input_ids.eq(IDS[MASK]))
    restored = torch.where(masked, batch.targets, batch.input_ids).tolist()
    for row, document in zip(restored, documents, strict=True):
        ids = encode(document.text)
        assert row == ids + [IDS[EOS]] * (len(row) - len(ids))


def test_diffusion_weights_are_a_mean_per_row_and_over_rows() -> None:
    batch = diffusion_batch(Random(1), draw_update(0, 3).code)
    num_rows = batch.input_ids.shape[0]
    torch.testing.assert_close(batch.weights.sum(dim=1), torch.full((num_rows,), 1 / num_rows))


def test_diffusion_ratios_have_low_discrepancy() -> None:
    documents = (draw_update(0, 3).code[0],) * 64
    batch = diffusion_batch(Random(1), documents)
    ratios = batch.targets.ne(IGNORED).float().sum(dim=1) / batch.targets.ne(IGNORED).sum(1).max()
    assert ratios.mean().item() == pytest.approx(0.5, abs=0.1)


def test_autoregressive_rows_predict_the_next_token_and_the_first_end_of_text() -> None:
    documents = draw_update(0, 3).facts
    batch = autoregressive_batch(Random(1), documents)
    for row, targets, document in zip(batch.input_ids, batch.targets, documents, strict=True):
        ids = [*encode(document.text), IDS[EOS]]
        assert row[: len(ids)].tolist() == ids
        assert targets[: len(ids) - 1].tolist() == ids[1:]
        assert targets[len(ids) - 1 :].eq(IGNORED).all()


def test_about_a_third_of_autoregressive_code_is_rewritten_for_infilling() -> None:
    rows = 0
    num_rows = 0
    for update in range(40):
        documents = draw_update(0, update).code
        batch = autoregressive_batch(Random(update), documents)
        rows += int(batch.input_ids.eq(IDS[FIM_MIDDLE]).any(dim=1).sum())
        num_rows += len(documents)
    assert rows / num_rows == pytest.approx(FIM_RATE, abs=0.04)
