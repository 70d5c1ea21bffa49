"""One look for every figure: colours, markers, fonts, and files that repeat byte for byte.

Colours are Okabe and Ito's (2008), distinct to colour-blind readers; markers differ as well.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

DIFFUSION_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
AUTOREGRESSIVE_COLOURS = ("#D55E00", "#000000", "#7F7F7F")
DIFFUSION_MARKERS = ("o", "s", "^", "v", "P")
AUTOREGRESSIVE_MARKERS = ("D", "X", "*")
INK = "#222222"
FAINT = "#6b6b6b"

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "svg.hashsalt": "dllm-eval",
    "svg.fonttype": "path",
    "figure.facecolor": "white",
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one model is drawn, everywhere."""

    colour: str
    marker: str


def looks(models: Sequence[tuple[str, str]]) -> dict[str, Look]:
    """A look for each (model, kind), the same for the same set of models."""
    out: dict[str, Look] = {}
    used = {"diffusion": 0, "autoregressive": 0}
    for model, kind in sorted(set(models), key=lambda x: (x[1] != "diffusion", x[0])):
        autoregressive = kind == "autoregressive"
        i = used[kind]
        used[kind] += 1
        colours = AUTOREGRESSIVE_COLOURS if autoregressive else DIFFUSION_COLOURS
        markers = AUTOREGRESSIVE_MARKERS if autoregressive else DIFFUSION_MARKERS
        out[model] = Look(colour=colours[i % len(colours)], marker=markers[i % len(markers)])
    return out


@contextmanager
def applied() -> Iterator[None]:
    """The style in force; figures are drawn and saved inside."""
    with mpl.rc_context():
        mpl.rcParams.update(RC)  # type: ignore[arg-type]  # its stub lists every key as a literal
        yield


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Writes name.svg and name.png (160 dpi); no date, so equal input gives equal bytes."""
    paths = [out / f"{name}.svg", out / f"{name}.png"]
    figure.savefig(paths[0], metadata={"Date": None})
    figure.savefig(paths[1], dpi=160, metadata={"Software": None})
    return paths
