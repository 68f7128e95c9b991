"""The take-home approach: a message at a time, SHA-256, INSERT and commit.

Its one batch is the receive, which costs it nothing. DATABASE_URL and QUEUE_URL say where; it ends when the queue is
empty.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os

import boto3
import psycopg2

_INSERT = "INSERT INTO user_logins VALUES (%s, %s, %s, %s, %s, %s, %s)"


def main() -> None:
    """Load the queue."""
    sqs, url = boto3.client("sqs"), os.environ["QUEUE_URL"]
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    with connection.cursor() as cursor:
        while True:
            received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            if not received.get("Messages"):
                break
            for message in received["Messages"]:
                cursor.execute(_INSERT, _row(json.loads(message["Body"])))
                connection.commit()
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    connection.close()


def _row(event: dict[str, str]) -> tuple[object, ...]:
    return (
        event["user_id"],
        event["device_type"],
        hashlib.sha256(event["ip"].encode()).hexdigest(),
        hashlib.sha256(event["device_id"].encode()).hexdigest(),
        event["locale"],
        event["app_version"],
        dt.datetime.now(dt.UTC).date(),
    )


if __name__ == "__main__":
    main()
