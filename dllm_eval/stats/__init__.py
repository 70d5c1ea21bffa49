"""Statistics of a sweep: data frames in, data frames and plain arrays out.

Knows neither models nor files; imports neither torch nor lm-eval. `report/` calls `analysis`.
"""
