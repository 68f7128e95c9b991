"""The walls around unit tests stand."""

import os
import socket

import pytest
from pytest_socket import SocketBlockedError


def test_a_unit_test_cannot_open_a_socket() -> None:
    """A socket cannot even be created."""
    with pytest.raises(SocketBlockedError), pytest.warns(UserWarning, match="socket"):
        socket.socket()


def test_a_unit_test_cannot_look_up_a_name() -> None:
    """Names are not resolved."""
    with pytest.raises(SocketBlockedError), pytest.warns(UserWarning, match="socket"):
        socket.getaddrinfo("localhost", 80)


def test_a_unit_test_sees_an_empty_environment() -> None:
    """No variable but pytest's own is set."""
    assert not [name for name in os.environ if not name.startswith("PYTEST_")]
