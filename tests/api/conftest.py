"""Commands that start in milliseconds, for the whole session."""

from collections.abc import Iterator

import pytest
from forked_commands import Commands


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    with Commands() as found:
        yield found
