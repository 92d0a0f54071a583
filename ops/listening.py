"""The socket of a server of ours, taken before anything else begins: a port that is taken is told in one line."""

import socket

from errors import OneLineError


def listening(host: str, port: int, remedy: str) -> socket.socket:
    """A socket that listens there. Raises OneLineError, which ends with the remedy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), backlog=2048, family=family)
    except OSError as error:
        msg = f"{host}:{port} cannot be listened at: {error.strerror}; {remedy}"
        raise OneLineError(msg) from None
