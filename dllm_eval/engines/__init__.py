"""Serving engines as programs: their command lines, their health, their end.

Knows processes and flags; knows neither lm-eval nor tensors. No engine is imported here or anywhere
else: each runs in a process of its own.
"""
