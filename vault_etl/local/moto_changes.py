"""Changes of moto: what differs from AWS, and what takes most of its time."""

from __future__ import annotations

import functools
import socket
import threading
import time
from typing import Any

import flask
from moto.kms import models as kms_models
from moto.kms import utils as kms_utils
from moto.kms.models import Key, KmsBackend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.sqs import models as sqs_models
from moto.sqs.models import Message, Queue, SQSBackend

_POLL_SECONDS = 0.05


def change_moto() -> None:
    """Change moto in this process, before its server starts."""
    _receive_one_at_a_time()
    delete_one_at_a_time()
    _remember_backends()
    _ask_the_clock_alone()
    _repair_replicas()


def _receive_one_at_a_time() -> None:
    """Make receives exclusive: two of moto's threads can return the same message, which SQS seldom does.

    Return no message to a caller that has hung up: a killed worker leaves long polls under way.
    """
    receive_now = SQSBackend.receive_message
    lock = threading.Lock()

    def receive(  # the names are moto's
        backend: SQSBackend,
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        *args: Any,  # noqa: ANN401 - passed on
        **kwargs: Any,  # noqa: ANN401 - passed on
    ) -> list[Message]:
        ends = time.monotonic() + wait_seconds_timeout
        while True:
            with lock:
                if _has_hung_up():  # perhaps while it waited for the lock
                    return []
                messages: list[Message] = receive_now(
                    backend, queue_name, count, 0, *args, **kwargs
                )
            if messages or time.monotonic() >= ends:
                return messages
            time.sleep(_POLL_SECONDS)

    SQSBackend.receive_message = receive  # type: ignore[assignment,method-assign]


def delete_one_at_a_time() -> None:
    """Make deletions exclusive, with sends: moto replaces the list of messages by a copy without the deleted one.

    Of two at once, the copy that comes last would bring a deleted message back, and lose what was sent meanwhile.
    """
    delete_now = Queue.delete_message

    def delete(queue: Queue, receipt_handle: str) -> None:  # the names are moto's
        with queue._messages_lock:  # noqa: SLF001 - the lock of a send
            delete_now(queue, receipt_handle)

    Queue.delete_message = delete  # type: ignore[assignment,method-assign]


def _has_hung_up() -> bool:
    """Tell whether the caller of the present request has closed its connection."""
    connection: socket.socket | None = flask.request.environ.get("werkzeug.socket")
    try:
        return connection is not None and not connection.recv(
            1, socket.MSG_PEEK | socket.MSG_DONTWAIT
        )
    except BlockingIOError:
        return False
    except OSError:
        return True


def _remember_backends() -> None:
    """Look up the backend of a host once: moto lists its own folder at every request."""
    dispatcher = DomainDispatcherApplication
    dispatcher.get_backend_for_host = functools.cache(dispatcher.get_backend_for_host)  # type: ignore[method-assign]


def _ask_the_clock_alone() -> None:
    """Take the time from the clock: moto makes two dates of it, for each message of a queue at each call."""
    vars(sqs_models)["unix_time"] = time.time
    vars(sqs_models)["unix_time_millis"] = lambda: time.time() * 1000


def _repair_replicas() -> None:
    """Give multi-Region keys ids of AWS's form, `mrk-` and 32 hex digits: moto's are too long for its ciphertexts.

    Replicate a key that is named by its ARN, as other calls do: moto does not take such an id by itself.
    """
    make, replicate = kms_utils.generate_key_id, KmsBackend.replicate_key

    def made(multi_region: bool = False) -> str:  # noqa: FBT001, FBT002 - moto's own signature
        found: str = make()
        return f"mrk-{found.replace('-', '')}" if multi_region else found

    def replicated(backend: KmsBackend, key_id: str, replica_region: str) -> Key:
        return replicate(backend, backend.any_id_to_key_id(key_id), replica_region)

    kms_models.generate_key_id = made  # type: ignore[attr-defined]
    KmsBackend.replicate_key = replicated  # type: ignore[assignment,method-assign]
