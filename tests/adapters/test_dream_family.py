"""The native Dream module against the architecture written out slowly, and its file format."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import dream, dreamon
from slow_qwen import slow_logits
from torch import Tensor

from dllm_eval.api import Prompt
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch

IDS = [303, 5, 280, 17, 99, 304, 304, 42, 3, 300, 77, 200]


def expected_logits(ids: list[int], folder: Path) -> Tensor:
    """Full attention; position i is predicted by the row before it, position 0 by its own."""
    everyone = range(len(ids))
    rows = slow_logits(ids, folder, [everyone] * len(ids))
    return torch.stack([rows[max(i - 1, 0)] for i in everyone])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 4},
        {"tie_word_embeddings": True},
        {"rms_norm_eps": 1e-2, "rope_theta": 100.0},
        {"vocab_size": 400},
    ],
    ids=str,
)
def test_logits_equal_the_written_out_architecture(changes: dict[str, Any], tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "model", **changes)
    model = load_model(str(folder), device="cpu")
    found = model.logits(torch.tensor([IDS]))[0].double()
    assert found.shape[1] == changes.get("vocab_size", 320)
    assert (found - expected_logits(IDS, folder)).abs().max() < 1e-5


def test_rows_and_padding_leave_the_logits_as_they_are(tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "model")
    model = load_model(str(folder), device="cpu")
    expected = expected_logits(IDS, folder).float()
    part = model.logits(torch.tensor([IDS]), rows=slice(5, 9))[0]
    assert (part - expected[5:9]).abs().max() < 1e-5
    for left in (1, 3):
        row = torch.tensor([[9] * left + IDS + [8] * (3 - left)])
        valid = torch.tensor([[left <= i < left + len(IDS) for i in range(row.shape[1])]])
        found = model.logits(row, valid=valid)[0, left + 1 : left + len(IDS)]
        assert (found - expected[1:]).abs().max() < 1e-5


def test_hidden_slots_inside_a_row_do_not_push_the_suffix_away(tmp_path: Path) -> None:
    model = load_model(str(dreamon.write(tmp_path / "model")), device="cpu")
    short = model.logits(torch.tensor([[303, 5, 304, 304, 17, 300]]))[0]
    row = torch.tensor([[303, 5, 304, 304, 9, 9, 9, 17, 300]])
    valid = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 1, 1]]).bool()
    found = model.logits(row, valid=valid)[0]
    assert (found[:4] - short[:4]).abs().max() < 1e-5


def test_shards_and_one_file_give_the_same_model(tmp_path: Path) -> None:
    one = load_model(str(dream.write(tmp_path / "one")), device="cpu")
    many = load_model(str(dream.write(tmp_path / "many", shards=3)), device="cpu")
    torch.testing.assert_close(one.logits(torch.tensor([IDS])), many.logits(torch.tensor([IDS])))


def test_facts_come_from_the_checkpoint(tmp_path: Path) -> None:
    family = load_model(str(dream.write(tmp_path / "dream")), device="cpu").family
    assert (family.name, family.mask_id, family.eos_id, family.eot_id) == ("dream", 304, 300, 302)
    assert (family.attention, family.logits_shift, family.context_length) == ("full", 1, 512)
    assert (family.expand_id, family.delete_id, family.pad_id) == (None, None, 300)
    grown = load_model(str(dreamon.write(tmp_path / "dreamon")), device="cpu").family
    assert (grown.name, grown.expand_id, grown.delete_id) == ("dreamon", 305, 300)
    assert (grown.mask_id, grown.logits_shift) == (304, 1)


def test_the_context_is_the_models_and_not_its_ancestors(tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "model", max_position_embeddings=131072)
    assert load_model(str(folder), device="cpu").family.context_length == 2048


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("hidden_act", "gelu"),
        ("use_sliding_window", True),
        ("rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
        ("architectures", ["DreamForCausalLM"]),
        ("mask_token_id", None),
        ("hidden_size", None),
    ],
)
def test_what_the_native_module_cannot_express_is_refused_by_name(
    entry: str, value: object, tmp_path: Path
) -> None:
    folder = dream.write(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {entry: value}))
    with pytest.raises(UsageError, match=rf"config.json: {entry} is "):
        load_model(str(folder), device="cpu")


def test_a_silent_config_means_the_published_mask_id(tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    del config["mask_token_id"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"mask_token_id 151666, but .* '<\|mask\|>' the id 304$"):
        load_model(str(folder), device="cpu")


def test_ids_that_contradict_the_tokenizer(tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "mask", mask_token_id=7)
    with pytest.raises(UsageError, match=r"mask_token_id 7, but .* '<\|mask\|>' the id 304$"):
        load_model(str(folder), device="cpu")
    folder = dream.write(tmp_path / "end", eos_token_id=9)
    with pytest.raises(UsageError, match=r"eos_token_id 9, but the tokenizer gives .* the id 300$"):
        load_model(str(folder), device="cpu")


def test_a_tokenizer_without_a_mask_token(tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "model")
    for name in ("tokenizer_config.json", "added_tokens.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("<|mask|>", "<|other|>"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["mask_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"has no mask token '<\|mask\|>'"):
        load_model(str(folder), device="cpu")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "model", num_hidden_layers=1)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(UsageError, match=r"lacks the tensor model\.layers\.1\.input_layernorm"):
        load_model(str(folder), device="cpu")


def test_dreamon_asked_for_by_name_needs_its_expand_token(tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "dream")
    with pytest.raises(UsageError, match=r"no expand token '<\|expand\|>'; pass family=dream$"):
        load_model(str(folder), family="dreamon", device="cpu")
    folder = dreamon.write(tmp_path / "dreamon")
    assert load_model(str(folder), family="dreamon", device="cpu").family.expand_id == 305


def test_the_published_tokenizer_files_are_read_without_a_tokenizer_json(tmp_path: Path) -> None:
    tokenizer = load_model(str(dreamon.write(tmp_path / "model")), device="cpu").tokenizer
    text = "def add(a, b):\n    return a + b don't 12 \u00e9e\u0301\n"
    composed = "def add(a, b):\n    return a + b don't 12 \u00e9\u00e9\n"
    assert tokenizer.decode(tokenizer.encode(text)) == composed
    assert tokenizer.encode("<|mask|><|expand|>") == [304, 305]
    assert tokenizer.encode("1234") == [tokenizer.convert_tokens_to_ids(d) for d in "1234"]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (
        303,
        300,
        300,
    )
    turn = [{"role": "user", "content": "hi"}]
    asked = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    assert asked == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer_config.json"])
def test_a_missing_tokenizer_file_is_named(name: str, tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "model")
    (folder / name).unlink()
    with pytest.raises(UsageError, match=rf"has no {name}; accepted: a tokenizer.json, or vocab"):
        load_model(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.json", "{", r"vocab\.json is not valid JSON"),
        ("merges.txt", "a b c\n", r"the tokenizer in .* cannot be read"),
        ("merges.txt", "no such\n", r"the tokenizer in .* cannot be read"),
    ],
)
def test_a_damaged_tokenizer_is_one_line(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    folder = dream.write(tmp_path / "model")
    (folder / name).write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        load_model(str(folder), device="cpu")
    assert "\n" not in str(caught.value)


def test_special_tokens_keep_their_published_ids(tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"]["310"] = config["added_tokens_decoder"].pop("304")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"gives '<\|mask\|>' the id 310, but .* it gets 304"):
        load_model(str(folder), device="cpu")


def test_a_chat_template_of_its_own_file_wins(tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    tokenizer = load_model(str(folder), device="cpu").tokenizer
    turn = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(turn, tokenize=False) == "hi!"


def test_an_empty_prompt_reads_its_own_first_position_whatever_is_beside_it(
    tmp_path: Path,
) -> None:
    """The published rule repeats the first row; a neighbour in the batch must not be read.

    In reading order, because the states of a canvas that is nothing but masks are all alike.
    """
    model = load_model(str(dream.write(tmp_path / "model")), device="cpu")
    settings = {"gen_length": 4, "sampler": "left_to_right"}
    config = SamplerConfig.from_mapping(settings, model.family)
    prompts = [Prompt(prefix=()), Prompt(prefix=(7, 8, 9, 10, 11))]
    together = generate_batch(model, prompts, config)
    assert [generate_batch(model, [prompt], config)[0].tokens for prompt in prompts] == [
        out.tokens for out in together
    ]
