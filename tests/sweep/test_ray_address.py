"""A wrong address of a cluster is told at once; Ray itself would try for minutes."""

import socket

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.sweep.executors.ray import knock


def test_nobody_at_an_address_is_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UsageError, match=f"nobody answers at --ray-address 127.0.0.1:{port} "):
        knock(f"127.0.0.1:{port}")
    with pytest.raises(UsageError, match=r"nobody answers at --ray-address 127\.0\.0\.1:99999999 "):
        knock("127.0.0.1:99999999")


def test_somebody_at_an_address_and_other_addresses_are_left_to_ray() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        knock(f"127.0.0.1:{server.getsockname()[1]}")
    for address in ("auto", "local", "ray://127.0.0.1:1"):
        knock(address)
