"""The reveal policy: the database decides before it searches a record, and logs the decision."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg2
import pytest

from tests.audit.logbook import Logbook
from tests.audit.people import ADDRESSES, DEVICE
from tests.kit.entries import append, append_committed
from tests.kit.processes import fails
from tests.kit.proxy import FaultProxy
from tests.kit.samples import UNKNOWN
from tests.kit.scratch import Scratch
from tests.kit.vault import Vault

FRAUD = {"fields": ["ip"], "masked_fields": ["device_id"], "ticket_pattern": "F-[0-9]+"}
PURPOSES = {
    "fraud": FRAUD,
    "support": {"fields": ["ip"]},
    "messages": {"fields": ["quarantine"]},
}
POLICY = {"reveals_an_hour": 1_000_000, "purposes": PURPOSES}
GENEROUS = {"reveals_an_hour": 1_000_000, "purposes": {}}

LAST = "SELECT phase, decision, error_code FROM audit_log ORDER BY seq DESC LIMIT 1"


def decided(database: Scratch, **changes: object) -> tuple[str, str | None]:
    """Return the decision and the code of an intent."""
    seq = append_committed(database, **changes)
    ((decision, code),) = database.sql(
        "SELECT decision, error_code FROM audit_log WHERE seq = %s", seq
    )
    return decision, code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"purpose": "fraud", "ticket": "F-12", "fields": ["ip"]}, None),
        ({"purpose": "support", "ticket": None, "fields": ["ip"]}, None),
        ({"purpose": "support", "fields": []}, "field"),
        ({"purpose": "support", "fields": [], "action": "reveal masked"}, "field"),
        ({"purpose": "support", "fields": [], "action": "quarantine show"}, "field"),
        ({"purpose": "support", "fields": ["ip"], "action": "quarantine show"}, "field"),
        ({"purpose": "messages", "fields": ["quarantine"], "action": "quarantine show"}, None),
        ({"purpose": "messages", "fields": ["quarantine"]}, "field"),
        ({"purpose": "support", "fields": [], "action": "find"}, None),
        ({"purpose": None}, "purpose"),
        ({"purpose": "Fraud", "ticket": "F-12", "fields": ["ip"]}, "purpose"),
        ({"purpose": "reveals_an_hour"}, "purpose"),
        ({"purpose": "support", "fields": ["device_id"]}, "field"),
        ({"purpose": "support", "fields": ["device_id", "ip"]}, "field"),
        ({"purpose": "fraud", "ticket": "F-12"}, "masked_only"),
        ({"purpose": "fraud", "ticket": "F-12", "action": "reveal masked"}, None),
        ({"purpose": "support", "action": "reveal masked"}, "field"),
        ({"purpose": "fraud", "ticket": None, "fields": ["ip"]}, "ticket"),
        ({"purpose": "fraud", "ticket": "F-", "fields": ["ip"]}, "ticket"),
        ({"purpose": "fraud", "ticket": "xF-12", "fields": ["ip"]}, "ticket"),
        ({"purpose": "fraud", "ticket": "F-12x", "fields": ["ip"]}, "ticket"),
        ({"purpose": "support", "action": "find", "fields": ["ip"]}, None),
        ({"purpose": "support", "action": "find", "fields": ["device_id"]}, "field"),
        ({"purpose": "fraud", "ticket": "F-1", "action": "find", "fields": ["device_id"]},
         "masked_only"),
        ({"purpose": "support", "action": "quarantine show", "fields": ["quarantine"]}, "field"),
    ],
)  # fmt: skip
def test_the_policy_decides_on_each_access(
    log: Logbook, changes: dict[str, object], code: str | None
) -> None:
    """The cases are purpose, fields, masking and ticket."""
    log.set_policy(json.dumps(POLICY))
    assert decided(log.database, **changes) == ("allowed" if code is None else "denied", code)


@pytest.mark.parametrize("action", ["keys rotate", "quarantine retry"])
def test_an_action_that_is_no_access_is_under_no_policy(log: Logbook, action: str) -> None:
    """An action that is not an access has no purposes and no quota."""
    log.set_policy(json.dumps({**POLICY, "reveals_an_hour": 0}))
    seq = append_committed(log.database, "re-encrypt", action=action, purpose=None)
    decision = log.database.value("SELECT decision FROM audit_log WHERE seq = %s", seq)
    assert decision == "allowed"


def test_a_policy_without_purposes_accepts_any_purpose(scratch: Scratch) -> None:
    """The default policy asks for a reason, and allows 50 an hour."""
    for turn in range(51):
        expected = ("allowed", None) if turn < 50 else ("denied", "quota")
        assert decided(scratch, purpose=str(turn), ticket=None) == expected


def test_a_denied_intent_discloses_nothing(log: Logbook) -> None:
    """The client may ignore the answer: the database still discloses no value."""
    log.set_policy(json.dumps({**POLICY, "reveals_an_hour": 0}))
    seq = append_committed(log.database)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        log.database.sql("SELECT * FROM vault_etl.audit_disclose(%s)", seq, role="reveal")


def test_a_client_cannot_allow_itself(log: Logbook) -> None:
    """An intent that a client denies itself does not count."""
    log.set_policy(json.dumps({**GENEROUS, "reveals_an_hour": 1}))
    assert decided(log.database, decision="denied", error_code="role") == ("denied", "role")
    assert decided(log.database)[0] == "denied"  # five looks of the fixture stand before it


def test_the_quota_is_of_the_last_hour_and_of_one_login(log: Logbook) -> None:
    """Older accesses do not count, nor those of another login, nor denied ones."""
    log.set_policy(json.dumps({**GENEROUS, "reveals_an_hour": 6}))
    assert decided(log.database) == ("allowed", None)  # the sixth
    assert decided(log.database) == ("denied", "quota")
    log.tamper("UPDATE audit_log SET login = 'somebody_else' WHERE seq = 5")
    assert decided(log.database) == ("allowed", None)
    assert decided(log.database, action="find") == ("denied", "quota")
    log.tamper(
        "UPDATE audit_log SET logged_at = logged_at - interval '61 minutes' WHERE seq IN (7, 9)"
    )
    assert decided(log.database, action="reveal masked") == ("allowed", None)
    assert decided(log.database) == ("allowed", None)
    assert decided(log.database) == ("denied", "quota")


def test_the_quota_holds_under_concurrency(log: Logbook) -> None:
    """Of 40 sessions that ask at once, exactly the allowed number succeed."""
    log.set_policy(json.dumps({**GENEROUS, "reveals_an_hour": 12}))  # 5 are used up
    barrier = Barrier(40)

    def ask(_: int) -> str:
        with log.database.connect("reveal") as opened, opened.cursor() as cursor:
            barrier.wait()
            seq = append(cursor)
        ((decision,),) = log.database.sql("SELECT decision FROM audit_log WHERE seq = %s", seq)
        return str(decision)

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(40)))
    assert (answers.count("allowed"), answers.count("denied")) == (7, 33)
    assert log.prove().problem is None


def test_a_policy_that_postgres_does_not_take_changes_nothing(log: Logbook) -> None:
    """A malformed pattern is refused when the policy is set, not at a later reveal."""
    broken = {"purposes": {"fraud": {"fields": ["ip"], "ticket_pattern": "("}}}
    with pytest.raises(psycopg2.errors.InvalidRegularExpression):
        log.set_policy(json.dumps(broken))
    assert log.database.value("SELECT count(*) FROM reveal_policies") == 1


@pytest.mark.parametrize("role", ["reveal", "audit", "rotate", "re-encrypt", "erase", "ingest"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO vault_etl.reveal_policies VALUES (1, '{}')",
        "UPDATE vault_etl.reveal_policies SET document = '{}'",
        "DELETE FROM vault_etl.reveal_policies",
        "TRUNCATE vault_etl.reveal_policies",
        "SELECT vault_etl.reveal_policy_set(gen_random_uuid(), 'a', 'h', 'r', '{}')",
        "SET ROLE vault_etl_owner",
    ],
)
def test_the_owner_alone_sets_the_policy(written: Logbook, role: str, statement: str) -> None:
    """No other login sets it, by the function or by hand."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        written.database.sql(statement, role=role)


@pytest.fixture
def restored(site: Vault) -> Iterator[Vault]:
    """The vault, whose policy is restored afterwards."""
    yield site
    site.set_policy(GENEROUS)


@pytest.mark.parametrize(
    ("policy", "asked", "words"),
    [
        (POLICY, (), "does not know this purpose"),
        (POLICY, ("--purpose", "support"), "does not allow this field"),
        (POLICY, ("--purpose", "fraud", "--ticket", "F-1"), "masked only"),
        (POLICY, ("--purpose", "fraud", "--masked"), "ticket of another form"),
        ({**GENEROUS, "reveals_an_hour": 0}, (), "quota"),
    ],
)
def test_denied_is_denied_for_any_id(
    restored: Vault, record_id: str, policy: dict[str, Any], asked: tuple[str, ...], words: str
) -> None:
    """Exit 77 before KMS is asked or the record is searched; an existing and an unknown record have the same words."""
    restored.set_policy(policy)
    answers = []
    for asked_id in (record_id, UNKNOWN):
        before = restored.count("audit_log")
        with FaultProxy(restored.endpoint) as kms:
            extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
            result = restored.run(
                "reveal", "reveal", asked_id, "--reason", "x", "--quiet", *asked, extra=extra
            )
        fails(result, 77, words)
        assert "Decrypt" not in kms.operations()
        assert restored.count("audit_log") == before + 1
        assert restored.sql(LAST)[0][:2] == ("intent", "denied")
        answers.append(result)
    assert answers[0] == answers[1]


def test_a_denied_field_withholds_all_fields(restored: Vault, record_id: str) -> None:
    """A denied field withholds the allowed field too."""
    restored.set_policy(POLICY)
    asked = ("reveal", record_id, "--reason", "x", "--purpose", "support")
    result = restored.run("reveal", *asked)
    fails(result, 77, "does not allow this field")
    assert not any(value in result.stderr for value in (*ADDRESSES, DEVICE))
    assert restored.ok("reveal", *asked, "--field", "ip").json["fields"]["ip"] in ADDRESSES


def test_masked_shows_the_end_alone(restored: Vault, record_id: str) -> None:
    """A mask shows the last octet, or the last two characters; the entry says that it was masked."""
    restored.set_policy(POLICY)
    asked = ("--reason", "x", "--purpose", "fraud", "--ticket", "F-1", "--masked")
    shown = restored.ok("reveal", "reveal", record_id, *asked)
    assert shown.json["fields"]["device_id"] == f"*{DEVICE[-2:]}"
    assert shown.json["fields"]["ip"] in {f"*.*.*.{a.rpartition('.')[2]}" for a in ADDRESSES}
    assert not any(value in shown.stdout + shown.stderr for value in (*ADDRESSES, DEVICE))
    listed = restored.ok("audit", "audit", "list", "--record", record_id).lines[-2:]
    assert {entry["action"] for entry in listed} == {"reveal masked"}


def test_the_policy_is_set_by_the_owner_and_shown_to_the_auditor(restored: Vault) -> None:
    """The document has one spelling, its entries have the digest, and `verify` agrees."""
    text = json.dumps({"reveals_an_hour": 7, "purposes": {"fraud": FRAUD}})
    done = restored.ok("admin", "audit", "policy", "set", "-", "--reason", "CISO-12", stdin=text)
    shown = restored.ok("audit", "audit", "policy").json
    assert shown == {"reveals_an_hour": 7, "tokens_an_hour": 10_000, "purposes": {"fraud": FRAUD}}
    assert {name: done.json[name] for name in shown} == shown
    entries = restored.ok("audit", "audit", "list").lines[-2:]
    assert [e["seq"] for e in entries] == [done.json["audit_seq"] - 1, done.json["audit_seq"]]
    assert {(e["action"], e["reason"]) for e in entries} == {("policy set", "CISO-12")}
    assert restored.ok("audit", "audit", "verify").json["ok"]


@pytest.mark.parametrize("role", ["audit", "reveal", "rotate", "erase", "analyst"])
def test_other_logins_may_not_set_the_policy(restored: Vault, role: str) -> None:
    """Exit 77, and the policy is as it was."""
    before = restored.sql("SELECT max(seq) FROM reveal_policies")
    result = restored.run(role, "audit", "policy", "set", "-", "--reason", "mine", stdin="{}")
    fails(result, 77, "Postgres")
    assert restored.sql("SELECT max(seq) FROM reveal_policies") == before


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{", 78),
        ('{"purposes": {"fraud": {"ticket_pattern": "("}}}', 78),
        ("x" * 70_000, 2),
    ],
    ids=["no JSON", "no pattern", "too long"],
)
def test_a_document_that_is_no_policy_is_refused(restored: Vault, document: str, code: int) -> None:
    """The error has a hint, and the policy is as it was."""
    before = restored.count("audit_log")
    asked = ("audit", "policy", "set", "-", "--reason", "x")
    fails(restored.run("admin", *asked, stdin=document), code, "policy")
    assert restored.count("audit_log") == before


def test_a_policy_file_that_does_not_exist_is_reported(restored: Vault) -> None:
    """Exit 66."""
    name = f"{uuid.uuid4()}.json"
    fails(restored.run("admin", "audit", "policy", "set", name, "--reason", "x"), 66, name)
