"""A recommendation from half a sweep says how many settings are not there yet."""

from typing import Any

import pandas as pd

from dllm_eval.report.advice import Asked, answer_frames
from dllm_eval.report.recommend import as_data, lines
from dllm_eval.stats.budget import Budget


def test_settings_that_are_not_finished_are_counted(one_suite: Any) -> None:
    cells = one_suite.cells.copy()
    cells.loc[cells["dial_value"].isin([17, 32]), "finished"] = False
    asked = Asked(
        task="Code by instruction",
        budget=Budget(latency_s=0.03, floor=None, percentile=50),
        model=None,
        machine=None,
    )
    found = answer_frames(cells, one_suite.requests, one_suite.scores, asked)
    assert "Left out: 2 settings not finished (run the sweep again)." in lines(found)
    assert as_data(found)["left_out_unfinished"] == 2
    load = cells.assign(purpose="load", finished=False, cell_id=cells["cell_id"] + "-load")
    both = pd.concat([one_suite.cells, load])
    rest = answer_frames(both, one_suite.requests, one_suite.scores, asked)
    assert not any("not finished" in line for line in lines(rest))
    whole = answer_frames(one_suite.cells, one_suite.requests, one_suite.scores, asked)
    assert not any("not finished" in line for line in lines(whole))
