"""Wall time: stages and time left for people, and the moments of a server's answer.

No device is waited for, and no torch is imported, so that the command line and `endpoint/` may use
it. Requests that our own models answer are timed by `clock.py`.
"""

from time import monotonic, perf_counter


def now_s() -> float:
    """Seconds since some fixed moment."""
    return monotonic()


def instant_s() -> float:
    """Seconds since some fixed moment, as finely as the machine counts."""
    return perf_counter()
