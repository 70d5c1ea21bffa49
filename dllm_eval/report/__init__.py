"""Leaderboard, figures and one self-contained page, from a results folder's records alone.

Touches neither torch nor lm-eval. `cli.py` calls `write_report`.
"""

from dllm_eval.report.write import ReportPaths as ReportPaths
from dllm_eval.report.write import write_frames as write_frames
from dllm_eval.report.write import write_report as write_report
