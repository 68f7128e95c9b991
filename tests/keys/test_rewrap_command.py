"""`keys rewrap` through the real command: new bytes around the same keys, and nothing else changes."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.keys.wrapped_rows import changed, wrapped
from tests.kit.denials import denied
from tests.kit.events import events
from tests.kit.generations import reveal_all, send_and_wait
from tests.kit.processes import fails, finish, on_terminal, start
from tests.kit.proxy import Call, FaultProxy
from tests.kit.vault import Vault

KEYS = 6
"""Two token keys, the source key, and a data key for each of three fields."""


ROWS = (
    "SELECT (SELECT array_agg(r ORDER BY record_id) FROM user_logins r)::text,"
    " (SELECT array_agg(q ORDER BY record_id) FROM quarantine q)::text,"
    " (SELECT array_agg((key_id, state, fingerprint, expires_at) ORDER BY key_id) FROM data_keys)::text"
)


@pytest.mark.parametrize("role", ["rotate", "re-encrypt"])
def test_every_key_is_rewrapped_and_opens_as_before(filled: Vault, role: str) -> None:
    """All bytes are new; the KMS keys, the keys and all rows are the same, and all reveals work."""
    before, rows, revealed = wrapped(filled), filled.sql(ROWS), reveal_all(filled)
    assert filled.ok(role, "keys", "rewrap").json == {"rewrapped": KEYS}
    after = wrapped(filled)
    assert {key_id: arn for key_id, (arn, _) in after.items()} == {
        key_id: arn for key_id, (arn, _) in before.items()
    }
    assert not {each for _, each in before.values()} & {each for _, each in after.values()}
    assert filled.sql(ROWS) == rows
    assert reveal_all(filled) == revealed


@pytest.mark.iam
def test_a_caller_who_may_open_keys_has_them_proven(filled: Vault) -> None:
    """One key of each purpose and field is opened thrice; rotate, which KMS lets open none, says that it did not."""
    note = "the new wrapped keys were not verified"
    with FaultProxy(filled.endpoint) as kms:
        proven = filled.ok("re-encrypt", "keys", "rewrap", extra={"AWS_ENDPOINT_URL_KMS": kms.url})
        assert kms.operations().count("Decrypt") == 3 * KEYS
        assert note not in proven.stderr
        kms.calls.clear()
        blind = filled.ok("rotate", "keys", "rewrap", extra={"AWS_ENDPOINT_URL_KMS": kms.url})
        assert kms.operations().count("ReEncrypt") == KEYS
    assert blind.json == proven.json == {"rewrapped": KEYS}
    assert note in blind.stderr
    assert note not in filled.ok("rotate", "keys", "rewrap", "--quiet").stderr


def test_a_rewrap_of_a_key_is_on_the_record(filled: Vault) -> None:
    """Each has an intent and an outcome, with purpose, field and id; KMS gets the request's id."""
    before = filled.count("audit_log")
    with FaultProxy(filled.endpoint) as kms:
        filled.ok("re-encrypt", "keys", "rewrap", extra={"AWS_ENDPOINT_URL_KMS": kms.url})
        agents = {call.user_agent for call in kms.calls if call.operation == "ReEncrypt"}
    entries = filled.sql(
        "SELECT action, phase, decision, reason, fields::text, request_id::text FROM audit_log"
        " WHERE seq > %s AND action <> 'keys change' ORDER BY seq",
        before,
    )
    assert [(action, phase, decision) for action, phase, decision, *_ in entries] == KEYS * [
        ("keys rewrap", "intent", "allowed"),
        ("keys rewrap", "outcome", "done"),
    ]
    named = filled.sql(
        "SELECT format('%s key %s of %s', purpose, key_id, field),"
        " format('{%s}', nullif(field, 'source')) FROM data_keys"
    )
    assert {(reason, fields) for *_, reason, fields, _ in entries} == set(named)
    assert {f"request/{entry[-1]}" in " ".join(agents) for entry in entries} == {True}
    assert filled.ok("audit", "audit", "verify").json["ok"]


def test_a_dry_run_counts_and_asks_kms_nothing(filled: Vault) -> None:
    """A dry run changes no byte and writes no entry of the log."""
    before, entries = wrapped(filled), filled.count("audit_log")
    with FaultProxy(filled.endpoint) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        counted = filled.ok("rotate", "keys", "rewrap", "--dry-run", extra=extra)
        assert kms.calls == []
    assert counted.json == {"rewrapped": KEYS}
    assert (wrapped(filled), filled.count("audit_log")) == (before, entries)


def test_keys_of_an_earlier_dump_still_open(filled: Vault) -> None:
    """A rewrap takes nothing from old copies: restored, the old bytes open."""
    before, revealed = wrapped(filled), reveal_all(filled)
    filled.ok("rotate", "keys", "rewrap")
    for key_id, (_, old) in before.items():
        filled.sql("UPDATE data_keys SET wrapped_key = %s WHERE key_id = %s", old, key_id)
    assert reveal_all(filled) == revealed


def test_an_ingest_with_keys_in_memory_goes_on(quick: Vault) -> None:
    """The process keeps its keys and asks KMS for none; the fence, which compares fingerprints, stays open to it."""
    extra = {"VAULT_ETL_FOLLOW_WAIT": "0", "VAULT_ETL_LINGER": "0.2"}
    ingest = start(quick, "ingest", "ingest", "--follow", extra=extra)
    send_and_wait(quick, ingest, 20)
    keys = set(wrapped(quick))
    quick.ok("rotate", "keys", "rewrap")
    send_and_wait(quick, ingest, 40)
    ingest.terminate()
    assert finish(ingest).json["stored"] == 40
    assert set(wrapped(quick)) == keys
    assert len(reveal_all(quick)) == 40


def test_a_destroyed_key_is_left_alone(filled: Vault) -> None:
    """A destroyed key has no bytes to rewrap, and gets none."""
    key_id = a_data_key(filled)
    filled.sql("UPDATE data_keys SET state = 'decrypt_only' WHERE key_id = %s", key_id)
    filled.sql(
        "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL WHERE key_id = %s", key_id
    )
    assert filled.ok("rotate", "keys", "rewrap").json == {"rewrapped": KEYS - 1}
    assert wrapped(filled)[key_id][1] is None


def test_an_outage_of_kms_half_way_keeps_finished_keys(filled: Vault) -> None:
    """Exit 69; the next run rewraps all keys, and every row opens in between and after."""
    before, revealed = wrapped(filled), reveal_all(filled)
    calls: list[Call] = []

    def judge(call: Call) -> bool:
        calls.extend([call] if call.operation == "ReEncrypt" else [])
        return len(calls) <= 2

    with FaultProxy(filled.endpoint, judge) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        fails(filled.run("rotate", "keys", "rewrap", extra=extra), 69, "KMS")
    assert len(changed(filled, before)) == 2
    assert reveal_all(filled) == revealed
    assert failures(filled) == [("keys rewrap", "unavailable")]
    assert filled.ok("rotate", "keys", "rewrap").json == {"rewrapped": KEYS}
    assert len(changed(filled, before)) == KEYS
    assert reveal_all(filled) == revealed


def test_a_key_that_kms_refuses_is_named_and_the_others_are_done(filled: Vault) -> None:
    """Damaged bytes stay as they are, with the id at the end: exit 65, or 77 where moto says denied."""
    key_id, before = a_data_key(filled), wrapped(filled)
    filled.sql("UPDATE data_keys SET wrapped_key = 'damaged' WHERE key_id = %s", key_id)
    result = filled.run("rotate", "keys", "rewrap")
    said = {77: "KMS does not rewrap 1 keys", 65: "1 keys do not open as they are"}[result.code]
    assert f"{said}: {key_id}" in result.stderr
    assert result.json == {"rewrapped": KEYS - 1}
    assert bytes(wrapped(filled)[key_id][1]) == b"damaged"
    assert len(changed(filled, before) - {key_id}) == KEYS - 1
    assert failures(filled) == [("keys rewrap", "key_unavailable")]


def test_a_key_of_an_untrusted_kms_key_is_not_given_to_kms(filled: Vault) -> None:
    """The allow-list comes before the call."""
    key_id = a_data_key(filled)
    filled.sql("UPDATE data_keys SET kms_key_arn = 'arn:x' WHERE key_id = %s", key_id)
    with FaultProxy(filled.endpoint) as kms:
        result = filled.run("rotate", "keys", "rewrap", extra={"AWS_ENDPOINT_URL_KMS": kms.url})
        sent = [call.body for call in kms.calls if call.operation == "ReEncrypt"]
    assert result.code == 65
    assert str(key_id) in result.stderr
    assert len(sent) == KEYS - 1


def test_an_answer_of_other_kms_keys_is_not_stored(filled: Vault) -> None:
    """A blob under a KMS key that was not asked for would open for the users of that key."""
    before = wrapped(filled)
    arns = filled.provisioned.key_arns
    for other in ("KeyId", "SourceKeyId"):
        answer = {"KeyId": arns["data"], "SourceKeyId": arns["data"], "CiphertextBlob": "AAAA"}
        answer[other] = arns["audit"]
        body = json.dumps(answer).encode()

        def judge(call: Call, body: bytes = body) -> bool | bytes:
            return body if call.operation == "ReEncrypt" else True

        with FaultProxy(filled.endpoint, judge) as kms:
            extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
            assert filled.run("rotate", "keys", "rewrap", extra=extra).code == 65
        assert wrapped(filled) == before


def test_bytes_that_do_not_open_are_not_stored(filled: Vault) -> None:
    """Exit 65 before the old bytes are overwritten: a caller who may open keys sees it in time."""
    before = wrapped(filled)
    arn = filled.provisioned.key_arns["data"]
    answer = json.dumps({"KeyId": arn, "SourceKeyId": arn, "CiphertextBlob": "AAAA"}).encode()

    def judge(call: Call) -> bool | bytes:
        return answer if call.operation == "ReEncrypt" else True

    with FaultProxy(filled.endpoint, judge) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        fails(filled.run("re-encrypt", "keys", "rewrap", extra=extra), 65, "does not open")
    assert wrapped(filled) == before
    assert failures(filled) == [("keys rewrap", "integrity")]


def test_two_runs_at_once_count_each_key_once(filled: Vault) -> None:
    """The first swap of a key counts; each run counts its own swaps alone."""
    gate = threading.Barrier(2)

    def judge(call: Call) -> bool:
        if call.operation == "ReEncrypt" and not gate.broken:
            gate.wait(30)
        return True

    with FaultProxy(filled.endpoint, judge) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        both = [start(filled, "rotate", "keys", "rewrap", extra=extra) for _ in range(2)]
        counts = [finish(process).json["rewrapped"] for process in both]
    assert sum(counts) == KEYS, counts
    assert len(reveal_all(filled)) == 3


@pytest.mark.parametrize("role", ["reveal", "ingest", "audit", "erase", "analyst"])
def test_other_roles_may_not_rewrap_keys(filled: Vault, role: str) -> None:
    """Exit 77, on the record where the login may write it, and no byte has changed."""
    before, entries = wrapped(filled), filled.count("audit_log")
    fails(filled.run(role, "keys", "rewrap"), 77, "login")
    assert wrapped(filled) == before
    assert denied(filled, entries) == ([("keys rewrap", "role")] if role == "reveal" else [])


@pytest.mark.iam
def test_an_access_key_that_may_not_is_denied_once_a_field(filled: Vault) -> None:
    """Exit 77; a second data key of a field would be denied like the first, and is not asked for."""
    filled.send(events(1))
    filled.ok("ingest", "ingest")
    before = wrapped(filled)
    assert len(before) == KEYS + 2
    with FaultProxy(filled.endpoint) as kms:
        extra = filled.access_key("reveal") | {"AWS_ENDPOINT_URL_KMS": kms.url}
        result = filled.run("rotate", "keys", "rewrap", extra=extra)
        assert kms.operations().count("ReEncrypt") == KEYS
    assert result.code == 77
    assert f"KMS does not rewrap {KEYS + 2} keys" in result.stderr
    assert wrapped(filled) == before


def test_a_terminal_shows_the_progress_of_a_rewrap(filled: Vault) -> None:
    """A terminal gets a table, and the note about proof."""
    shown = on_terminal(filled, "rotate", "keys", "rewrap")
    assert shown.code == 0
    assert f"{KEYS}/{KEYS}" in shown.stdout


def a_data_key(vault: Vault) -> int:
    """The id of the data key of quarantined bodies, which no reveal of a record needs."""
    ((key_id,),) = vault.sql(
        "SELECT key_id FROM data_keys WHERE purpose = 'data' AND field = 'quarantine'"
    )
    assert isinstance(key_id, int)
    return key_id


def failures(vault: Vault) -> list[tuple[Any, ...]]:
    """Return action and error code of each failed outcome."""
    return vault.sql("SELECT action, error_code FROM audit_log WHERE decision = 'failed'")
