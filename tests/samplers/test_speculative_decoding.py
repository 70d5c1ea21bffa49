"""Speculative decoding, greedy: the tokens of plain decoding, in the passes that the rule says.

Expected tokens come from a loop without a cache, expected passes and positions from the answer and
a lookup by brute force; transformers' own prompt lookup and assisted generation stand beside them.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from small_causal import slow_greedy, small_causal

from dllm_eval.api import Generation, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.samplers.autoregressive import fill_gaps
from dllm_eval.samplers.speculative import fill_gaps_by_drafts
from dllm_eval.samplers.speculative_drafts import Assistant, Drafter, PromptLookup

PROMPTS = [(5, 9, 200), (7,), (3, 3, 3, 8, 1, 3, 3), (10, 11, 12, 13, 10, 11), tuple(range(20))]
NEW = 30
VOCAB = 24
"""So small that random weights repeat themselves."""


@pytest.fixture(scope="module")
def model() -> Any:
    return small_causal(vocab_size=VOCAB, seed=3)


@pytest.fixture(scope="module")
def likeness(model: Any) -> Any:
    """A model that often guesses what the other one says: its weights, disturbed."""
    other = small_causal(vocab_size=VOCAB, seed=3)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in other.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = model.get_parameter(name) + 0.02 * noise
    return other


def lookup(draft_tokens: int = 5, ngram: int = 2, ends: Sequence[int] = ()) -> PromptLookup:
    return PromptLookup(draft_tokens=draft_tokens, ngram=ngram, ends=frozenset(ends))


def assisted(other: Any, batch: int, draft_tokens: int = 3) -> Assistant:
    return Assistant(other, batch, draft_tokens=draft_tokens, vocab_size=VOCAB, temperature=0.0)


def texts_of(prompts: Sequence[Sequence[int]]) -> list[tuple[Prompt, tuple[()]]]:
    return [(Prompt(prefix=tuple(t % VOCAB for t in text), seed=sum(text)), ()) for text in prompts]


def decoded(
    model: Any, prompts: Sequence[Sequence[int]], drafter: Drafter, **options: Any
) -> list[Generation]:
    settings: dict[str, Any] = {"max_new_tokens": NEW, "eos_ids": []} | options
    found = fill_gaps_by_drafts(model, texts_of(prompts), drafter=drafter, **settings)
    return [answers[0] for answers in found]


def slow_lookup(text: list[int], ngram: int, most: int, end: int) -> list[int]:
    for size in range(min(ngram, len(text) - 1), 0, -1):
        for start in range(len(text) - size):
            if text[start : start + size] == text[-size:]:
                found = text[start + size : start + size + most]
                return found[: found.index(end)] if end in found else found
    return []


def slow_costs(
    prompt: Sequence[int], answer: list[int], ngram: int, draft_tokens: int, end: int
) -> tuple[int, int, list[int]]:
    """(passes, positions, the pass of each token) of prompt lookup that gives this answer."""
    text, unread, passes, positions = [t % VOCAB for t in prompt], len(prompt), 0, 0
    steps: list[int] = []
    while len(steps) < len(answer):
        most = min(draft_tokens, NEW - len(steps) - 1)
        guess = slow_lookup(text, ngram, most, end) if most else []
        positions += unread + len(guess)
        left = answer[len(steps) :]
        held = 0
        while held < min(len(guess), len(left)) and guess[held] == left[held]:
            held += 1
        new = left[: held + 1]
        text += new
        steps += [passes] * len(new)
        passes, unread = passes + 1, 1
    return passes, positions, steps


def an_end_id(model: Any) -> int:
    return slow_greedy(model, [t % VOCAB for t in PROMPTS[1]], NEW)[NEW // 2]


@pytest.mark.parametrize(("ngram", "draft_tokens"), [(2, 5), (1, 1), (3, 10)])
def test_prompt_lookup_gives_the_plain_answer_in_the_passes_of_the_rule(
    model: Any, ngram: int, draft_tokens: int
) -> None:
    fewer = 0
    for end in (an_end_id(model), -1):
        drafter = lookup(draft_tokens, ngram, [end])
        for prompt in PROMPTS:
            text = [t % VOCAB for t in prompt]
            expected = slow_greedy(model, text, NEW, end)
            [found] = decoded(model, [prompt], drafter, eos_ids=[end])
            assert list(found.tokens) == expected
            passes, positions, steps = slow_costs(prompt, expected, ngram, draft_tokens, end)
            assert (found.nfe, found.positions) == (passes, positions)
            assert list(found.reveal_step) == steps
            ended = expected[-1] == end
            assert found.stop_reason == ("eos" if ended else "length")
            assert found.visible == (found.tokens[:-1] if ended else found.tokens)
            assert (found.draft_nfe, found.draft_positions) == (None, None)
            assert found.host_syncs == found.nfe
            fewer += passes < len(expected)
    assert fewer >= 5


def test_an_assistant_changes_cost_alone(model: Any, likeness: Any) -> None:
    end = an_end_id(model)
    for other, spared in ((likeness, True), (small_causal(vocab_size=VOCAB, seed=9), False)):
        for prompt in PROMPTS:
            text = [t % VOCAB for t in prompt]
            expected = slow_greedy(model, text, NEW, end)
            [found] = decoded(model, [prompt], assisted(other, 1), eos_ids=[end])
            assert list(found.tokens) == expected
            guesses = [slow_greedy(other, [*text, *expected[:at]], 3) for at in range(NEW)]
            at = passes = positions = 0
            drafted = [0, 0]
            read = held = 0
            while at < len(expected):
                most = min(3, NEW - at - 1)
                guess = guesses[at][:most]
                hits = 0
                while hits < most and [*expected, None][at + hits] == guess[hits]:
                    hits += 1
                positions += len(text) + at - read + most
                if most:
                    drafted[0] += most
                    drafted[1] += len(text) + at - held + most - 1
                    held = len(text) + at + min(hits, most - 1)
                read = len(text) + at + hits
                at, passes = at + hits + 1, passes + 1
            assert (found.nfe, found.positions) == (passes, positions)
            assert (found.draft_nfe, found.draft_positions) == tuple(drafted)
            if spared and len(expected) > 8:
                assert passes < len(expected)


def test_the_models_own_passes_are_what_is_counted(model: Any, likeness: Any) -> None:
    def widths(network: Any) -> tuple[list[int], Any]:
        seen: list[int] = []
        hook = network.register_forward_pre_hook(
            lambda _, __, given: seen.append(given["input_ids"].shape[1]), with_kwargs=True
        )
        return seen, hook

    read, first = widths(model)
    guessed, second = widths(likeness)
    try:
        [found] = decoded(model, [PROMPTS[3]], assisted(likeness, 1))
    finally:
        first.remove()
        second.remove()
    assert (len(read), sum(read)) == (found.nfe, found.positions)
    assert (len(guessed), sum(guessed)) == (found.draft_nfe, found.draft_positions)
    assert found.host_syncs <= 2 * found.nfe


@pytest.mark.parametrize("who", ["lookup", "assistant"])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_batch_is_its_requests_one_by_one(
    model: Any, likeness: Any, who: str, temperature: float
) -> None:
    def drafter(batch: int) -> Drafter:
        if who == "lookup":
            return lookup(ends=[end])
        return Assistant(likeness, batch, draft_tokens=3, vocab_size=VOCAB, temperature=temperature)

    end = an_end_id(model)
    options = {"eos_ids": [end], "temperature": temperature}
    together = decoded(model, PROMPTS, drafter(5), **options)
    backwards = decoded(model, PROMPTS[::-1], drafter(5), **options)[::-1]
    for prompt, one, two in zip(PROMPTS, together, backwards, strict=True):
        [alone] = decoded(model, [prompt], drafter(1), **options)
        assert one.tokens == two.tokens == alone.tokens
        assert one.reveal_step == two.reveal_step == alone.reveal_step
        assert (one.nfe, one.positions) == (alone.nfe, alone.positions)
        assert (one.draft_nfe, one.draft_positions) == (alone.draft_nfe, alone.draft_positions)
    assert len({len(one.tokens) for one in together}) > 1


@pytest.mark.parametrize("who", ["lookup", "assistant"])
def test_several_gaps_and_stops_are_the_plain_ones(model: Any, likeness: Any, who: str) -> None:
    texts = [((4, 4, 8), (), (3, 10)), ((), (11,), (10, 11)), ((9,), (), ())]
    requests = [(prompt, own) for (prompt, _), own in zip(texts_of(PROMPTS), texts, strict=False)]
    settings: dict[str, Any] = {
        "max_new_tokens": 9,
        "eos_ids": [an_end_id(model)],
        "stop": lambda ids: ids[-1] % 7 == 3 and len(ids) > 1,
        "kept": lambda row, visible: visible[: (row + sum(visible)) % 10],
    }
    drafter: Drafter = lookup() if who == "lookup" else assisted(likeness, 3)
    plain = fill_gaps(model, requests, **settings)
    found = fill_gaps_by_drafts(model, requests, drafter=drafter, **settings)
    reasons = set()
    for own, other in zip(found, plain, strict=True):
        for gap, same in zip(own, other, strict=True):
            assert (gap.tokens, gap.visible) == (same.tokens, same.visible)
            assert (gap.stop_reason, gap.nfe <= same.nfe) == (same.stop_reason, True)
            reasons.add(gap.stop_reason)
    assert "stop_string" in reasons


def their_passes(model: Any, prompt: Sequence[int], **options: Any) -> tuple[list[int], int]:
    passes = []
    hook = model.register_forward_hook(lambda *_: passes.append(1))
    try:
        text = torch.tensor([[t % VOCAB for t in prompt]])
        out = model.generate(
            text,
            attention_mask=torch.ones_like(text),
            do_sample=False,
            max_new_tokens=NEW,
            eos_token_id=-1,
            pad_token_id=0,
            **options,
        )
    finally:
        hook.remove()
    return out[0, len(prompt) :].tolist(), len(passes)


def test_as_many_passes_as_transformers_prompt_lookup(model: Any) -> None:
    for prompt in PROMPTS[1:]:
        tokens, passes = their_passes(model, prompt, prompt_lookup_num_tokens=5)
        [found] = decoded(model, [prompt], lookup(5))
        assert (list(found.tokens), found.nfe) == (tokens, passes)


def test_as_many_passes_as_transformers_assisted_generation(model: Any, likeness: Any) -> None:
    settings = likeness.generation_config
    settings.num_assistant_tokens = 3
    settings.num_assistant_tokens_schedule = "constant"
    settings.assistant_confidence_threshold = 0.0
    for prompt in PROMPTS[1:]:
        tokens, passes = their_passes(model, prompt, assistant_model=likeness)
        [found] = decoded(model, [prompt], assisted(likeness, 1))
        assert list(found.tokens) == tokens
        assert found.nfe <= passes


def test_what_cannot_take_tokens_back_is_one_line() -> None:
    sliding = small_causal("sliding qwen2", vocab_size=VOCAB)
    [found] = decoded(sliding, [PROMPTS[4]], lookup())
    assert list(found.tokens) == slow_greedy(sliding, PROMPTS[4], NEW)
    with pytest.raises(
        UsageError, match="one request at a time and was given 2; pass batch_size=1"
    ):
        decoded(sliding, PROMPTS[:2], lookup())
    recurrent = type("Recurrent", (), {"device": torch.device("cpu"), "_is_stateful": True})()
    with pytest.raises(UsageError, match="Recurrent keeps a running state that cannot"):
        decoded(recurrent, PROMPTS[:1], lookup())
    with pytest.raises(UsageError, match="logits are NaN or infinite"):
        decoded(broken(), PROMPTS[:1], lookup())


def broken() -> Any:
    model = small_causal(vocab_size=VOCAB)
    model.lm_head.weight.data.fill_(float("nan"))
    return model
