"""How much a denoising step costs over a bare forward pass of the same model, side by side.

A bare forward computes logits at every position of the same canvas; a step is one turn of the
sampler loop (logits at the block's rows, proposal, selection, reveal). The two are timed in turns
within one process, so that the ratio holds where the seconds are noisy.

    python benchmarks/step_time.py                                # the reference model, CPU
    python benchmarks/step_time.py --shape llada-8b --device cuda # random 8B weights, bf16
"""

import argparse
import platform
import statistics
from collections.abc import Callable
from importlib import import_module

import torch
from transformers import LlamaConfig, LlamaModel

from dllm_eval.api import Denoiser, Prompt
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.families import Family
from dllm_eval.loading import load_model
from dllm_eval.measure.clock import Timer
from dllm_eval.samplers import SamplerConfig, generate_batch
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.loop import denoise


def random_llada_8b(device: torch.device, dtype: torch.dtype) -> ModelDenoiser:
    """LLaDA-8B's shape (arXiv 2502.09992, Table 5) with random weights, built on the device."""
    config = LlamaConfig(
        vocab_size=126464,
        hidden_size=4096,
        intermediate_size=12288,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        max_position_embeddings=4096,
    )
    bodies = import_module("dllm_eval.adapters.bodies.transformers_body")
    rotary = bodies.Rotary(width=128, theta=5e5, full_precision=True, device=device)
    body: torch.nn.Module = bodies.transformers_body(LlamaModel, config, rotary)
    for module in body.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            values = torch.randn(weight.shape, device=device, dtype=dtype) * 0.02
            setattr(module, name, torch.nn.Parameter(values, requires_grad=False))
    head = torch.nn.Linear(4096, 126464, bias=False, device=device, dtype=dtype)
    family = Family(name="llada", mask_id=126336, eos_id=126081, pad_id=126081, context_length=4096)
    return ModelDenoiser(body=body, head=head, family=family)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """One timed call, the device synchronised around it."""
    with Timer(device) as timer:
        work()
    return timer.seconds


def host_waits(model: Denoiser, prompt: Prompt, config: SamplerConfig) -> str:
    """Denoises once under torch's synchronisation check; says what it found."""
    canvas = Canvas.build(
        [prompt],
        family=model.family,
        vocab_size=model.vocab_size,
        gen_length=config.gen_length,
        device=model.device,
    )
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.inference_mode():
            denoise(model, canvas, config)
    except RuntimeError as error:
        return f"found one: {error}"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "none"


def main() -> None:
    """Prints one table row per canvas length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=["reference", "llada-8b"], default="reference")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--prompt", type=int, default=32, help="prompt tokens")
    parser.add_argument("--canvas", type=int, nargs="+", default=[32])
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    if options.shape == "reference":
        model = load_model("reference-diffusion", device=options.device)
    else:
        model = random_llada_8b(device, torch.bfloat16)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    print(
        f"{options.shape} on {name or platform.machine()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, batch 1, prompt {options.prompt}"
    )
    print("| canvas | steps | bare forward ms | step ms | step / bare forward |")
    print("| --- | --- | --- | --- | --- |")
    for gen_length in options.canvas:
        prompt = Prompt(prefix=tuple(5 + i % 20 for i in range(options.prompt)))
        config = SamplerConfig(gen_length=gen_length, steps=min(options.steps, gen_length))
        tokens = torch.full((1, options.prompt + gen_length), model.family.mask_id, device=device)

        def step_all(prompt: Prompt = prompt, config: SamplerConfig = config) -> None:
            generate_batch(model, [prompt], config)

        def bare(tokens: torch.Tensor = tokens, steps: int = config.steps) -> None:
            for _ in range(steps):
                model.logits(tokens)

        for work in (bare, step_all, bare, step_all):
            work()
        pairs = [(seconds(bare, device), seconds(step_all, device)) for _ in range(options.rounds)]
        ratio = statistics.median(step / forward for forward, step in pairs)
        forward_ms = 1e3 * statistics.median(pair[0] for pair in pairs) / config.steps
        step_ms = 1e3 * statistics.median(pair[1] for pair in pairs) / config.steps
        print(f"| {gen_length} | {config.steps} | {forward_ms:.3f} | {step_ms:.3f} | {ratio:.3f} |")
        if device.type == "cuda":
            print(f"host synchronisations in the loop: {host_waits(model, prompt, config)}")
    if device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
