"""The Lambda function: what it answers is what is committed, and nothing of a message shows."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.credentials_server import CredentialsServer, credentials
from tests.kit.fakes.login_events import login_event
from tests.kit.vault import Vault, sample_events
from vault_etl import aws_lambda
from vault_etl.base.errors import ConfigurationError, UnavailableError, VaultEtlError
from vault_etl.crypto.record_id import record_id_of_message

ADDRESS = "198.51.100.7"

DOCUMENTED = json.loads("""
{
    "Records": [
        {
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
            "body": "Test message.",
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1545082649183",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1545082649185"
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
            "awsRegion": "us-east-2"
        }
    ]
}
""")
"""An event as AWS's documentation shows it."""


class Context:
    """The context of a call of a function that may run for a minute."""

    aws_request_id = "8c5f8d9a-0000-4000-8000-000000000000"

    def __init__(self, left_ms: int = 60_000) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        """One minute, in milliseconds."""
        return self._left_ms


@pytest.fixture
def function(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """A cold function in this process, with the environment and the rights of the role ingest."""
    for name, value in vault.environment("ingest").items():
        monkeypatch.setenv(name, value)
    aws_lambda._writer.cache_clear()
    aws_lambda._log.cache_clear()
    yield vault
    aws_lambda._writer.cache_clear()
    aws_lambda._log.cache_clear()


def delivered(vault: Vault, bodies: list[str]) -> dict[str, Any]:
    """The event that Lambda makes of messages that it has received."""
    vault.send(bodies)
    sqs = vault.emulator.client("sqs")
    records: list[dict[str, Any]] = []
    while len(records) < len(bodies):
        received = sqs.receive_message(
            QueueUrl=vault.provisioned.queue_url,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["All"],
        )
        records += [_record(message) for message in received["Messages"]]
    return {"Records": records}


def _record(message: dict[str, Any]) -> dict[str, Any]:
    documented: dict[str, Any] = DOCUMENTED["Records"][0]
    return documented | {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
    }


def failures(answer: dict[str, Any]) -> list[str]:
    """The ids in an answer, which holds nothing else."""
    assert set(answer) == {"batchItemFailures"}
    assert all(set(failure) == {"itemIdentifier"} for failure in answer["batchItemFailures"])
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def frames(error: BaseException) -> list[str]:
    """The functions whose locals hang on an error: tools that report errors may send them on."""
    return [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]


def record_ids(vault: Vault) -> set[Any]:
    """The ids of all records and all quarantined messages."""
    rows = vault.sql(
        "SELECT record_id FROM public.user_logins UNION ALL SELECT record_id FROM public.quarantine"
    )
    return {record_id for (record_id,) in rows}


def test_what_lambda_brings_is_stored_or_quarantined(function: Vault) -> None:
    """Under the ids that ingest gives it; and once, however often it comes."""
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
    """The record id is made of that time, which no clock replaces: the message comes again, or dies."""
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
    assert function.sql("SELECT count(*) FROM public.data_keys WHERE purpose = 'data'") == [(2,)]
    assert aws_lambda._writer.cache_info().misses == 1


def _cut_connections(vault: Vault) -> None:
    ended = vault.sql(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'test_ingest'"
        " AND datname = current_database()"
    )
    assert ended == [(True,)]


def test_a_connection_that_was_lost_between_two_calls_is_made_again(function: Vault) -> None:
    """No process keeps the lease alive while this one is frozen."""
    aws_lambda.handler(delivered(function, [login_event().decode()]), Context())
    event = delivered(function, [login_event().decode()])
    _cut_connections(function)
    assert failures(aws_lambda.handler(event, Context())) == []
    assert function.count("user_logins") == 2


def test_no_second_try_is_begun_without_time_for_it(function: Vault) -> None:
    """All comes again then: nothing was committed, so the call fails as a whole."""
    aws_lambda.handler(delivered(function, [login_event().decode()]), Context())
    event = delivered(function, [login_event().decode()])
    _cut_connections(function)
    with pytest.raises(UnavailableError, match="connection to Postgres was lost") as caught:
        aws_lambda.handler(event, Context(left_ms=9_999))
    assert "write" not in frames(caught.value)  # which has the messages in its locals
    assert function.count("user_logins") == 1
    assert failures(aws_lambda.handler(event, Context(left_ms=9_999))) == []
    assert function.count("user_logins") == 2


def test_a_cold_function_without_its_database_fails_and_recovers(
    function: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that could not be made is not kept."""
    right = function.database_url("ingest")
    event = delivered(function, [login_event().decode()])
    monkeypatch.setenv("VAULT_ETL_DATABASE_URL", "postgresql://u@127.0.0.1:1/nowhere")
    with pytest.raises(UnavailableError, match="cannot be reached") as caught:
        aws_lambda.handler(event, Context())
    assert caught.value.__context__ is None  # libpq's own text, which quotes the connection
    monkeypatch.setenv("VAULT_ETL_DATABASE_URL", right)
    assert failures(aws_lambda.handler(event, Context())) == []


def test_a_function_without_credentials_for_a_moment_fails_and_recovers(
    function: Vault, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A function restored by SnapStart has an endpoint for credentials: the error may pass, and names it."""
    event = delivered(function, [sample_events()[0]])
    with CredentialsServer((503, b"")) as source:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", source.url)
        with pytest.raises(UnavailableError, match="container's endpoint"):
            aws_lambda.handler(event, Context())
        assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in capsys.readouterr().err
        source.reply = (200, credentials(function.environment("ingest"), 3600))
        assert failures(aws_lambda.handler(event, Context())) == []


def test_an_unknown_setting_is_told_in_json(
    function: Vault, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong with the settings, its log can be read."""
    monkeypatch.setenv("VAULT_ETL_QUEUE", "x")
    with pytest.raises(ConfigurationError, match=r"VAULT_ETL_QUEUE.* is not a setting"):
        aws_lambda.handler(DOCUMENTED, Context())
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"]) == ("failed", "error")
    assert told["request_id"] == Context.aws_request_id
    assert function.count("quarantine") == 0


def test_no_records_is_no_work() -> None:
    """An event without records makes not even a connection."""
    aws_lambda._writer.cache_clear()
    assert failures(aws_lambda.handler({"Records": []}, Context())) == []
    assert aws_lambda._writer.cache_info().misses == 0


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        [],
        {"Records": None},
        {"Records": {}},
        {"Records": [None]},
        {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": ADDRESS}}]},
        {"Records": [{**DOCUMENTED["Records"][0], "eventSource": "aws:kinesis"}]},
        {"Records": [{**DOCUMENTED["Records"][0], "body": {"ip": ADDRESS}}]},
        {"Records": [{**DOCUMENTED["Records"][0], "messageId": None}]},
        {"Records": [{**DOCUMENTED["Records"][0], "messageId": "é"}]},
        {"Records": [*DOCUMENTED["Records"], {}]},
        {"requestContext": {"elb": {}}, "body": ADDRESS},
    ],
)
def test_an_event_of_something_else_is_refused(
    event: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole event is refused, by an error that names the right trigger and shows nothing of the event."""
    with pytest.raises(ConfigurationError, match="not of SQS") as caught:
        aws_lambda.handler(event, Context())
    assert "event source mapping" in str(caught.value.hint)
    assert ADDRESS not in capsys.readouterr().err


def test_an_error_that_nobody_thought_of_quotes_nothing(
    function: Vault, capsys: pytest.CaptureFixture[str]
) -> None:
    """`int()` quotes what it cannot read: that text is in no log, no error, and no chain behind it."""
    event = delivered(function, [login_event().decode()])
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = f"leak {ADDRESS}"
    with pytest.raises(
        VaultEtlError, match=r"a bug: ValueError at vault_etl/aws_lambda\.py"
    ) as caught:
        aws_lambda.handler(event, Context())
    error = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    shown = "".join(traceback.format_exception(error)) + capsys.readouterr().err
    assert "leak" not in shown
    assert ADDRESS not in shown
    assert "_message" not in frames(error)


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


def test_a_process_of_its_own_with_the_rights_of_its_role(vault: Vault) -> None:
    """The samples, in two warm calls: all stored but one, a line of JSON each, and nothing personal shown."""
    bodies = sample_events()
    bodies[-1] = bodies[-1].rstrip()[:-1] + ', "email": "ann@example.com"}'
    events = [delivered(vault, bodies[:50]), delivered(vault, bodies[50:])]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        env=vault.environment("ingest") | {"PYTHONPATH": str(Path(__file__).parents[2])},
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
