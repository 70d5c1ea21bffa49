"""Tensors that say they lie on a CUDA device, on a machine that has none, and hold real numbers.

Inside `fake_cuda()` the device "cuda" exists: what is made there is computed on the CPU, so a model
decodes in earnest, while two things are as on a GPU. Tensors of two devices in one operation are an
error, and whatever would make the host wait for the device is noted with the line that asked for
it: numbers read (`item`, `tolist`, `bool`), outputs whose size depends on values (`nonzero`, a mask
as an index), and copies from or to the host that block. Kernels are the CPU's own: what a CUDA
kernel does inside itself, and how fast, is not seen. Knows torch; nothing of samplers.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from fake_cuda_tensor import CUDA, Asked, DevicesMixedError, FakeCuda, FakeGenerator

__all__ = ["CUDA", "DevicesMixedError", "fake_cuda", "unavailable", "waits_of"]

GUARDS = "_ZN3c104impl26device_guard_impl_registryE"
"""c10::impl::device_guard_impl_registry (c10/core/impl/DeviceGuardImplInterface.h)."""
CPU_PLACE, CUDA_PLACE = 0, 1
"""c10::DeviceType."""


ANSWERS: dict[str, Callable[..., Any]] = {
    "_lazy_init": lambda: None,
    "synchronize": lambda *_: None,
    "get_device_capability": lambda *_: (9, 0),
    "get_device_name": lambda *_: "a fake CUDA device",
}
"""What torch.cuda says of the device."""


def _in_the_open(mode: bool = True) -> Any:
    return torch.no_grad() if mode else nullcontext()


def unavailable() -> str | None:
    """Why it cannot be had on this machine; None where it can."""
    if torch.cuda.is_available():
        return "there is a real CUDA device, and test_gpu.py runs on it"
    try:
        _guards()
    except (OSError, ValueError) as error:
        return f"torch's device guards are out of reach here: {error}"
    return None


def _guards() -> Any:
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    return (ctypes.c_void_p * 2).in_dll(library, GUARDS)


@contextmanager
def fake_cuda() -> Iterator[FakeCuda]:
    """The device "cuda" exists while it lasts."""
    guards = _guards()
    before, guards[CUDA_PLACE] = guards[CUDA_PLACE], guards[CUDA_PLACE] or guards[CPU_PLACE]
    lifted = torch._C._only_lift_cpu_tensors()
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    mode = FakeCuda()
    FakeCuda._running = mode
    torch._C._set_only_lift_cpu_tensors(True)  # a tensor of numbers is made here, then copied
    # `module.to` would put a weight's new device into the old object.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with ExitStack() as stack:
            stack.enter_context(patch.object(torch, "Generator", FakeGenerator))
            for name, answer in ANSWERS.items():
                stack.enter_context(patch.object(torch.cuda, name, answer))
            # Inference mode would hide operations that are made of others.
            stack.enter_context(patch.object(torch, "inference_mode", _in_the_open))
            stack.enter_context(torch.no_grad())
            stack.enter_context(Asked())
            stack.enter_context(mode)
            yield mode
    finally:
        torch._C._set_only_lift_cpu_tensors(lifted)
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
        FakeCuda._running = None
        guards[CUDA_PLACE] = before


def waits_of(work: Callable[[], object]) -> list[str]:
    """What of a piece of work makes the host wait."""
    mode = FakeCuda.current()
    before = len(mode.waits)
    work()
    return mode.waits[before:]
