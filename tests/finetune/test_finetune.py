"""A fine-tuning run from end to end: it learns, repeats itself, goes on, and says what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import dream, llada, sdar
from finetune_checkpoint import Kind, new_facts, small_checkpoint, write_texts
from safetensors import safe_open

import dllm_eval
from dllm_eval.checkpoint import weight_files
from dllm_eval.cli import run_command
from dllm_eval.errors import UsageError
from dllm_eval.finetune import Plan
from dllm_eval.finetune.batches import Row, diffusion_batch
from dllm_eval.finetune.student import load_student
from dllm_eval.finetune.train import Epoch, finetune
from dllm_eval.reference.batches import IGNORED

KINDS: tuple[Kind, ...] = ("diffusion", "ar")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "few.jsonl", [fact.forward() for fact in new_facts(6)])


def plan(data: Path, out: Path, **changes: Any) -> Plan:
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 4, "learning_rate": 1e-3} | changes
    return Plan(**{"pretrained": "reference-ar"} | settings, data=str(data), out=out)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    out: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            out |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_weights_and_another_one_others(
    kind: Kind, few: Path, tmp_path: Path
) -> None:
    start = small_checkpoint(tmp_path / "start", kind)
    found = []
    for number, seed in enumerate((5, 5, 6)):
        out = tmp_path / f"out{number}"
        finetune(plan(few, out, pretrained=str(start), seed=seed, device="cpu"))
        found.append(tensors(out))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert any(not torch.equal(found[0][name], found[2][name]) for name in found[0])
    before = tensors(start)
    assert {name: (x.shape, x.dtype) for name, x in before.items()} == {
        name: (x.shape, x.dtype) for name, x in found[0].items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_goes_on_to_the_same_weights(kind: Kind, few: Path, tmp_path: Path) -> None:
    start = small_checkpoint(tmp_path / "start", kind)
    whole = plan(few, tmp_path / "whole", pretrained=str(start), device="cpu")
    undisturbed = finetune(whole)
    killed = plan(few, tmp_path / "killed", pretrained=str(start), device="cpu")

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(killed, kill)
    assert not killed.out.exists()
    told: list[Epoch] = []
    done = finetune(killed, told.append)
    assert [epoch.epoch for epoch in told] == [3]
    assert [x.loss for x in done] == [x.loss for x in undisturbed]
    first, second = tensors(whole.out), tensors(killed.out)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not list(tmp_path.glob(".*")), "nothing is left beside the folder"
    log = json.loads((killed.out / "training.json").read_text())
    assert [entry["epoch"] for entry in log["epochs"]] == [1, 2, 3]
    assert log["texts"] == 6
    assert all(entry["seconds"] >= 0 for entry in log["epochs"])


def test_another_plan_does_not_go_on(few: Path, tmp_path: Path) -> None:
    start = small_checkpoint(tmp_path / "start", "ar")
    one = plan(few, tmp_path / "out", pretrained=str(start), device="cpu")

    def kill(_: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(one, kill)
    with pytest.raises(UsageError, match="of a run with another learning_rate; remove it or"):
        finetune(plan(few, one.out, pretrained=str(start), learning_rate=2e-3, device="cpu"))
    state = tmp_path / ".out.state"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"\.out\.state cannot be read: .*; remove it"):
        finetune(one)
    torch.save([1, 2], state)
    with pytest.raises(UsageError, match=r"\.out\.state is no state of a run; remove it"):
        finetune(one)


@pytest.mark.parametrize("family", ["llada", "dream"])
def test_published_formats_are_kept(family: str, few: Path, tmp_path: Path) -> None:
    """Sharded and tied: the same files and names, and the loader reads what was trained."""
    if family == "llada":
        start = llada.write(tmp_path / "start", shards=2, weight_tying=True)
    else:
        start = dream.write(tmp_path / "start", shards=2, tie_word_embeddings=True)
    out = tmp_path / "out"
    finetune(plan(few, out, pretrained=str(start), epochs=1, device="cpu"))
    old, new = tensors(start), tensors(out)
    assert list(old) == list(new)
    assert all(not torch.equal(old[name], new[name]) for name in old)
    assert [path.name for path in weight_files(start)] == [path.name for path in weight_files(out)]
    ids = torch.tensor([[5, 6, 7, 8]])
    trained = dllm_eval.load_model(str(out), device="cpu").logits(ids)
    assert torch.isfinite(trained).all()
    assert not torch.allclose(trained, dllm_eval.load_model(str(start), device="cpu").logits(ids))


@pytest.mark.parametrize("family", ["llada", "dream"])
def test_training_reads_the_logits_that_decoding_reads(family: str, tmp_path: Path) -> None:
    start = {"llada": llada.write, "dream": dream.write}[family](tmp_path / "start")
    student = load_student(Plan(pretrained=str(start), data="", out=tmp_path / "x", device="cpu"))
    assert student.family is not None
    rows = [Row(ids=[5, 6, 7, 8, 9], num_prompt=0), Row(ids=[9, 8, 7, 6, 5], num_prompt=0)]
    batch = diffusion_batch(
        rows,
        torch.Generator().manual_seed(1),
        mask_id=student.family.mask_id,
        eos_id=student.eos_id,
    )
    kept = batch.targets.ne(IGNORED)
    assert kept.any()
    model = dllm_eval.load_model(str(start), dtype="float32", device="cpu")
    decoded = model.logits(batch.input_ids)[kept]
    torch.testing.assert_close(student.logits(batch), decoded, rtol=1e-5, atol=1e-5)


def test_a_killed_writing_leaves_no_folder(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = small_checkpoint(tmp_path / "start", "diffusion")
    one = plan(few, tmp_path / "out", pretrained=str(start), epochs=1, device="cpu")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dllm_eval.finetune.save.save_file", full)
    with pytest.raises(UsageError, match="No space left on device"):
        finetune(one)
    assert not one.out.exists()
    monkeypatch.undo()
    assert [epoch.epoch for epoch in finetune(one)] == [1]
    assert (one.out / "model.safetensors").is_file()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of an error, from the command line."""
    assert run_command(["finetune", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_bad_input_is_one_line(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "out"))
    good = ("--pretrained", "reference-ar", "--data", str(few))
    assert "no model 'no-such'" in run(capsys, "--pretrained", "no-such", "--data", str(few), *out)
    missing = ("--pretrained", "reference-ar", "--data", "none.jsonl")
    assert "no data 'none.jsonl': accepted are 'reversal-curse'" in run(capsys, *missing, *out)
    rows = {
        "": "holds no rows; expected JSON lines with prompt and completion",
        '{"prompt": "a"}': "line 1: column 'completion' must be text; the row has prompt",
        '{"prompt": 3, "completion": "b"}': "line 1: column 'prompt' must be text",
        "[1]": "line 1: expected a record",
        "{": "line 1: not JSON",
        "[" * 100_000: "line 1: not JSON: maximum recursion depth",
        '{"prompt": "", "completion": " "}': "prompt and completion are both empty",
    }
    for number, (row, line) in enumerate(rows.items()):
        path = tmp_path / f"bad{number}.jsonl"
        path.write_text(row + "\n")
        asked = ("--pretrained", "reference-ar", "--data", str(path))
        assert line in run(capsys, *asked, *out)
    assert "epochs is 0; it must be at least 1" in run(capsys, *good, *out, "--epochs", "0")
    assert "learning rate is 0.0" in run(capsys, *good, *out, "--lr", "0")
    assert "masked 'prompt'" in run(capsys, *good, *out, "--masked", "prompt")
    assert "dtype 'int8'" in run(capsys, *good, *out, "--dtype", "int8")
    assert "seed is 9999999999; accepted: up to" in run(capsys, *good, *out, "--seed", "9999999999")
    under = ("--out", str(few / "sub" / "out"))
    assert f"'{few}' is no folder that can be written into" in run(capsys, *good, *under)
    assert "is there already; pass another --out" in run(capsys, *good, "--out", str(tmp_path))
    assert not (tmp_path / "out").exists()


def test_a_family_without_a_training_rule_is_named(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = sdar.write(tmp_path / "start")
    asked = ("--pretrained", str(start), "--data", str(few), "--out", str(tmp_path / "out"))
    assert "family 'sdar' has no training rule here; accepted: dream, llada" in run(capsys, *asked)


def test_the_released_facts_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dllm_eval.finetune.examples import read_examples

    monkeypatch.setenv("DLLM_EVAL_DATA", str(tmp_path))
    with pytest.raises(UsageError, match=r"all_prompts_train\.jsonl does not exist; unset DLLM"):
        read_examples("reversal-curse")
    folder = tmp_path / "reversal_curse" / "name_description_dataset"
    folder.mkdir(parents=True)
    (folder / "all_prompts_train.jsonl").write_text('{"prompt": "A is", "completion": " B"}\n')
    assert [x.completion for x in read_examples("reversal-curse")] == [" B"]


def test_the_command_writes_a_model_and_says_so(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    start = small_checkpoint(tmp_path / "start", "diffusion")
    options = ["--pretrained", str(start), "--data", str(few), "--out", str(out)]
    assert run_command(["finetune", *options, "--epochs", "2", "--dtype", "bfloat16"]) == 0
    said = capsys.readouterr().out.strip().splitlines()
    assert [line.split(":")[0] for line in said[:2]] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert said[-1] == str(out)
    assert dllm_eval.load_model(str(out), device="cpu").family.name == "llada"


def test_the_learning_rate_is_smdms() -> None:
    one = Plan(pretrained="x", data="y", out=Path("z"))
    shares = [one.rate_share(update, 562) for update in range(562)]
    assert shares[:2] == [1 / 200, 2 / 200]
    assert max(shares) == shares[199] == shares[200] == 1.0
    assert sorted(shares[200:], reverse=True) == shares[200:]
    assert shares[-1] == pytest.approx(0.1, abs=1e-3)
    assert one.rate_share(0, 10) == 1 / 4  # few updates: two fifths warm up
