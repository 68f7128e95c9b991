"""The Lambda function when a part fails: all comes again, and the error shows nothing of a message."""

from __future__ import annotations

import json
import traceback

import pytest

from tests.app.aws_lambda.calls import ADDRESS, DOCUMENTED, Context, delivered, failures, frames
from tests.kit.credentials_server import CredentialsServer, credentials
from tests.kit.declarations import SHOP_TOML
from tests.kit.fakes.login_events import login_event
from tests.kit.vault import Vault, sample_events
from vault_etl import aws_lambda
from vault_etl.base.errors import ConfigurationError, UnavailableError, VaultEtlError


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
    """The call commits no message then, so it fails as a whole, and all messages come again."""
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
    """The function keeps no writer that could not be made."""
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


def test_a_function_with_another_declaration_is_refused(
    function: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the fence: the call fails with exit code 78's error, stores nothing, and all messages come again."""
    event = delivered(function, [login_event().decode(), "junk"])
    path = function.home / "shop.toml"
    path.write_text(SHOP_TOML, encoding="utf-8")
    with monkeypatch.context() as shop:
        shop.setenv("VAULT_ETL_SCHEMA_FILE", str(path))
        with pytest.raises(ConfigurationError, match="is not the one in force") as refused:
            aws_lambda.handler(event, Context())
    assert refused.value.exit_code == 78
    assert (function.count("user_logins"), function.count("quarantine")) == (0, 0)
    assert failures(aws_lambda.handler(event, Context())) == []
    assert (function.count("user_logins"), function.count("quarantine")) == (1, 1)


def test_an_unknown_setting_is_told_in_json(
    function: Vault, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log is JSON whatever is wrong with the settings."""
    monkeypatch.setenv("VAULT_ETL_QUEUE", "x")
    with pytest.raises(ConfigurationError, match=r"VAULT_ETL_QUEUE.* is not a setting"):
        aws_lambda.handler(DOCUMENTED, Context())
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"]) == ("failed", "error")
    assert told["request_id"] == Context.aws_request_id
    assert function.count("quarantine") == 0


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


def test_an_unforeseen_error_quotes_nothing(
    function: Vault, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error of `int()` quotes its input: that text is in no log, no error, and no error behind them."""
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
