"""What can go wrong with one try: worth another one, or not.

Plain exceptions that hold a line. They never leave the thread of the requests: `client.py` and
`probe.py` take the line alone to the calling thread and raise a `ServerError` there, on which no
other exception hangs, so that no request with its key can.
"""


class PassingError(Exception):
    """This try failed; the next may not."""

    def __init__(self, line: str, *, wait_s: float | None = None, shared: bool = False) -> None:
        """Say what failed.

        Args:
            line: What was wrong, without a full stop.
            wait_s: How long the server asks to be left alone; None where it does not say.
            shared: Whether all requests should hold back, as after a 429.
        """
        super().__init__(line)
        self.line = line
        self.wait_s = wait_s
        self.shared = shared


class FinalError(Exception):
    """No further try will help."""

    def __init__(self, line: str) -> None:
        """Say what was wrong and what is to be done, without a full stop."""
        super().__init__(line)
        self.line = line


class UsageRefusedError(Exception):
    """The server does not take `stream_options`; without it, the same request may be fine."""
