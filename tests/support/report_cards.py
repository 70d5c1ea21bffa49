"""Cards of the first look, made by hand."""

from dllm_eval.report.first_look import Card, Level, Winner


def card(
    suite: str,
    winner: Winner,
    level: Level,
    *,
    place: str = "laptop",
    scores_alone: bool = False,
    bounded: bool = False,
) -> Card:
    """One that says who is better, and nothing else."""
    return Card(
        suite=suite,
        place=place,
        winner=winner,
        headline="",
        contestants=(),
        level=level,
        sure="",
        caveats=(),
        models=(),
        scores_alone=scores_alone,
        bounded=bounded,
    )
