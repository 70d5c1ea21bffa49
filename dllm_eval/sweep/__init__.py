"""Plans the cells of a sweep, runs them through lm-eval and keeps every request's record.

`spec` (YAML -> Sweep), `plan` (Sweep -> cells), `cell` (one cell through lm-eval), `run` and
`executors` (cells over processes and machines), `folder` and `store` (files). The command line
calls it; reports read `store` alone, which imports neither torch nor lm-eval.
"""
