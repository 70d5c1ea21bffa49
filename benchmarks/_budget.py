"""What the parts of the GPU benchmark should take, and which of them a time budget has room for.

A pass takes as long as the slowest of three: reading the weights, the arithmetic, and, where each
operation is launched by itself, the launches. The figures of the device are those of an NVIDIA
H200; the counts of launches were read off our own passes on a CPU, in bfloat16, operation by
operation (views apart). Knows arithmetic and the clock; nothing of models and tables. `gpu.py`
calls it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from _models import Shape

from dllm_eval.measure.wall import now_s

BYTES_PER_S = 4.8e12
"""Of an H200's memory: NVIDIA's data sheet of the H200."""
FLOPS_PER_S = 6e14
"""Attained in matrix products in bfloat16, of 9.89e14 on the data sheet: an assumption."""
LAUNCH_S = 5e-6
"""From one operation to the next in eager code, the host's work: an assumption, of 4 to 6."""
SMALL_KERNEL_S = 2e-6
"""A kernel that does next to nothing, inside a graph: an assumption."""
LAUNCHES_A_LAYER = 40
LAUNCHES_A_PASS = 16
LAUNCHES_A_STEP = 54
"""What our loop adds to a pass."""
CACHE_LAUNCHES_A_LAYER = 2
FUSED_KERNELS_A_LAYER = 10
"""Left of a layer's 40 once they are compiled: 7 products, attention, norms: an assumption."""
HALF = 2
"""Bytes of a number."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds of a pass of one shape, at batch 1."""

    shape: Shape

    @property
    def body(self) -> int:
        """Weights of the layers."""
        shape = self.shape
        layer = 4 * shape.width**2 + 3 * shape.width * shape.inner_width
        return shape.num_layers * layer

    @property
    def head(self) -> int:
        """Weights of the output head."""
        return self.shape.width * self.shape.vocab_size

    def device_s(self, positions: int, head_rows: int, *, held: int = 0) -> float:
        """Of the device alone: weights read, or arithmetic, whichever is longer.

        The last layer gives keys and values at every position, the rest at the head's rows alone.
        """
        shape = self.shape
        attention = 4 * shape.num_layers * positions * (positions + held) * shape.width
        left_out = self.body / shape.num_layers - 2 * shape.width**2
        products = self.body * positions - left_out * (positions - head_rows)
        flops = 2 * (products + self.head * head_rows) + attention
        kept = 2 * shape.num_layers * held * shape.width
        read = HALF * (self.body + (self.head if head_rows else 0) + kept)
        return max(flops / FLOPS_PER_S, read / BYTES_PER_S)

    def bare_s(self, positions: int) -> float:
        """An eager pass with logits at every position."""
        launches = LAUNCHES_A_PASS + LAUNCHES_A_LAYER * self.shape.num_layers
        return max(self.device_s(positions, positions), launches * LAUNCH_S)

    def step_s(self, positions: int, head_rows: int) -> float:
        """An eager step of our loop."""
        launches = LAUNCHES_A_STEP + LAUNCHES_A_PASS + LAUNCHES_A_LAYER * self.shape.num_layers
        device = self.device_s(positions, head_rows) + LAUNCHES_A_STEP * SMALL_KERNEL_S
        return max(device, launches * LAUNCH_S)

    def cached_step_s(self, block: int, held: int, *, graph: bool) -> float:
        """A step of one block behind a cache."""
        layers = self.shape.num_layers
        device = self.device_s(block, block, held=held) + LAUNCHES_A_STEP * SMALL_KERNEL_S
        if graph:
            copied = 4 * layers * held * self.shape.width * HALF  # into the graph's own inputs
            small = layers * FUSED_KERNELS_A_LAYER * SMALL_KERNEL_S
            return device + copied / BYTES_PER_S + small
        each = LAUNCHES_A_LAYER + CACHE_LAUNCHES_A_LAYER
        return max(device, (LAUNCHES_A_STEP + LAUNCHES_A_PASS + layers * each) * LAUNCH_S)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Lengths and repetitions."""

    prompt: int = 32
    steps: int = 8
    rounds: int = 20
    limit_s: float = 6.0
    """Of a row of a table, warm-up apart."""
    step_canvases: tuple[int, ...] = (512, 1024)
    graph_canvases: tuple[int, ...] = (512,)
    """Each is two more graphs to compile."""
    more_canvases: tuple[int, ...] = (128, 256, 2048, 4096)
    plain_canvases: tuple[int, ...] = (256, 512, 1024)
    """The first is the one with an aim of its own; at the others ours may not be slower."""
    cached_canvas: int = 1024
    break_even_canvases: tuple[int, ...] = (256, 512, 1024, 2048)
    batches: tuple[int, ...] = (1, 4, 16, 64)
    batch_canvas: int = 128
    lengths: tuple[int, ...] = (32, 64, 128, 256, 512)
    length_steps: tuple[int, ...] = (16, 64)
    length_rounds: int = 3
    waits_canvas: int = 16


FULL = Plan()
QUICK = Plan(
    steps=2,
    rounds=2,
    step_canvases=(16, 32),
    more_canvases=(8,),
    plain_canvases=(16, 32),
    cached_canvas=32,
    break_even_canvases=(16,),
    batches=(1, 2),
    batch_canvas=8,
    lengths=(8, 16),
    length_steps=(4, 8),
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A table."""

    heading: str
    predicted_s: float
    run: Callable[[], None]


@dataclass(kw_only=True)
class Budget:
    """Seconds that are left, judged by what the parts before have taken of what was predicted."""

    seconds: float
    began: float = field(default_factory=now_s)
    left_out: list[str] = field(default_factory=list)
    _predicted: float = 0.0
    _spent: float = 0.0

    def has_room_for(self, name: str, predicted_s: float) -> bool:
        """Whether a part can begin; one that cannot is taken down as left out.

        Args:
            name: Of the part.
            predicted_s: How long it should take.
        """
        slower = max(1.0, self._spent / self._predicted) if self._predicted else 1.0
        if now_s() - self.began + slower * predicted_s <= self.seconds:
            return True
        self.left_out.append(name)
        return False

    def took(self, predicted_s: float, spent_s: float) -> None:
        """Learns from a part that is over."""
        self._predicted += predicted_s
        self._spent += spent_s

    @property
    def spent_s(self) -> float:
        """Since the beginning."""
        return now_s() - self.began
