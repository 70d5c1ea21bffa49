"""Tensors on a fake CUDA device, and what their operations do; see `fake_cuda.py`."""

import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import torch
from fake_cuda_kernels import on_cpu
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

TORCH = str(Path(torch.__file__).parent)
CUDA = torch.device("cuda", 0)
HOST = torch.device("cpu")

READS = ("_local_scalar_dense", "equal", "is_nonzero", "allclose")
SIZED_BY_VALUES = ("nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive")
COPIES = ("_to_copy", "copy_", "copy", "to")
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
TAKES_HOST_NUMBERS = ("fill_", "fill", "masked_fill", "masked_fill_", "where", "index_put_", "lift")
"""Beside pointwise operations, which take a host's tensor without dimensions as a number."""


class DevicesMixedError(RuntimeError):
    """Tensors of two devices met in one operation."""


class FakeCudaTensor(Tensor):
    """Says that it lies on a CUDA device; its numbers are in `held`, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls: type[Self], held: Tensor) -> Self:
        made: Self = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=CUDA,
            requires_grad=False,
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        del types
        return FakeCuda.current().run(func, args, kwargs or {})

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        """Shares its memory, as torch's own does."""
        return FakeCudaTensor(self.held)

    def tolist(self) -> Any:
        FakeCuda.current().wait("tolist")
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError(f"a CUDA tensor has no numpy array (force={force}); copy it first")

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"FakeCudaTensor({self.held!r})"


class FakeGenerator(torch.Generator):
    """A CPU generator that says where its numbers are wanted."""

    where: torch.device

    def __new__(cls, device: Any = "cpu") -> Self:
        made: Self = super().__new__(cls, "cpu")  # type: ignore[call-arg]
        made.where = torch.device(device)
        return made

    def __init__(self, device: Any = "cpu") -> None:
        del device

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """As asked for."""
        return self.where


class FakeCuda(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs operations of fake CUDA tensors on the CPU; see the module."""

    _running: "FakeCuda | None" = None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: list[str] = []
        """What would have made the host wait, "operation at file:line", in order."""
        self.host_numbers: list[str] = []
        """Where a number on the host met the device: allowed, but no part of a CUDA graph."""

    @classmethod
    def current(cls) -> "FakeCuda":
        """The one in force."""
        if cls._running is None:
            raise RuntimeError("a fake CUDA tensor lives on after its device is gone")
        return cls._running

    def wait(self, what: str) -> None:
        """Notes that the host waits."""
        self.waits.append(f"{what} at {_caller()}")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        return self.run(func, args, kwargs or {})

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """One operation, on whichever device its tensors and its `device` name."""
        name = func.__name__.split(".")[0]
        tensors = list(_tensors((*args, *kwargs.values())))
        on_device = any(isinstance(each, FakeCudaTensor) for each in tensors)
        asked = kwargs.get("device")
        target = torch.device(asked) if asked is not None else CUDA if on_device else HOST
        if on_device or target.type == "cuda":
            self._check(func, name, tensors)
            self._note(name, args, kwargs, target)
        if name == "_fused_sdp_choice":
            return 0  # attention by its formula: the choice among kernels is another on a device
        wrapped = {id(each.held): each for each in tensors if isinstance(each, FakeCudaTensor)}
        if asked is not None and target.type == "cuda":
            kwargs = {**kwargs, "device": HOST}
        args, kwargs = _each(_held, args), {key: _each(_held, own) for key, own in kwargs.items()}
        if kwargs.get("pin_memory"):
            kwargs = {**kwargs, "pin_memory": False}
        out = on_cpu(func, name, args, kwargs)
        if target.type != "cuda":
            host_writes = name == "copy_" and id(out) not in wrapped
            return out if host_writes or not wrapped else _each(_owned, out)
        if name == "copy_" and id(out) not in wrapped:
            return out
        return _each(lambda each: _on_device(each, wrapped), out)

    def _check(self, func: Any, name: str, tensors: list[Tensor]) -> None:
        where = {isinstance(each, FakeCudaTensor) for each in tensors}
        if len(where) < 2 or name in COPIES:
            return
        as_numbers = name in TAKES_HOST_NUMBERS or torch.Tag.pointwise in func.tags
        for each in tensors:
            if isinstance(each, FakeCudaTensor) or (name in INDEXING and each is not tensors[0]):
                continue  # indices of the host are copied, and noted
            if as_numbers and each.ndim == 0:
                self.host_numbers.append(f"{name} at {_caller()}")
            else:
                raise DevicesMixedError(
                    f"{name}: a tensor of the host, {tuple(each.shape)}, among those of the device "
                    f"at {_caller()}"
                )

    def _note(self, name: str, args: Any, kwargs: Any, target: torch.device) -> None:
        by_values = name == "repeat_interleave" and kwargs.get("output_size") is None
        if by_values or name in READS or name in SIZED_BY_VALUES:
            self.wait(name)
        elif name in INDEXING:
            indices = [each for each in args[1] if each is not None]
            by_mask = any(each.dtype in (torch.bool, torch.uint8) for each in indices)
            from_host = any(not isinstance(each, FakeCudaTensor) for each in indices)
            if by_mask or from_host:
                self.wait(f"{name} by {'a mask' if by_mask else 'indices of the host'}")
        elif name == "_to_copy":
            crosses = isinstance(args[0], FakeCudaTensor) != (target.type == "cuda")
            self._copied(crosses, target, non_blocking=bool(kwargs.get("non_blocking")))
        elif name == "copy_":
            into, source = args[0], args[1]
            crosses = isinstance(into, FakeCudaTensor) != isinstance(source, FakeCudaTensor)
            onto = CUDA if isinstance(into, FakeCudaTensor) else HOST
            asked = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
            self._copied(crosses, onto, non_blocking=bool(asked))

    def _copied(self, crosses: bool, target: torch.device, *, non_blocking: bool) -> None:
        if not crosses:
            return
        if target.type == "cuda" and not non_blocking:
            self.wait("a copy to the device that blocks")
        elif target.type == "cpu" and non_blocking:
            raise DevicesMixedError(f"a copy to the host that nobody waits for at {_caller()}")
        elif target.type == "cpu":
            self.wait("a copy to the host")


class Asked(TorchFunctionMode):
    """Sees what Python asks for: says which CUDA device is meant, and whose generator draws."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        if func is torch.device:
            return _with_index(func(*args, **kwargs))
        if any(_is_cuda_name(each) for each in (*args, *kwargs.values())):
            args = tuple(CUDA if _is_cuda_name(each) else each for each in args)
            kwargs = {key: CUDA if _is_cuda_name(each) else each for key, each in kwargs.items()}
        if func is Tensor.new_tensor and isinstance(args[0], FakeCudaTensor):
            kwargs = {"device": CUDA, **kwargs}
        generator = kwargs.get("generator")
        if isinstance(generator, torch.Generator):
            where = kwargs.get("device")
            if where is None:
                tensors = [each for each in args if isinstance(each, Tensor)]
                where = tensors[0].device if tensors else HOST
            if generator.device.type != torch.device(where).type:
                raise DevicesMixedError(
                    f"{func.__name__}: a generator of {generator.device} for numbers on {where} "
                    f"at {_caller()}"
                )
        return func(*args, **kwargs)


def _with_index(device: torch.device) -> torch.device:
    return CUDA if device.type == "cuda" else device


def _is_cuda_name(value: Any) -> bool:
    if isinstance(value, torch.device):
        return value.type == "cuda"
    return isinstance(value, str) and value == "cuda"


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_each(change, one) for one in value)
    return change(value)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, FakeCudaTensor) else value


def _owned(value: Any) -> Any:
    """A copy of its own: on the host nothing shares memory with the device."""
    return value.clone() if isinstance(value, Tensor) else value


def _on_device(value: Any, wrapped: dict[int, FakeCudaTensor]) -> Any:
    """What an operation gave, on the device; tensors that it wrote to stay the objects they are."""
    if not isinstance(value, Tensor) or isinstance(value, FakeCudaTensor):
        return value
    return wrapped[id(value)] if id(value) in wrapped else FakeCudaTensor(value)


def _caller() -> str:
    """The innermost line that is neither torch's nor this file's."""
    for frame, line in traceback.walk_stack(sys._getframe(1)):
        name = frame.f_code.co_filename
        if not Path(name).name.startswith("fake_cuda") and TORCH not in name:
            return f"{Path(name).name}:{line}"
    return "torch"
