"""One look for every figure: colours, markers, fonts, and files that repeat byte for byte.

The first colours are Okabe and Ito's (2008), distinct to colour-blind readers; markers differ as
well, so that twenty series of one kind have twenty colours, and eighty differ in one of the three.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure

DIFFUSION_COLOURS = (
    *("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"),
    *("#332288", "#A0A000", "#882255", "#9467E0", "#84563C"),
    *("#003000", "#FC00FC", "#00003C", "#0000FC", "#480018"),
    *("#006C00", "#CC009C", "#7800CC", "#005460", "#FC1860"),
)
AUTOREGRESSIVE_COLOURS = ("#D55E00", "#000000", "#7F7F7F", "#A4161A", "#5F4B00")
DIFFUSION_MARKERS = ("o", "s", "^", "v", "P", "p", "<", ">", "h", "d")
Line = Literal["-", "--", "-.", ":"]
LINES: tuple[Line, ...] = ("-", "--", "-.", ":")
AUTOREGRESSIVE_MARKERS = ("D", "*", "H")
"""No cross: it says "not clearly above chance"."""
FEW = 4
"""So many series have room for their legend above a panel, their bands and all their labels."""
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
    """How one series is drawn, everywhere."""

    colour: str
    marker: str
    line: Line = "-"


def looks(series: Sequence[tuple[str, str]]) -> dict[str, Look]:
    """A look for each (series, kind), the same for the same set of series.

    Behind the last marker the line changes; behind the last colour colours begin again.
    """
    out: dict[str, Look] = {}
    used = {"diffusion": 0, "autoregressive": 0}
    for name, kind in sorted(set(series), key=lambda x: (x[1] != "diffusion", x[0])):
        autoregressive = kind == "autoregressive"
        colours = AUTOREGRESSIVE_COLOURS if autoregressive else DIFFUSION_COLOURS
        markers = AUTOREGRESSIVE_MARKERS if autoregressive else DIFFUSION_MARKERS
        number = used[kind]
        turn = number // len(markers)
        used[kind] += 1
        out[name] = Look(
            colour=colours[number % len(colours)],
            marker=markers[(number + 3 * turn) % len(markers)],
            line=LINES[turn % len(LINES)],
        )
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
