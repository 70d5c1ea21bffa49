"""Numbers and settings as people read them. Pure strings; called by everything in `report/`."""

import math
from collections.abc import Sequence

from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.contention import MARK
from dllm_eval.stats.resample import Interval
from dllm_eval.stats.row import Row
from dllm_eval.stats.series import TEXT_DIALS
from dllm_eval.stats.tables import Configuration

UNKNOWN_TEXT = "–"
NOT_REPORTED = "not reported"
"""By a server, of its answers: neither 0 nor a guess."""
BUSY_MARK = MARK
BUSY_NOTE = (
    f"{BUSY_MARK} measured while the machine was busy: time again on an idle one, with dllm-eval "
    "sweep SPEC --retime."
)


def fixed(value: float, *, digits: int = 1) -> str:
    """A number with so many decimals; zero has no sign."""
    # Adding a positive zero to a negative one gives a positive one.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def signed(value: float) -> str:
    """A number with one decimal and its sign; zero has none."""
    shown = fixed(value)
    return f"+{shown}" if float(shown) > 0 else shown


def percent(value: float, *, digits: int = 1) -> str:
    """A share of 1 as "84.0 %"."""
    return UNKNOWN_TEXT if math.isnan(value) else f"{fixed(100 * value, digits=digits)} %"


def seconds(value: float) -> str:
    """Seconds with three significant figures in the unit that suits them."""
    if math.isnan(value):
        return UNKNOWN_TEXT
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if value * factor >= 1.0:
            return f"{significant(value * factor)} {unit}"
    return f"{significant(value * 1e6)} µs"


def significant(value: float, *, figures: int = 3) -> str:
    """A positive number with so many significant figures and no exponent."""
    if not math.isfinite(value):
        return UNKNOWN_TEXT
    if value == 0:
        return "0"
    digits = figures - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):.{max(digits, 0)}f}"


COUNTED = ("steps", "samples")
"""Dials whose values are whole numbers."""


def count(value: float) -> str:
    """A mean count: whole where it is whole, else one decimal."""
    if math.isnan(value):
        return UNKNOWN_TEXT
    return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"


def reported(row: Row, value: float, shown: str) -> str:
    """A number's text, or that the row's server does not report it."""
    return NOT_REPORTED if math.isnan(value) and row.configuration.placement.served else shown


def counted(row: Row, value: float) -> str:
    """A mean count of one row, or that its server does not report it."""
    return reported(row, value, count(value))


def speed(row: Row) -> str:
    """Visible tokens per second of a row, or that its server does not report the tokens."""
    value = row.costs.visible_tokens_per_s
    told = significant(value)
    told += busy_mark(row.busy and told != UNKNOWN_TEXT)
    return told if math.isnan(row.latency_s) else reported(row, value, told)


def joules(value: float) -> str:
    """Energy with three significant figures in the unit that suits it."""
    if math.isnan(value):
        return UNKNOWN_TEXT
    return f"{significant(value)} J" if value >= 1 else f"{significant(1e3 * value)} mJ"


def size(value: float) -> str:
    """Bytes as MiB or GiB."""
    if math.isnan(value):
        return UNKNOWN_TEXT
    gibibytes = value / 2**30
    return f"{significant(gibibytes)} GiB" if gibibytes >= 1 else f"{value / 2**20:.0f} MiB"


def tick(value: float) -> str:
    """Seconds on an axis: as `seconds`, without trailing zeros."""
    number, unit = seconds(value).split(" ")
    return f"{float(number):g} {unit}"


def latency(row: Row) -> str:
    """A row's p50 seconds, with a mark where the machine was busy."""
    return seconds(row.latency_s) + busy_mark(row.busy)


def busy_mark(busy: bool) -> str:
    """The mark behind a number of seconds; "" where the machine was idle."""
    return f" {BUSY_MARK}" if busy else ""


def per_forward(row: Row) -> str:
    """Seconds of one forward pass of a row, with the mark of a busy machine."""
    told = seconds(row.costs.forward_s)
    return told if told == UNKNOWN_TEXT else told + busy_mark(row.busy)


def dial_mark(row: Row) -> str:
    """What stands beside a point of seconds: the dial's value, and the mark of a busy machine."""
    value = dial_value(row.configuration) if row.configuration.dial else ""
    return (value + busy_mark(row.busy)).strip()


def quality(row: Row) -> str:
    """A row's score; of a bound of a likelihood metric that it is one."""
    return row.scale.text(row.quality) + (" (a bound)" if row.likelihood == "bound" else "")


def bounds_note(rows: Sequence[Row]) -> str:
    """Whose likelihoods are bounds (ELBOs), for an axis or a panel; "" without any."""
    bounds = {row.configuration.kind for row in rows if row.likelihood == "bound"}
    if not bounds:
        return ""
    told = f"{' and '.join(sorted(bounds))}: a bound (ELBO)"
    exact = {row.configuration.kind for row in rows if row.likelihood == "exact"} - bounds
    return "; ".join([told, *(f"{kind}: exact" for kind in sorted(exact))])


def unit(analysis: TaskAnalysis) -> str:
    """What seconds and canvases are counted per: "question" of several choices, or "request"."""
    return analysis.table.unit


def alone(analysis: TaskAnalysis) -> str:
    """How latency was measured; the choices of one question are a batch of their own."""
    return "one question at a time" if analysis.table.unit == "question" else "batch size 1"


def work(analysis: TaskAnalysis) -> str:
    """What the records' `nfe` counts: forward passes, or canvases that share forward passes."""
    return "canvases scored" if analysis.likelihood else "forward passes"


def points(value: float) -> str:
    """A share of 1 as points without their unit: "0.42", "0" for exactly none."""
    return "< 0.01" if 0 < value < 1e-4 else significant(100 * value, figures=2)


def changed(row: Row) -> str:
    """The share of answers that another seed would change; "0 %" only where none can."""
    share = row.noise.changed_answers
    if share == 0:
        return "0 %"
    return "< 0.1 %" if share < 0.0005 else percent(share)


def noise(row: Row) -> str:
    """How much of a score another seed would change; "" where it is not known."""
    if math.isnan(row.noise.monte_carlo):
        return ""
    known = not math.isnan(row.noise.changed_answers)
    tail = f"; another seed would change {changed(row)} of answers" if known else ""
    return f"Monte-Carlo ± {points(row.noise.monte_carlo)} points{tail}"


def ratio(value: float) -> str:
    """A speed-up as "2.4x"."""
    return UNKNOWN_TEXT if math.isnan(value) else f"{significant(value)}x"


def dial(configuration: Configuration) -> str:
    """The dial's value with its name, for example "8 steps"."""
    value, name = dial_value(configuration), configuration.dial.replace("_", " ")
    if value == UNKNOWN_TEXT:
        return UNKNOWN_TEXT
    if configuration.dial not in COUNTED:
        return f"{name} {value}"
    return f"{value} {name.removesuffix('s') if value == '1' else name}"


def setting(configuration: Configuration) -> str:
    """What a row is among its model's: "klass", "entropy at 8 steps"; "" for the only one."""
    at = dial(configuration)
    known = "" if at == UNKNOWN_TEXT else at
    return " at ".join(part for part in (configuration.composition, known) if part)


def dial_value(configuration: Configuration) -> str:
    """The dial's value alone: a count of steps or samples, a number such as 0.95, or a word."""
    if not configuration.dial or math.isnan(configuration.dial_value):
        return UNKNOWN_TEXT
    word = configuration.settings.get(configuration.dial)
    if isinstance(word, str) and configuration.dial in TEXT_DIALS:
        return word
    if configuration.dial in COUNTED:
        return count(configuration.dial_value)
    return f"{configuration.dial_value:g}"


def dials(analysis: TaskAnalysis) -> list[str]:
    """The dials of the suite's series, steps first."""
    found = {x.dial for x in analysis.table.configurations if x.dial}
    return sorted(found, key=lambda dial: (dial not in COUNTED, dial))


def dial_name(analysis: TaskAnalysis) -> str:
    """What the suite's dial turns, for example "steps"; "setting" where series differ in it."""
    names = dials(analysis)
    return names[0].replace("_", " ") if len(names) == 1 else "setting"


def dial_text(analysis: TaskAnalysis, configuration: Configuration) -> str:
    """A row's dial, with its name where the suite has several dials."""
    return dial_value(configuration) if len(dials(analysis)) == 1 else dial(configuration)


def percent_interval(interval: Interval) -> str:
    """An interval of shares as "76.0 to 90.1"."""
    if math.isnan(interval.low):
        return UNKNOWN_TEXT
    return f"{fixed(100 * interval.low)} to {fixed(100 * interval.high)}"


def seconds_interval(interval: Interval) -> str:
    """An interval of seconds as "58.2 to 64.9 ms"."""
    if math.isnan(interval.low):
        return UNKNOWN_TEXT
    low, high = seconds(interval.low), seconds(interval.high)
    unit = high.split(" ")[1]
    return f"{low.removesuffix(f' {unit}')} to {high}"


QUANTITIES = {
    "log_likelihood": "log-likelihood",
    "elbo": "ELBO (a lower bound)",
    "importance_bound": "importance bound (a tighter lower bound)",
    "upper_bound": "upper bound (estimated)",
    "pseudo_log_likelihood": "pseudo-log-likelihood (not a likelihood)",
    "one_step": "one-step score (not a likelihood)",
}
"""Records' words for what a likelihood request estimates -> the report's."""


def quantity(name: str) -> str:
    """What was scored, in words; nothing that is no likelihood is called one."""
    return " + ".join(QUANTITIES.get(part, part) for part in name.split(" + "))
