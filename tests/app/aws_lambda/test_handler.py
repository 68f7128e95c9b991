"""The Lambda function answers what is committed, and shows nothing of a message."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.app.aws_lambda.calls import DOCUMENTED, Context, delivered, failures
from tests.kit.fakes.login_events import login_event
from tests.kit.vault import Vault, sample_events
from vault_etl import aws_lambda
from vault_etl.crypto.record_id import record_id_of_message


def record_ids(vault: Vault) -> set[Any]:
    """The ids of all records and all quarantined messages."""
    rows = vault.sql(
        "SELECT record_id FROM vault_etl.user_logins UNION ALL SELECT record_id FROM vault_etl.quarantine"
    )
    return {record_id for (record_id,) in rows}


def test_messages_are_stored_or_quarantined(function: Vault) -> None:
    """Records have the ids that ingest gives them, and are stored once, however often they come."""
    event = delivered(function, [login_event().decode(), login_event().decode(), "junk"])
    for _ in range(2):
        assert failures(aws_lambda.handler(event, Context())) == []
        assert (function.count("user_logins"), function.count("quarantine")) == (2, 1)
    assert record_ids(function) == {
        record_id_of_message(r["messageId"], int(r["attributes"]["SentTimestamp"]))
        for r in event["Records"]
    }


def test_the_event_of_the_documentation_is_taken(function: Vault) -> None:
    """The example's only message is not a login event, and is quarantined."""
    assert failures(aws_lambda.handler(DOCUMENTED, Context())) == []
    assert function.count("quarantine") == 1


def test_a_function_and_a_worker_do_not_store_twice(function: Vault) -> None:
    """A message that the function stored and Lambda did not delete is a duplicate for `ingest`."""
    event = delivered(function, [login_event().decode()])
    aws_lambda.handler(event, Context())
    sqs = function.emulator.client("sqs")
    sqs.change_message_visibility(
        QueueUrl=function.provisioned.queue_url,
        ReceiptHandle=event["Records"][0]["receiptHandle"],
        VisibilityTimeout=0,
    )
    summary = function.ok("ingest", "ingest", "--output", "json").json
    assert (summary["duplicates"], summary["stored"]) == (1, 0)


@pytest.mark.parametrize("sent", [None, "", "-1", "now", "٣", "1" * 5_000])
def test_a_record_without_its_time_of_sending_fails_alone(
    function: Vault, sent: str | None
) -> None:
    """The record id needs that time, which no clock replaces: the message comes again until it is dead-lettered."""
    event = delivered(function, [login_event().decode(), login_event().decode()])
    bad, good = event["Records"]
    bad["attributes"] = {} if sent is None else {"SentTimestamp": sent}
    assert failures(aws_lambda.handler(event, Context())) == [bad["messageId"]]
    assert record_ids(function) == {
        record_id_of_message(good["messageId"], int(good["attributes"]["SentTimestamp"]))
    }


def test_a_warm_call_makes_no_new_keys(function: Vault) -> None:
    """Keys are kept until their lease ends, and the connection is kept too."""
    for _ in range(3):
        aws_lambda.handler(delivered(function, [login_event().decode()]), Context())
    assert function.sql("SELECT count(*) FROM vault_etl.data_keys WHERE purpose = 'data'") == [(2,)]
    assert aws_lambda._writer.cache_info().misses == 1


def test_an_event_without_records_is_no_work() -> None:
    """An event without records does not even make a connection."""
    aws_lambda._writer.cache_clear()
    assert failures(aws_lambda.handler({"Records": []}, Context())) == []
    assert aws_lambda._writer.cache_info().misses == 0


RUN = """
import json, sys
from vault_etl.aws_lambda import handler

class Context:
    aws_request_id = "r-1"
    def get_remaining_time_in_millis(self):
        return 60_000

for line in sys.stdin:
    print(json.dumps(handler(json.loads(line), Context())))
"""


def test_the_samples_in_a_process_with_the_rights_of_the_role(vault: Vault) -> None:
    """Two warm calls store all samples but one, log a line of JSON each, and show no personal value."""
    bodies = sample_events()
    bodies[-1] = bodies[-1].rstrip()[:-1] + ', "email": "ann@example.com"}'
    events = [delivered(vault, bodies[:50]), delivered(vault, bodies[50:])]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        env=vault.environment("ingest") | {"PYTHONPATH": str(Path(__file__).parents[3])},
        cwd=vault.home,
        input="\n".join(map(json.dumps, events)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [failures(json.loads(line)) for line in done.stdout.splitlines()] == [[], []]
    assert (vault.count("user_logins"), vault.count("quarantine")) == (99, 1)
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in told] == ["batch", "batch"]
    assert sum(line["stored"] for line in told) == 99
    assert sum(line["quarantined"] for line in told) == 1
    assert [line["extra_field_names"] for line in told] == [{}, {"email": 1}]
    assert "example.com" not in done.stdout + done.stderr
    for body in bodies:
        ip = json.loads(body).get("ip") if body.startswith("{") else None
        assert not ip or str(ip) not in done.stderr
