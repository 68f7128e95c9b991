"""Events that are told apart by their queues alone: retries know the queue, and a file is told its event."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.two_events import HOME, WHY, order, sign_up
from tests.kit.declarations import TWO_EVENTS_TOML
from tests.kit.iam_fields import deployed
from tests.kit.months import name_of
from tests.kit.vault import Vault
from tests.kit.vaults import declared_vault
from vault_etl.declaration.read import read_declaration
from vault_etl.local.provision import EmulatorSession, provision_resources


def told_by_queue(signed: Vault) -> str:
    """Two events that are told apart by their queues: sign-ups come from the queue of the vault."""
    queue = signed.provisioned.queue_url.rpartition("/")[2]
    text = re.sub('when = .*"sign-up"}', f'queue = "{queue}"', TWO_EVENTS_TOML)
    return re.sub('when = .*"order"}', 'queue = "orders"', text)


@pytest.fixture
def by_queue(signed: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault of both events, where a card is personal in a sign-up and in clear in an order."""
    text = told_by_queue(signed) + 'note = {type = "text", max = 64, path = "$.card"}\n'
    with declared_vault(signed, tmp_path, text) as vault:
        yield vault


def test_events_are_told_apart_by_their_queues(by_queue: Vault, tmp_path: Path) -> None:
    """A retry knows the queue of a message. Of a file, the event is said; otherwise nothing of it is loaded."""
    two, lines = by_queue, tmp_path / "lines.jsonl"
    two.send([sign_up("a", HOME)])
    assert two.ok("ingest", "ingest").json["stored"] == 1
    lines.write_text(f"{order('b')}\n{order('c' * 65)}\n", encoding="utf-8")
    load = ("ingest", "--file", str(lines))
    for options in ((), ("--dry-run",), ("--event", "refunds")):
        refused = two.run("ingest", *load, *options)
        assert refused.code == 2
        assert ("--event" in refused.stderr, "orders" in refused.stderr) == (True, True)
    planned = two.ok("ingest", *load, "--event", "orders", "--dry-run").json
    assert (planned["events"], planned["quarantined"]) == (1, 1)
    summary = two.ok("ingest", *load, "--event", "orders").json
    assert (summary["stored"], summary["quarantined"]) == (1, 1)
    assert (two.count("sign_ups"), two.count("orders")) == (1, 1)
    sign_ups = name_of(0, "sign_ups")
    two.ok("admin", "partitions", "detach", sign_ups, *WHY, "--yes")
    two.send([sign_up("late", HOME)])
    assert two.ok("ingest", "ingest").json["quarantined"] == 1
    two.ok("admin", "partitions", "attach", sign_ups, *WHY, "--yes")
    assert two.ok("re-encrypt", "quarantine", "retry", "--all", "--yes").json["moved"] == 1
    assert (two.count("sign_ups"), two.count("orders")) == (2, 1)
    assert two.sql("SELECT reason_code, queue FROM vault_etl.quarantine") == [
        ("field_too_long", "orders")
    ]


def test_a_file_of_another_event_than_its_name_says_is_quarantined(
    by_queue: Vault, tmp_path: Path
) -> None:
    """Its card, personal in a sign-up and in clear in an order, is in no table, and a retry stores it nowhere."""
    lines = tmp_path / "sign-ups.jsonl"
    line = json.dumps(json.loads(sign_up("a", HOME)) | {"buyer": "a"})
    lines.write_text(f"{line}\n", encoding="utf-8")
    load = ("ingest", "--file", str(lines), "--event", "orders")
    (reason,) = by_queue.ok("ingest", *load, "--dry-run").json["reasons"]
    assert (reason["reason_code"], reason["path"]) == ("no_event", "$.card")
    assert by_queue.ok("ingest", *load).json["quarantined"] == 1
    assert by_queue.ok("re-encrypt", "quarantine", "retry", "--all", "--yes").json["moved"] == 0
    assert (by_queue.count("sign_ups"), by_queue.count("orders")) == (0, 0)
    assert by_queue.sql("SELECT reason_code, path, queue FROM vault_etl.quarantine") == [
        ("no_event", "$.card", "orders")
    ]


def test_a_record_is_in_the_table_of_one_event(signed: Vault, tmp_path: Path) -> None:
    """A line that both events take is stored once, whatever `--event` says later."""
    text = told_by_queue(signed).replace("$.client.ip", "$.ip").replace("$.client.user", "$.buyer")
    lines = tmp_path / "lines.jsonl"
    lines.write_text(
        json.dumps({"buyer": "a", "ip": HOME, "is_new": True}) + "\n", encoding="utf-8"
    )
    with declared_vault(signed, tmp_path, text) as vault:
        for event, new in (("orders", 1), ("sign_ups", 0), ("orders", 0)):
            summary = vault.ok("ingest", "ingest", "--file", str(lines), "--event", event).json
            assert (summary["stored"], summary["duplicates"]) == (new, 1 - new)
        assert (vault.count("orders"), vault.count("sign_ups")) == (1, 0)


@pytest.mark.iam
def test_the_template_has_the_queue_that_an_event_names(by_queue: Vault) -> None:
    """Ingest drains it by the policies of this declaration, and by no others."""
    declaration = read_declaration(by_queue.overrides["VAULT_ETL_SCHEMA_FILE"])
    admin = by_queue.provisioned.credentials["admin"]
    with deployed(by_queue, declaration):
        made = provision_resources(EmulatorSession(by_queue.endpoint, admin), declaration)
        assert made.queue_url.rpartition("/")[2] == "orders"
        sqs = EmulatorSession(by_queue.endpoint, admin).client("sqs")
        sqs.send_message(QueueUrl=made.queue_url, MessageBody=order("b"))
        of_orders = {"VAULT_ETL_QUEUE_URL": made.queue_url}
        assert by_queue.ok("ingest", "ingest", extra=of_orders).json["stored"] == 1
    assert (by_queue.count("sign_ups"), by_queue.count("orders")) == (0, 1)
    assert by_queue.run("ingest", "ingest", extra=of_orders).code == 77
