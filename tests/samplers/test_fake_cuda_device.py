"""The fake CUDA device itself: what a GPU would not allow, or would wait for, is found."""

from collections.abc import Callable

import pytest
import torch
from fake_cuda import CUDA, DevicesMixedError, fake_cuda, unavailable, waits_of
from torch import Tensor

WHY_NOT = unavailable()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")


@pytest.mark.parametrize(
    "read",
    [
        lambda t: t.tolist(),
        lambda t: t[0].item(),
        lambda t: bool(t.any()),
        lambda t: float(t.sum()),
        lambda t: int(t[1]),
        lambda t: 3.0 in t,
        lambda t: t.nonzero(),
        lambda t: t[t > 0],
        lambda t: t.masked_fill_(t > 0, 1.0)[t > 5],
        lambda t: t.__setitem__(t > 0, 1.0),
        lambda t: t.__setitem__(slice(0, 2), torch.tensor([1.0, 2.0])),
        lambda t: t.masked_select(t > 0),
        lambda t: t.unique(),
        lambda t: t.repeat_interleave(torch.ones_like(t).long()),
        lambda t: torch.equal(t, t),
        lambda t: t.cpu(),
        lambda t: t.to("cpu"),
        lambda t: t[torch.tensor([0, 1])],
        lambda t: t[[0, 1]],
        lambda t: torch.tensor([1.0, 2.0], device=t.device),
        lambda t: t.new_tensor([1.0]),
        lambda t: torch.ones(3).to(t.device),
    ],
)
def test_every_wait_is_seen(read: Callable[[Tensor], object]) -> None:
    with fake_cuda():
        tensor = torch.arange(3.0, device="cuda")
        assert len(waits_of(lambda: read(tensor))) == 1


def test_what_a_device_does_by_itself_is_no_wait() -> None:
    def work(tensor: Tensor) -> Tensor:
        tensor[:, 1] = -torch.inf
        tensor = torch.where(tensor > 0, tensor, 0.0).masked_fill(tensor > 5, -torch.inf)
        places = torch.tensor([1, 0]).to(tensor.device, non_blocking=True)
        tensor.index_copy_(0, places, tensor.flip(0)).scatter_(1, tensor.argsort(1), 2.0)
        generator = torch.Generator(tensor.device).manual_seed(1)
        return tensor + torch.rand(3, device=tensor.device, generator=generator) + torch.tensor(1.0)

    with fake_cuda():
        assert waits_of(lambda: work(torch.ones(2, 3, device="cuda"))) == []
        found = work(torch.ones(2, 3, device="cuda")).cpu()
    torch.testing.assert_close(found, work(torch.ones(2, 3)))  # and the numbers are right


@pytest.mark.parametrize(
    "mix",
    [
        lambda t: t + torch.ones(3),
        lambda t: torch.where(torch.ones(3) > 0, t, t),
        lambda t: t.index_select(0, torch.tensor([1])),
        lambda t: t.gather(0, torch.tensor([1])),
        lambda t: t.scatter(0, torch.tensor([1]), 0.0),
        lambda t: torch.cat([t, torch.ones(1)]),
        lambda t: t.index_copy(0, torch.tensor(0), t[:1]),
        lambda t: torch.ones(3).add_(t),
        lambda t: t.uniform_(generator=torch.Generator()),
        lambda t: torch.rand(3, device=t.device, generator=torch.Generator("cpu")),
        lambda t: t.to("cpu", non_blocking=True),
    ],
)
def test_every_mixture_is_an_error(mix: Callable[[Tensor], object]) -> None:
    with fake_cuda(), pytest.raises(DevicesMixedError, match=r"test_fake_cuda_device\.py:\d+"):
        mix(torch.ones(3, device=CUDA))


def test_the_device_is_gone_afterwards() -> None:
    with fake_cuda():
        tensor = torch.ones(3, device="cuda")
    assert torch.ones(3).device.type == "cpu"
    assert torch.Generator().manual_seed(1).device.type == "cpu"
    with pytest.raises(RuntimeError, match="after its device is gone"):
        tensor.add_(1)
    with pytest.raises((RuntimeError, AssertionError, NotImplementedError)):
        torch.ones(3, device="cuda")
