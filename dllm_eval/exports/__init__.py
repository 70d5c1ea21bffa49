"""Results in the formats of others: tidy tables, leaderboard result files, model cards.

Reads what `sweep.store` reads; imports neither torch nor lm-eval. `dllm-eval export` calls
`write_export`.
"""

from dllm_eval.exports.write import FORMATS, Exported, Format, write_export

__all__ = ["FORMATS", "Exported", "Format", "write_export"]
