"""Fronts of a Postgres, each on a port of its own: TLS that is ended there, or a refusal."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST: Final = "127.0.0.1"
SSL_REQUEST: Final = 80877103
GSS_REQUEST: Final = 80877104
SECONDS: Final = 20


class Authority:
    """A CA whose certificate is a file, and servers' certificates of it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(directory.name)
        self._certificate = self._certify(self._name, self._key)
        self.file = directory / "root.crt"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, name: str, *, days: int = 1) -> ssl.SSLContext:
        """The TLS of a server that has this name, or address. Of less than no days: it has run out."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certified("server", name, days=days))
        return context

    def certified(self, subject: str, *names: str, days: int = 1) -> Path:
        """A file with a new key, and a certificate of it: for this subject, and a server's names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certify(_named(subject), key, names, days)
        chain = self._directory / f"{subject}.pem"
        chain.touch(0o600)
        chain.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return chain

    def _certify(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: Sequence[str] = (),
        days: int = 1,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=3))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(
                x509.BasicConstraints(ca=subject == self._name, path_length=None), critical=True
            )
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]),
                critical=False,
            )
        return builder.sign(self._key, hashes.SHA256())


def _named(subject: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])


def _general_name(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def refusal(state: str, text: str, severity: str = "FATAL") -> bytes:
    """An ErrorResponse."""
    fields = {"S": severity, "V": "FATAL", "C": state, "M": text}
    body = b"".join(f"{kind}{value}\0".encode() for kind, value in fields.items()) + b"\0"
    return b"E" + struct.pack("!i", 4 + len(body)) + body


@contextlib.contextmanager
def front(
    *,
    upstream: int | None = None,
    tls: ssl.SSLContext | None = None,
    says: bytes = b"",
    heard: list[bytes] | None = None,
) -> Iterator[int]:
    """A port: TLS (or none), and behind it a server's port, or what is said to each start-up message.

    What a client says to that, at once, is `heard`.
    """
    with socket.create_server((HOST, 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=serve, args=(client,), daemon=True).start()

        def serve(client: socket.socket) -> None:
            with contextlib.suppress(OSError, EOFError), contextlib.ExitStack() as opened:
                client.settimeout(SECONDS)
                opened.callback(client.close)
                client, start_up = _negotiate(client, tls, opened)
                if upstream is None:
                    client.sendall(says)
                    answer = client.recv(65_536)
                    if heard is not None:
                        heard.append(answer)
                else:
                    _pass_on(client, upstream, start_up)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(SECONDS)


def _negotiate(
    client: socket.socket, tls: ssl.SSLContext | None, opened: contextlib.ExitStack
) -> tuple[socket.socket, bytes]:
    """Up to the start-up message, which is returned whole."""
    while True:
        head = _read(client, 8)
        length, code = struct.unpack("!ii", head)
        if code == SSL_REQUEST and tls is not None:
            client.sendall(b"S")
            encrypted = tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            opened.callback(encrypted.close)
            encrypted.do_handshake()
            client = encrypted
        elif code in {SSL_REQUEST, GSS_REQUEST}:
            client.sendall(b"N")
        else:
            return client, head + _read(client, length - 8)


def _pass_on(client: socket.socket, upstream: int, start_up: bytes) -> None:
    with socket.create_connection((HOST, upstream), SECONDS) as server:
        server.sendall(start_up)
        back = threading.Thread(target=_copy, args=(server, client), daemon=True)
        back.start()
        _copy(client, server)
        back.join(SECONDS)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _read(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += client.recv(count - len(data)) or _end()
    return data


def _end() -> bytes:
    raise EOFError
