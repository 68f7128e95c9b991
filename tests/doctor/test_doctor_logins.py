"""`vault-etl doctor` on logins: what they have, lack, and must not hold together."""

from __future__ import annotations

import pytest

from tests.kit.doctor import (
    KEYS,
    NOWHERE,
    lines,
    login,
    only,
    wrong,
)
from tests.kit.vault import Vault


def test_a_login_without_a_role_is_a_fault(vault: Vault) -> None:
    """Such a login cannot see keys either, which is no fault."""
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
    """By every other login, and by itself if it inherits a role; in an emulator it is said, and no fault."""
    roles = f"vault_etl_{opener}, vault_etl_{reader}"
    sts_away = {"AWS_ENDPOINT_URL_STS": NOWHERE}
    with login(vault, "test_both", f"{inherits} IN ROLE {roles}"):
        own = {"VAULT_ETL_DATABASE_URL": vault.server.url("test_both", vault.database)}
        idle = {"roles"} if inherits == "NOINHERIT" else set()  # it may, by SET ROLE, and does not
        for extra, said, less in ((own, "this login may", idle), ({}, "other logins that", set())):
            role = "admin" if extra else "ingest"  # by AWS's word the operator, who may everything
            emulated = lines(vault, role, code=78 if less else 0, extra=extra)["separation"]
            real = wrong(vault, role, {**extra, **sts_away})
            if less:  # it sees nothing of the vault, so others have to find it
                assert emulated["ok"] is None
                assert set(real) == {"aws_identity"} | less
                continue
            assert (emulated["ok"], f"warning: {said}" in emulated["detail"]) == (True, True)
            owner = {"members"} if reader == "owner" else set()
            assert set(real) == {"aws_identity", "separation"} | owner
            assert real["separation"]["detail"].startswith(said)
            assert bool(extra) or "test_both" in real["separation"]["detail"]


def test_a_login_that_may_only_grant_roles_holds_neither(vault: Vault) -> None:
    """PostgreSQL makes the creator of a role a member WITH ADMIN, who does not act as the role."""
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
    vault.sql("GRANT SELECT (next_masked_ip) ON vault_etl.user_logins TO test_ingest")
    found = wrong(vault, "ingest", {"AWS_ENDPOINT_URL_STS": NOWHERE})
    assert "this login may" in found["separation"]["detail"]


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
def test_a_login_without_its_aws_role_is_a_fault(
    loaded: Vault, role: str, expected: set[str]
) -> None:
    """A refusal of what the role must see is a fault; here the access key is an analyst's."""
    extra = loaded.access_key("analyst")
    if not expected:
        lines(loaded, role, code=0, extra=extra)
        return
    assert set(wrong(loaded, role, extra)) == expected


@pytest.mark.iam
def test_the_archive_key_is_for_a_login_that_acts_as_the_owner(vault: Vault) -> None:
    """With the owner's AWS role it is seen; with another it is a fault."""
    with login(vault, "test_owner", "IN ROLE vault_etl_owner"):
        own = {"VAULT_ETL_DATABASE_URL": vault.server.url("test_owner", vault.database)}
        for role, ok in (("owner", True), ("rotate", False)):
            found = {line["check"]: line for line in vault.run(role, "doctor", extra=own).lines}
            assert found["kms_archive_key"]["ok"] is ok, found["kms_archive_key"]


@pytest.mark.iam
def test_a_role_that_must_open_token_keys_and_may_not_is_a_fault(loaded: Vault) -> None:
    """The login is of ingest, and the access key of rotate, which describes keys and opens none."""
    extra = loaded.access_key("rotate")
    assert set(wrong(loaded, "ingest", extra)) == {"queue", "kms_contexts", "kms_permissions"}


def test_a_revoked_right_is_a_fault(vault: Vault) -> None:
    """A role that must have the right reports a fault."""
    vault.sql("REVOKE SELECT ON vault_etl.data_keys FROM vault_etl_ingest")
    found = wrong(vault, "ingest")
    # Not key_changes: there a function of the owner's looks.
    assert set(found) == KEYS - {"key_changes"} | {"trusted_keys", "schema"}
