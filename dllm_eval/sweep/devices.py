"""Devices that a sweep's hours are told for, by their makers' figures.

Plain data; `estimate.py` reads it. Dense bfloat16 peak of the tensor cores, without sparsity, with
float32 accumulation:

- A100 80GB SXM: 312 TFLOP/s, 2039 GB/s (NVIDIA A100 Tensor Core GPU data sheet, 1758950-r4).
- H100 SXM: 989.4 TFLOP/s, 3.35 TB/s (NVIDIA H100 Tensor Core GPU architecture white paper and data
  sheet; the sheet prints 1979 TFLOP/s, which is with sparsity).
- H200 SXM: the same chip's 989.4 TFLOP/s, 4.8 TB/s (NVIDIA H200 Tensor Core GPU data sheet).
- RTX 4090: 165.2 TFLOP/s, 1008 GB/s (NVIDIA Ada GPU architecture white paper, appendix A).

The figures were checked against tables on the web that quote those sheets, not the sheets.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Device:
    """What bounds a forward pass."""

    name: str
    flops_per_s: float
    """Dense peak."""
    bytes_per_s: float
    """Memory bandwidth."""


DEVICES = (
    Device(name="A100 80GB", flops_per_s=312e12, bytes_per_s=2.039e12),
    Device(name="H100 SXM", flops_per_s=989.4e12, bytes_per_s=3.35e12),
    Device(name="H200", flops_per_s=989.4e12, bytes_per_s=4.8e12),
    Device(name="RTX 4090", flops_per_s=165.2e12, bytes_per_s=1.008e12),
)

UTILISATION = 0.4
"""The share of its peak that a device is taken to reach: an assumption, and printed as one."""
