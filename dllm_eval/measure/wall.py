"""Wall time for people: stages, time left, how long ago. No device is waited for.

Imports no torch, so that the command line may use it. Requests are timed by `clock.py`.
"""

from time import monotonic


def now_s() -> float:
    """Seconds since some fixed moment."""
    return monotonic()
