"""`ingest --file` and `ingest --dead-letters`, run as commands with the rights of the role ingest."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess

import pytest

from tests.ingest.sources.loads import NO_QUEUE, loaded, outcome
from tests.kit.fakes.login_events import login_event, sns_envelope
from tests.kit.vault import SAMPLES, Vault
from tests.kit.waiting import until
from vault_etl.app.batches import batch_writer
from vault_etl.app.parts import Parts
from vault_etl.base.pii import Pii
from vault_etl.records.messages import Message, Outcome
from vault_etl.settings.sources import load


def test_a_file_is_loaded_once(vault: Vault) -> None:
    """A second load stores nothing, compressed or not, under any file name."""
    copy = vault.home / "copy.jsonl.gz"
    copy.write_bytes(gzip.compress(SAMPLES.read_bytes()))
    assert loaded(vault, "--file", str(SAMPLES)) == (99, 0, 1, 0)
    assert loaded(vault, "--file", str(SAMPLES)) == (0, 99, 0, 1)
    assert loaded(vault, "--file", "copy.jsonl.gz") == (0, 99, 0, 1)
    assert (vault.count("user_logins"), vault.count("quarantine")) == (99, 1)


def test_standard_input_is_loaded_once_per_source(vault: Vault) -> None:
    """Lines added since are new."""
    lines = [login_event(user_id=f"u-{n}").decode() for n in range(100)]
    source = ("--file", "-", "--source", "today")
    assert loaded(vault, *source, stdin="\n".join(lines[:50])) == (50, 0, 0, 0)
    assert loaded(vault, *source, stdin="\n".join(lines)) == (50, 50, 0, 0)
    assert loaded(vault, "--file", "-", "--source", "other", stdin=lines[0]) == (1, 0, 0, 0)


def test_a_large_file_is_loaded_whole(vault: Vault) -> None:
    """The file needs many batches, and each line is stored once."""
    content = b"\n".join(login_event(user_id=f"u-{n}") for n in range(5_000))
    (vault.home / "f").write_bytes(content)
    assert loaded(vault, "--file", "f") == (5_000, 0, 0, 0)
    assert vault.sql("SELECT count(DISTINCT user_id) FROM vault_etl.user_logins") == [(5_000,)]


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["--file", "gone"], 66, "there is no file gone"),
        (["--file", "."], 2, "is a directory"),
        (["--file", "-"], 2, "needs --source"),
        (["--file", "long"], 65, "line 2 of long is longer than 1,048,576 bytes"),
        (["--file", "cut.gz"], 65, "cut.gz is damaged or cut off"),
        (["--file", "plain.zst"], 65, "plain.zst is not what its name says"),
        (["--file", "gzip"], 65, "gzip is compressed"),
        (["--file", "good", "--sent", "1969-12-31"], 2, "before 1970"),
        (["--file", "good", "--source", ""], 2, "after --source is empty"),
    ],
)
def test_content_that_cannot_be_loaded_loads_nothing(
    vault: Vault, args: list[str], code: int, text: str
) -> None:
    """The error says why, with an exit code of its own."""
    line = login_event() + b"\n"
    (vault.home / "good").write_bytes(line)
    (vault.home / "long").write_bytes(line + b"x" * 1_048_577 + b"\n")
    (vault.home / "cut.gz").write_bytes(gzip.compress(line)[:-1])
    (vault.home / "plain.zst").write_bytes(line)
    (vault.home / "gzip").write_bytes(gzip.compress(line))
    done = vault.run("ingest", "ingest", *args, extra=NO_QUEUE)
    assert (done.code, done.stdout) == (code, "")
    assert text in done.stderr
    assert vault.count("user_logins") == vault.count("quarantine") == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stream_that_never_ends_can_be_stopped(vault: Vault, number: int) -> None:
    """The lines that have come are loaded; exit 75, since the end has not come.

    The command prints no warning of open files.
    """
    process = subprocess.Popen(
        vault.command("ingest", "--file", "-", "--source", "s", "--output", "json"),
        env=vault.environment("ingest"),
        cwd=vault.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(login_event() + b"\n" + login_event())
    process.stdin.flush()
    until(lambda: vault.count("user_logins"))
    os.kill(process.pid, number)
    assert process.wait(timeout=20) == (130 if number == signal.SIGINT else 75)
    stdout, stderr = process.communicate()
    assert outcome(json.loads(stdout)) == (1, 0, 0, 0)
    assert b"Warning" not in stderr
    assert b"Exception ignored" not in stderr


def test_an_interrupted_load_leaves_no_file_open(vault: Vault) -> None:
    """No warning is printed, and the next load continues with the missing lines."""
    (vault.home / "f").write_bytes(b"\n".join([login_event()] * 30))
    summary = vault.ok(
        "ingest", "ingest", "--file", "f", "--max-messages", "10", "--output", "json"
    )
    assert outcome(summary.json) == (10, 0, 0, 0)
    assert "Warning" not in summary.stderr
    assert loaded(vault, "--file", "f") == (20, 10, 0, 0)


@pytest.fixture
def mortal(vault: Vault) -> Vault:
    """A vault with a new queue and a new dead-letter queue."""
    vault.emulator.client("sqs").delete_queue(QueueUrl=vault.provisioned.dead_letter_url)
    vault.renew_queue()
    return vault


def received(vault: Vault) -> list[Message]:
    """Return the messages of a worker that gives them back at once."""
    answer = vault.emulator.client("sqs").receive_message(
        QueueUrl=vault.provisioned.queue_url,
        VisibilityTimeout=0,
        WaitTimeSeconds=0,
        MessageSystemAttributeNames=["SentTimestamp"],
    )
    return [
        Message(m["MessageId"], "", Pii(m["Body"].encode()), int(m["Attributes"]["SentTimestamp"]))
        for m in answer.get("Messages", [])
    ]


def test_dead_letters_are_loaded_and_the_queue_stays_unread(mortal: Vault) -> None:
    """The role ingest stores or quarantines them, and deletes them from their queue."""
    sqs = mortal.emulator.client("sqs")
    url = mortal.provisioned.dead_letter_url
    for body in (login_event().decode(), sns_envelope(login_event().decode()).decode(), "junk"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    mortal.send([login_event().decode()])
    done = mortal.ok("ingest", "ingest", "--dead-letters", "--output", "json")
    assert outcome(done.json) == (2, 0, 1, 0)
    assert done.json["deleted"] == 3
    assert mortal.depth() == (1, 0, 0)
    again = mortal.ok("ingest", "ingest", "--dead-letters", "--output", "json")
    assert again.json["received"] == 0


def test_a_dead_letter_that_was_stored_before_is_a_duplicate(mortal: Vault) -> None:
    """A worker killed repeatedly after its commit has stored the message once."""
    settings, _ = load(mortal.environment("ingest"))
    mortal.send([login_event().decode(), login_event().decode()])
    environment = mortal.environment("ingest")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        writer = batch_writer(Parts(settings))
    stored = received(mortal)[:1]
    assert writer.write(stored).outcomes == [Outcome.STORED]
    until(lambda: not received(mortal))
    done = mortal.ok("ingest", "ingest", "--dead-letters", "--output", "json")
    assert outcome(done.json) == (1, 1, 0, 0)
    assert mortal.count("user_logins") == 2
