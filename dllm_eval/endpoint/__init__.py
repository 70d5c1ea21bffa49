"""Asks servers over HTTP: one request and its answer, many in flight, and what goes wrong.

Knows the OpenAI-compatible routes and Mercury's; knows neither lm-eval nor tensors nor records.
`adapters/api.py` translates between lm-eval and this.
"""
