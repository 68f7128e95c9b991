"""`vault-etl doctor`: each thing that can be wrong with a vault is one line, and exit 78."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cli.events import event
from tests.cli.processes import on_terminal
from tests.proxy import Call, FaultProxy, closed_port
from tests.proxy import Verdict as Answer
from tests.vault import ROLES, Vault
from vault_etl.adapters.embedded.provision import provision_resources

Lines = dict[str, dict[str, Any]]
Extra = Mapping[str, str | None]

DAY = dt.timedelta(days=1)
NOWHERE = f"http://127.0.0.1:{closed_port()}"
SECRET = "sekret-Wort-4711"

CHECKS = [
    "settings",
    "aws_credentials",
    "aws_identity",
    "aws_endpoints",
    "kms_data_key",
    "kms_token_key",
    "kms_audit_key",
    "queue",
    "postgres",
    "postgres_tls",
    "migrations",
    "schema",
    "roles",
    "separation",
    "members",
    "partitions",
    "fence",
    "token_keys",
    "pending_token_keys",
    "key_changes",
    "data_key_age",
    "token_key_age",
    "trusted_keys",
    "kms_contexts",
    "audit_turn",
    "audit_key",
    "audit_log",
]
DATABASE = CHECKS[CHECKS.index("postgres") :]

LOG = {"audit_turn", "audit_key", "audit_log"}
KEYS = {"token_keys", "pending_token_keys", "key_changes", "data_key_age", "token_key_age"}
NOTHING = KEYS | {"kms_data_key", "kms_token_key", "queue", "trusted_keys", "kms_contexts"}
INVISIBLE: dict[str, set[str]] = {
    "ingest": {"kms_audit_key", *LOG},
    "reveal": {"queue", *LOG},
    "rotate": {"queue", "kms_contexts", *LOG},
    "re-encrypt": {"queue", *LOG},
    "erase": NOTHING | LOG,
    "audit": {"kms_data_key", "kms_token_key", "queue", "trusted_keys", "kms_contexts"},
    "analyst": NOTHING | {"kms_audit_key", *LOG},
}
"""What a role may not see."""


def lines(vault: Vault, role: str, *, code: int, extra: Extra | None = None) -> Lines:
    """What a role is told, by check; every check, once, in its place."""
    result = vault.run(role, "doctor", extra=extra)
    found = {line["check"]: line for line in result.lines}
    assert [line["check"] for line in result.lines] == CHECKS
    assert all(set(line) == {"check", "ok", "detail", "hint"} for line in found.values())
    assert all(line["detail"] for line in found.values())
    wrong = [name for name, line in found.items() if line["ok"] is False]
    assert all(found[name]["hint"] for name in wrong), found
    assert result.code == code, (wrong, result.stderr)
    assert result.stderr.startswith("vault-etl: error: not ok: ") if wrong else not result.stderr
    return found


def wrong(vault: Vault, role: str, extra: Extra | None = None) -> Lines:
    """The lines that are not ok, where there is one at least."""
    found = lines(vault, role, code=78, extra=extra)
    return {name: line for name, line in found.items() if line["ok"] is False}


def only(vault: Vault, role: str, check: str, extra: Extra | None = None) -> str:
    """The detail and the hint of the one line that is not ok."""
    found = wrong(vault, role, extra)
    assert set(found) == {check}, found
    return f"{found[check]['detail']} {found[check]['hint']}"


@pytest.mark.iam
@pytest.mark.parametrize("role", ROLES)
def test_a_sound_vault_is_sound_to_every_role(loaded: Vault, role: str) -> None:
    """Exit 0; what a role may not see is neither ok nor a fault, and nothing else is silent."""
    found = lines(loaded, role, code=0)
    silent = {name for name, line in found.items() if line["ok"] is None}
    assert silent == INVISIBLE[role]
    assert {found[name]["detail"] for name in silent} == {"not visible to this role"}
    assert found["roles"]["detail"] == role.replace("-", "_")


def test_it_changes_nothing(loaded: Vault) -> None:
    """No entry in the log, no key, no row."""
    tables = ("audit_log", "data_keys", "user_logins", "quarantine", "audit_checkpoints")
    before = [loaded.count(table) for table in tables]
    for role in ("ingest", "re-encrypt", "audit"):
        lines(loaded, role, code=0)
    assert [loaded.count(table) for table in tables] == before


def test_a_person_reads_a_table(loaded: Vault) -> None:
    """What is wrong has its hint behind it; the end says which checks."""
    shown = on_terminal(loaded, "ingest", "doctor", extra={"VAULT_ETL_DATA_KEY": "alias/none"})
    assert shown.code == 78
    for part in ("kms_data_key", "(hint:", "error: not ok: kms_data_key", "yes", "no "):
        assert part in shown.stdout, shown.stdout


def test_without_a_database_url_the_settings_are_at_fault(loaded: Vault) -> None:
    """And what rests on it is not looked at."""
    found = lines(loaded, "ingest", code=78, extra={"VAULT_ETL_DATABASE_URL": None})
    assert found["settings"]["ok"] is False
    assert {found[name]["detail"] for name in DATABASE} == {"needs settings"}
    assert {found[name]["ok"] for name in DATABASE} == {None}
    assert found["queue"]["ok"] is True


def test_without_a_queue_there_is_none_to_check(loaded: Vault) -> None:
    """Only ingest needs one."""
    found = lines(loaded, "ingest", code=0, extra={"VAULT_ETL_QUEUE_URL": None})
    assert found["queue"]["ok"] is None
    assert "VAULT_ETL_QUEUE_URL" in found["settings"]["detail"]


def test_a_weaker_sslmode_than_verify_full_is_told(loaded: Vault) -> None:
    """Of a second host that libpq may turn to, wherever the setting came from; a warning in an emulator."""
    url = loaded.environment("ingest")["VAULT_ETL_DATABASE_URL"]
    port = f":{loaded.server.port}/"
    two = url.replace(port, f"{port[:-1]},192.0.2.1{port}") + "?sslmode=prefer"
    found = lines(loaded, "ingest", code=0, extra={"VAULT_ETL_DATABASE_URL": two})
    assert found["postgres_tls"]["detail"].startswith("warning: sslmode=prefer to 192.0.2.1")
    assert lines(loaded, "ingest", code=0)["postgres_tls"]["detail"] == "on this machine"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"])
def test_an_endpoint_in_plain_text_is_a_fault(loaded: Vault, name: str) -> None:
    """Before any answer of it: nothing listens there."""
    away = {name: "http://[100::1]:9", "AWS_MAX_ATTEMPTS": "1"}
    found = wrong(loaded, "analyst", away)
    assert "in plain text, from 100::1" in found["aws_endpoints"]["detail"]
    # As in docker-compose.yml: AWS never gave this access key to anybody.
    found = wrong(loaded, "analyst", {**away, "AWS_ACCESS_KEY_ID": "test"})
    assert "aws_endpoints" not in found


def test_postgres_away_is_one_fault(loaded: Vault) -> None:
    """Everything about AWS is looked at all the same, and no password is shown."""
    url = f"postgresql://somebody:{SECRET}@127.0.0.1:{closed_port()}/x"
    result = loaded.run("ingest", "doctor", extra={"VAULT_ETL_DATABASE_URL": url})
    assert SECRET not in result.stdout + result.stderr
    found = lines(loaded, "ingest", code=78, extra={"VAULT_ETL_DATABASE_URL": url})
    assert [name for name, line in found.items() if line["ok"] is False] == ["postgres"]
    assert {found[name]["detail"] for name in DATABASE[1:]} == {"needs postgres"}
    assert found["kms_token_key"]["ok"] is True


def test_a_wrong_password_is_a_fault_of_postgres(loaded: Vault) -> None:
    """Not something that this role may not see."""
    right = loaded.server.passwords.of("test_ingest")
    url = loaded.database_url("ingest").replace(right, SECRET)
    assert "refuses this login" in only(
        loaded, "ingest", "postgres", {"VAULT_ETL_DATABASE_URL": url}
    )


def test_a_database_that_is_not_utf8_is_refused(loaded: Vault) -> None:
    """COPY sends UTF-8."""
    loaded.sql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        url = loaded.server.url("admin", "ascii")
        said = only(loaded, "admin", "postgres", {"VAULT_ETL_DATABASE_URL": url})
    finally:
        loaded.sql("DROP DATABASE ascii")
    assert "SQL_ASCII" in said


def test_a_pending_migration_is_named_and_nothing_after_it_is_asked(bare_vault: Vault) -> None:
    """What rests on the tables waits for them."""
    ((last,),) = bare_vault.sql(
        "DELETE FROM public.vault_etl_migrations WHERE name ="
        " (SELECT max(name) FROM public.vault_etl_migrations) RETURNING name"
    )
    assert last in only(bare_vault, "audit", "migrations")
    found = lines(bare_vault, "audit", code=78)
    assert {found[name]["detail"] for name in DATABASE[3:]} == {"needs migrations"}


def test_a_login_without_a_role_is_told_so(vault: Vault) -> None:
    """It sees nothing of the keys either, which is no fault."""
    with login(vault, "test_nobody"):
        extra = {"VAULT_ETL_DATABASE_URL": vault.server.url("test_nobody", vault.database)}
        assert "GRANT" in only(vault, "ingest", "roles", extra)


@pytest.mark.parametrize(
    ("opener", "reader", "inherits"),
    [
        ("ingest", "analyst", "INHERIT"),
        ("ingest", "re_encrypt", "NOINHERIT"),
        ("ingest", "owner", "NOINHERIT"),
        ("reveal", "analyst", "INHERIT"),
        ("reveal", "re_encrypt", "NOINHERIT"),
    ],
)
def test_who_opens_token_keys_and_reads_tokens_is_found(
    vault: Vault, opener: str, reader: str, inherits: str
) -> None:
    """By itself, and by every other login; in an emulator it is said, and no fault."""
    roles = f"vault_etl_{opener}, vault_etl_{reader}"
    sts_away = {"AWS_ENDPOINT_URL_STS": NOWHERE}
    with login(vault, "test_both", f"{inherits} IN ROLE {roles}"):
        own = {"VAULT_ETL_DATABASE_URL": vault.server.url("test_both", vault.database)}
        idle = {"roles"} if inherits == "NOINHERIT" else set()  # it may, by SET ROLE, and does not
        for extra, said, less in ((own, "this login may", idle), ({}, "other logins that", set())):
            role = "admin" if extra else "ingest"  # by AWS's word the operator, who may everything
            emulated = lines(vault, role, code=78 if less else 0, extra=extra)["separation"]
            assert (emulated["ok"], f"warning: {said}" in emulated["detail"]) == (True, True)
            real = wrong(vault, role, {**extra, **sts_away})
            owner = {"members"} if reader == "owner" else set()
            assert set(real) == {"aws_identity", "separation"} | less | owner
            assert real["separation"]["detail"].startswith(said)
            assert bool(extra) or "test_both" in real["separation"]["detail"]


def test_who_may_only_grant_roles_holds_neither(vault: Vault) -> None:
    """Who makes a role is a member WITH ADMIN, by PostgreSQL's own doing: not one who acts as it."""
    with login(vault, "test_deployer", "CREATEROLE"):
        for role in ("vault_etl_ingest", "vault_etl_reveal"):
            vault.sql(f"GRANT {role} TO test_deployer WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
        found = lines(vault, "ingest", code=78, extra={"AWS_ENDPOINT_URL_STS": NOWHERE})
    assert (found["separation"]["ok"], found["members"]["ok"]) == (True, True)
    assert "test_deployer may grant vault_etl_ingest, may grant" in found["members"]["detail"]


def test_members_that_may_more_are_a_line_each(vault: Vault) -> None:
    """With what to do, to every login; in an emulator it is a warning."""
    with login(vault, "test_owner", "IN ROLE vault_etl_owner"), login(vault, "test_root"):
        vault.sql("ALTER ROLE test_root SUPERUSER; GRANT vault_etl_audit TO test_root")
        result = vault.run("analyst", "doctor", extra={"AWS_ENDPOINT_URL_STS": NOWHERE})
        emulated = lines(vault, "analyst", code=0)["members"]
    told = {x["detail"]: x["hint"] for x in result.lines if x["check"] == "members"}
    assert list(told) == ["test_owner acts as vault_etl_owner", "test_root has SUPERUSER"]
    assert all("REVOKE" in hint for hint in told.values())
    assert result.stderr.count("members") == 1
    assert emulated["detail"].startswith("warning: test_owner acts as vault_etl_owner, test_root")


def test_one_column_is_enough_to_read_rows(vault: Vault) -> None:
    """A token granted to ingest's own login, beside any role."""
    vault.sql("GRANT SELECT (next_masked_ip) ON public.user_logins TO test_ingest")
    found = wrong(vault, "ingest", {"AWS_ENDPOINT_URL_STS": NOWHERE})
    assert "this login may" in found["separation"]["detail"]


def test_a_month_without_a_partition_is_named(vault: Vault) -> None:
    """Detached is as good as gone."""
    ((month,),) = vault.sql(
        "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM')"
    )
    vault.sql(f"ALTER TABLE public.user_logins DETACH PARTITION public.user_logins_{month}")
    found = wrong(vault, "analyst")
    assert set(found) == {"partitions", "schema"}
    assert month.replace("_", "-") in found["partitions"]["detail"]
    assert f"detached partition user_logins_{month}" in found["schema"]["detail"]


def test_a_row_in_the_fence_is_found(vault: Vault) -> None:
    """Even by a role that may not read it."""
    vault.sql("ALTER TABLE public.key_fence DROP CONSTRAINT key_fence_check")
    vault.sql("INSERT INTO public.key_fence VALUES (true)")
    found = wrong(vault, "analyst")
    assert set(found) == {"fence", "schema"}
    assert "key_fence is not empty" in found["fence"]["detail"]


def test_a_vault_without_token_keys_needs_them(bare_vault: Vault) -> None:
    """Nothing can be proved without, nor need it."""
    assert "keys init" in only(bare_vault, "re-encrypt", "token_keys")
    found = lines(bare_vault, "re-encrypt", code=78)
    assert found["kms_contexts"]["detail"] == "needs token_keys"


def test_a_generation_that_is_not_whole_is_damage(vault: Vault) -> None:
    """Here one field's key was retired by hand."""
    vault.sql(
        "UPDATE public.data_keys SET state = 'decrypt_only' WHERE purpose = 'token' AND field = 'ip'"
    )
    found = wrong(vault, "reveal")
    assert set(found) - {"kms_contexts"} == {"token_keys", "key_changes"}
    assert "generation 1 (active) is not whole" in found["token_keys"]["detail"]


def test_a_key_that_no_entry_explains_is_named(vault: Vault) -> None:
    """By its id, to every role that reads keys; `audit verify` names it too, and a rotation refuses it."""
    vault.register_audit_key()
    planted = {"ip": 1, "device_id": 2}
    for field, key_id in planted.items():
        vault.sql(
            "INSERT INTO public.data_keys (key_id, purpose, field, generation, state, kms_key_arn,"
            " wrapped_key, fingerprint) VALUES (%s, 'token', %s, 2, 'pending', %s, 'x', '8 bytes!')",
            key_id,
            field,
            vault.provisioned.key_arns["token"],
        )
    for role in ("ingest", "rotate", "audit"):
        assert "2 keys are not what the audit log says: 1, 2" in only(vault, role, "key_changes")
    proof = vault.run("audit", "audit", "verify")
    assert proof.code == 65
    assert "does not explain key 1" in proof.stdout + proof.stderr
    rotated = vault.run("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    assert rotated.code == 65
    assert "no entry of the audit log explains: 1, 2" in rotated.stderr
    assert "--abort" in rotated.stderr
    vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--abort", "--yes")
    assert lines(vault, "rotate", code=0)["key_changes"]["ok"] is True
    vault.ok("audit", "audit", "verify")


def test_a_token_rotation_that_was_left_is_found_after_a_day(vault: Vault) -> None:
    """Not before."""
    keys = [
        {
            "key_id": key_id,
            "purpose": "token",
            "field": field,
            "generation": 2,
            "wrapped_key": "00",
            "fingerprint": "00" * 8,
            "kms_key_arn": vault.provisioned.key_arns["token"],
        }
        for key_id, field in ((1, "ip"), (2, "device_id"))
    ]
    begin = "CALL public.commit_token_keys_begin(gen_random_uuid(), 'a', 'h', %s, NULL)"
    vault.sql(begin, json.dumps(keys), role="re-encrypt")
    assert "generation 2 pending" in lines(vault, "rotate", code=0)["token_keys"]["detail"]
    vault.grow_older(DAY + dt.timedelta(hours=1))
    assert "25 hours" in only(vault, "rotate", "pending_token_keys")


@pytest.mark.parametrize(
    ("check", "setting", "limit"),
    [
        ("data_key_age", "VAULT_ETL_DATA_KEY_MAX_AGE_DAYS", 90),
        ("token_key_age", "VAULT_ETL_TOKEN_KEY_MAX_AGE_DAYS", 365),
    ],
)
def test_keys_that_are_due_are_overdue(vault: Vault, check: str, setting: str, limit: int) -> None:
    """By the settings of whoever asks; 0 is never. A lease that is long over counts as well."""
    vault.send([event()])
    vault.ok("ingest", "ingest", extra={"VAULT_ETL_DRAIN_WAIT": "0"})
    vault.grow_older(limit * DAY - dt.timedelta(hours=1))
    never = {"VAULT_ETL_DATA_KEY_MAX_AGE_DAYS": "0", "VAULT_ETL_TOKEN_KEY_MAX_AGE_DAYS": "0"}
    mine: dict[str, str | None] = {**never, setting: None}
    assert lines(vault, "audit", code=0, extra=mine)[check]["ok"] is True
    vault.grow_older(dt.timedelta(hours=2))
    said = only(vault, "audit", check, mine)
    assert f"{limit} days old" in said
    assert "keys rotate" in said
    assert lines(vault, "audit", code=0, extra=never)[check]["detail"].endswith("never due")


def test_a_rotation_makes_data_keys_young_again(vault: Vault) -> None:
    """What was due is due no more."""
    vault.send([event()])
    vault.ok("ingest", "ingest", extra={"VAULT_ETL_DRAIN_WAIT": "0"})
    vault.grow_older(100 * DAY)
    assert "keys rotate" in only(vault, "rotate", "data_key_age")
    vault.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    assert lines(vault, "rotate", code=0)["data_key_age"]["ok"] is True


def test_a_key_that_a_stranger_wrapped_is_found(vault: Vault) -> None:
    """By the aliases, or by the list that stands in their place."""
    arns = vault.provisioned.key_arns
    listed = {"VAULT_ETL_TRUSTED_KEY_ARNS": f"{arns['data']},{arns['token']}"}
    assert lines(vault, "audit", code=0, extra=listed)["trusted_keys"]["ok"] is True
    found = wrong(vault, "audit", {"VAULT_ETL_TRUSTED_KEY_ARNS": arns["data"]})
    assert set(found) <= {"trusted_keys", "kms_contexts"}  # who may open keys is refused one, too
    assert "2 token keys" in found["trusted_keys"]["detail"]
    vault.sql("UPDATE public.data_keys SET kms_key_arn = %s", arns["data"])
    assert set(wrong(vault, "ingest")) == {"trusted_keys", "key_changes", "kms_contexts"}


@pytest.mark.parametrize("purpose", ["data", "token", "audit"])
def test_a_kms_key_is_there_enabled_and_of_its_kind(vault: Vault, purpose: str) -> None:
    """An alias that leads nowhere, a key that is disabled, one that is to end, one of another kind."""
    admin = vault.provisioned.credentials["admin"]
    kms = vault.emulator.client("kms")
    signs = purpose == "audit"
    kind = (
        {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
        if signs
        else {"KeyUsage": "ENCRYPT_DECRYPT"}
    )
    disabled = kms.create_key(**kind)["KeyMetadata"]["Arn"]
    kms.disable_key(KeyId=disabled.rpartition("/")[2])
    ending = kms.create_key(**kind)["KeyMetadata"]["Arn"]
    kms.schedule_key_deletion(KeyId=ending.rpartition("/")[2], PendingWindowInDays=7)
    other = vault.provisioned.key_arns["data" if signs else "audit"]
    for name, word in {
        "alias/nothing": "KMS",  # moto denies what is not there
        disabled: "Disabled",
        ending: "PendingDeletion",
        other: "it must be",
    }.items():
        extra: Extra = {
            f"VAULT_ETL_{purpose.upper()}_KEY": name,
            "AWS_ACCESS_KEY_ID": admin.access_key_id,
            "AWS_SECRET_ACCESS_KEY": admin.secret_access_key,
            "VAULT_ETL_TRUSTED_KEY_ARNS": ",".join(vault.provisioned.key_arns.values()),
        }
        assert word in only(vault, "rotate", f"kms_{purpose}_key", extra)


@pytest.mark.iam
@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("ingest", {"kms_data_key", "kms_token_key", "queue"}),
        ("reveal", {"kms_data_key", "kms_token_key", "kms_audit_key"}),
        ("rotate", {"kms_data_key", "kms_token_key", "kms_audit_key"}),
        ("re-encrypt", {"kms_data_key", "kms_token_key", "kms_audit_key"}),
        ("erase", {"kms_audit_key"}),
        ("audit", {"kms_audit_key"}),
        ("analyst", set()),
    ],
)
def test_a_login_without_the_aws_role_that_goes_with_it_is_found(
    loaded: Vault, role: str, expected: set[str]
) -> None:
    """What it ought to see, and may not, is a fault; here with the access key of an analyst."""
    key = loaded.provisioned.credentials["analyst"]
    extra = {
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
    }
    if not expected:
        lines(loaded, role, code=0, extra=extra)
        return
    assert set(wrong(loaded, role, extra)) == expected


@pytest.mark.iam
def test_who_may_not_open_a_token_key_and_ought_to_is_found(loaded: Vault) -> None:
    """Ingest's login with the access key of rotate, which describes keys and opens none."""
    key = loaded.provisioned.credentials["rotate"]
    extra = {
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
    }
    assert set(wrong(loaded, "ingest", extra)) == {"queue", "kms_contexts"}


def test_a_right_that_was_revoked_is_found(vault: Vault) -> None:
    """Of a role that ought to have it."""
    vault.sql("REVOKE SELECT ON public.data_keys FROM vault_etl_ingest")
    found = wrong(vault, "ingest")
    # Not key_changes: there a function of the owner's looks.
    assert set(found) == KEYS - {"key_changes"} | {"trusted_keys", "schema"}


@pytest.mark.iam
def test_credentials_that_aws_does_not_know_are_a_fault(loaded: Vault) -> None:
    """Of the identity, and of whatever their role would see."""
    extra = {"AWS_ACCESS_KEY_ID": "AKIAXXXXXXXXXXXXXXXX", "AWS_SECRET_ACCESS_KEY": SECRET}
    assert "STS denies this" in only(loaded, "analyst", "aws_identity", extra)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "no credentials"),
        (("AWS_REGION",), "no region"),
    ],
)
def test_without_credentials_or_region_nothing_of_aws_is_asked(
    loaded: Vault, missing: tuple[str, ...], words: str
) -> None:
    """One fault, and what rests on it says so."""
    extra: dict[str, str | None] = {"AWS_EC2_METADATA_DISABLED": "true"}
    extra |= dict.fromkeys(missing)
    assert words in only(loaded, "ingest", "aws_credentials", extra)
    found = lines(loaded, "ingest", code=78, extra=extra)
    resting = {name for name, line in found.items() if line["detail"] == "needs aws_credentials"}
    kms = {name for name in CHECKS if name.startswith("kms_")}
    signed = {"audit_key", "audit_log"}
    assert resting == kms | signed | {"aws_identity", "aws_endpoints", "queue", "trusted_keys"}


def test_aws_away_leaves_the_database_to_be_looked_at(loaded: Vault) -> None:
    """Each service is a fault of its own; what rests on KMS says so."""
    found = lines(loaded, "ingest", code=78, extra={"AWS_ENDPOINT_URL": NOWHERE})
    away = {name for name, line in found.items() if line["ok"] is False}
    assert away == {"aws_identity", "kms_data_key", "kms_token_key", "kms_audit_key", "queue"}
    assert found["kms_contexts"]["detail"] == "needs kms_token_key"
    assert found["token_keys"]["ok"] is True


@pytest.mark.parametrize("name", ["VisibilityTimeout", "RedrivePolicy", "", "dead"])
def test_a_queue_that_does_not_fit_is_found(vault: Vault, name: str) -> None:
    """One that hides too shortly, one without dead letters, none at all, and dead letters to nowhere."""
    sqs = vault.emulator.client("sqs")
    url = vault.provisioned.queue_url
    if name in {"", "dead"}:
        sqs.delete_queue(QueueUrl=vault.provisioned.dead_letter_url if name else url)
    else:
        value = "20" if name == "VisibilityTimeout" else ""
        sqs.set_queue_attributes(QueueUrl=url, Attributes={name: value})
    try:
        said = only(vault, "ingest", "queue")
    finally:
        if name:
            sqs.delete_queue(QueueUrl=url)
        provision_resources(vault.emulator)
    words = {"VisibilityTimeout": "20 s", "": "no such queue"}
    assert words.get(name, "dead-letter queue") in said


def test_a_kms_that_ignores_contexts_is_found(vault: Vault) -> None:
    """It opens a token key for whatever is asked."""
    stored = {str(key_id) for (key_id,) in vault.sql("SELECT key_id FROM public.data_keys")}

    def gullible(call: Call) -> Answer:
        if call.operation != "Decrypt":
            return True
        asked = json.loads(call.body)
        if asked["EncryptionContext"]["key_id"] in stored:
            return True
        opened = {"KeyId": asked["KeyId"], "Plaintext": "A" * 43 + "="}
        return json.dumps(opened).encode()

    with FaultProxy(vault.endpoint, gullible) as proxy:
        said = only(vault, "ingest", "kms_contexts", {"AWS_ENDPOINT_URL_KMS": proxy.url})
    assert "ignores the encryption context" in said


def test_a_token_key_that_nobody_can_open_is_found(vault: Vault) -> None:
    """It was damaged: not this role's lack of a right."""
    vault.sql(
        "UPDATE public.data_keys SET wrapped_key = set_bit(wrapped_key, bit_length(wrapped_key) - 1,"
        " 1 - get_bit(wrapped_key, bit_length(wrapped_key) - 1)) WHERE purpose = 'token'"
    )
    found = wrong(vault, "ingest")
    assert set(found) == {"kms_contexts", "key_changes"}
    assert "KMS does not open it" in found["kms_contexts"]["detail"]


def test_a_log_that_nobody_signs_is_found_after_a_day(vault: Vault) -> None:
    """And signing it mends it."""
    vault.sql(
        "SET session_replication_role = replica; DELETE FROM public.audit_checkpoints;"
        " UPDATE public.audit_log SET logged_at = logged_at - interval '2 days'"
    )
    assert "not signed, the oldest for 2 days" in only(vault, "audit", "audit_log")
    vault.ok("audit", "audit", "checkpoint")
    assert lines(vault, "audit", code=0)["audit_log"]["detail"] == "signed to its head"


def test_settings_that_cannot_be_read_end_it_before_the_first_check(loaded: Vault) -> None:
    """As they end every command."""
    result = loaded.run("ingest", "doctor", extra={"VAULT_ETL_TYPO": "1"})
    assert (result.code, result.stdout) == (78, "")
    assert "VAULT_ETL_TYPO" in result.stderr


@contextmanager
def login(vault: Vault, name: str, options: str = "") -> Iterator[None]:
    """A login of the cluster, for as long as a test needs it."""
    password = vault.server.passwords.of(name)
    vault.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' {options}")
    vault.sql(f'GRANT CONNECT ON DATABASE "{vault.database}" TO {name}')
    try:
        yield
    finally:
        vault.sql(f"DROP OWNED BY {name}")
        vault.sql(f"DROP ROLE {name}")
