"""boto3 threads with batches and `execute_values`, with HMAC tokens and AES-256-GCM ciphertexts.

Each thread receives up to 100 messages, writes them in one transaction, and deletes them, ten a call. DATABASE_URL and
QUEUE_URL say where, CONCURRENCY how many threads; it ends when the queue is empty.
"""

from __future__ import annotations

import datetime as dt
import hmac
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import boto3
import psycopg2
from botocore.config import Config
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg2.extras import execute_values

RECEIVES: Final = 10
"""Calls of one transaction, of ten messages each."""

_INSERT: Final = """INSERT INTO sealed_logins (message_id, user_id, device_type, masked_ip, masked_device_id,
    ip_ciphertext, device_id_ciphertext, locale, app_version, create_date) VALUES %s ON CONFLICT DO NOTHING"""


class Sealer:
    """Makes rows. Keys are random: nothing of a benchmark is opened again."""

    def __init__(self) -> None:
        self._aead = AESGCM(os.urandom(32))
        self._token_key = os.urandom(32)

    def row(self, message: dict[str, Any]) -> tuple[object, ...]:
        """Make the row of a message."""
        event = json.loads(message["Body"])
        ip, device_id = event["ip"].encode(), event["device_id"].encode()
        return (
            message["MessageId"],
            event["user_id"],
            event["device_type"],
            self._token(ip),
            self._token(device_id),
            self._sealed(ip),
            self._sealed(device_id),
            event["locale"],
            event["app_version"],
            dt.datetime.now(dt.UTC).date(),
        )

    def _token(self, value: bytes) -> str:
        return hmac.digest(self._token_key, value, "sha256")[:16].hex()

    def _sealed(self, value: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._aead.encrypt(nonce, value, None)


def load(sqs: Any, sealer: Sealer) -> None:  # noqa: ANN401 - a client of boto3
    """Load the queue until it is empty, with a connection of its own."""
    url = os.environ["QUEUE_URL"]
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    while messages := _receive(sqs, url):
        with connection, connection.cursor() as cursor:
            rows = [sealer.row(message) for message in messages]
            execute_values(cursor, _INSERT, rows, page_size=len(rows))
        handles = [message["ReceiptHandle"] for message in messages]
        for begin in range(0, len(handles), 10):
            entries = [
                {"Id": str(index), "ReceiptHandle": handle}
                for index, handle in enumerate(handles[begin : begin + 10])
            ]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    connection.close()


def _receive(sqs: Any, url: str) -> list[dict[str, Any]]:  # noqa: ANN401 - a client of boto3
    messages: list[dict[str, Any]] = []
    for _ in range(RECEIVES):
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        if not answer.get("Messages"):
            break
        messages += answer["Messages"]
    return messages


def main() -> None:
    """Load the queue by threads that share one client."""
    threads = int(os.environ["CONCURRENCY"])
    sqs = boto3.client("sqs", config=Config(max_pool_connections=threads))
    sealer = Sealer()
    with ThreadPoolExecutor(threads) as pool:
        for run in [pool.submit(load, sqs, sealer) for _ in range(threads)]:
            run.result()


if __name__ == "__main__":
    main()
