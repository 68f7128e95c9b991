"""A field is added to a vault while `ingest` runs: nothing is lost, and each step comes by the real commands."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterable

import pytest

from tests.kit.declarations import DEFAULT, DEFAULT_TOML
from tests.kit.events import events
from tests.kit.iam_fields import deployed
from tests.kit.processes import finish, start
from tests.kit.vault import Vault
from tests.kit.waiting import until
from vault_etl.declaration.read import read_declaration

FIELD = '\n[fields.email]\nkind = "email"\n'
VALUE = "\n[events.user_logins.plain]"
OPTIONAL = DEFAULT_TOML.replace(VALUE, f"email = {{}}\n{VALUE}") + FIELD
REQUIRED = OPTIONAL.replace(
    VALUE, f"{VALUE}\nchannel = {{type = 'text', max = 8, required = true}}"
)
PLAIN = DEFAULT_TOML.replace(VALUE, f"{VALUE}\nemail = {{type = 'text', max = 64}}")


def setting(vault: Vault, name: str, text: str) -> dict[str, str]:
    """The setting that names a file with this declaration."""
    path = vault.home / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return {"VAULT_ETL_SCHEMA_FILE": str(path)}


def with_values(number: int, **values: object) -> Iterable[str]:
    """Events with more values."""
    return (json.dumps(json.loads(body) | values) for body in events(number))


def checked(vault: Vault, role: str, check: str, extra: dict[str, str]) -> tuple[bool | None, str]:
    """The verdict of a check of `doctor`, and its detail."""
    found = vault.run(role, "doctor", extra=extra).lines
    (line,) = (line for line in found if line["check"] == check)
    return line["ok"], line["detail"]


@pytest.mark.iam
def test_a_field_is_added_while_ingest_runs(quick: Vault) -> None:
    """The old worker goes on without the value, the new one stores it; a required value stops an old worker at once."""
    vault = quick
    optional = setting(vault, "optional", OPTIONAL)
    apply = ("schema", "apply", "optional.toml", "--yes")
    old = start(vault, "ingest", "ingest", "--follow")
    vault.send(with_values(2, email="a@example.org"))
    until(lambda: vault.count("user_logins") == 2)

    applied = vault.ok("owner", *apply).json
    assert (applied["version"], applied["changed"], applied["workers_before_may_write"]) == (
        2,
        True,
        True,
    )
    assert [row["change"] for row in applied["changes"]] == [
        "adds a field",
        "adds an optional value",
    ]
    again = vault.ok("owner", *apply).json
    assert (again["version"], again["changed"], again["changes"]) == (2, False, [])
    vault.send(with_values(2, email="b@example.org"))
    until(lambda: vault.count("user_logins") == 4)
    without_key = vault.run("ingest", "ingest", extra=optional)
    assert (without_key.code, "no token key yet of email" in without_key.stderr) == (78, True)
    refused = vault.run("re-encrypt", "keys", "init")
    assert (refused.code, "is not the one in force" in refused.stderr) == (78, True)

    with deployed(vault, DEFAULT):
        refused = vault.run("re-encrypt", "keys", "init", extra=optional)
        assert (refused.code, "KMS denies this" in refused.stderr) == (77, True)
        for role, call in (
            ("ingest", "kms:GenerateDataKey of data keys of email"),
            ("re-encrypt", "kms:GenerateDataKeyWithoutPlaintext of token keys of email"),
        ):
            ok, detail = checked(vault, role, "kms_permissions", optional)
            assert (ok, call in detail) == (False, True), detail
        assert checked(vault, "reveal", "kms_permissions", optional) == (
            True,
            "KMS allows ip, device_id, quarantine, and not email",
        )
    with deployed(vault, read_declaration(optional["VAULT_ETL_SCHEMA_FILE"])):
        for role in ("ingest", "re-encrypt", "reveal"):
            ok, detail = checked(vault, role, "kms_permissions", optional)
            assert (ok, "ip, device_id, email" in detail) == (True, True), detail
        assert checked(vault, "re-encrypt", "token_keys", optional)[0] is False
        _finish(vault, old, optional)


def _finish(vault: Vault, old: subprocess.Popen[str], optional: dict[str, str]) -> None:
    """Make the key, restart the worker with the new file, and add a required value."""
    made = vault.ok("re-encrypt", "keys", "init", extra=optional).json
    assert len(made["created"]) == 1
    assert vault.ok("re-encrypt", "keys", "init", extra=optional).json == {"created": []}
    vault.send(with_values(2, email="c@example.org"))
    until(lambda: vault.count("user_logins") == 6)
    old.send_signal(signal.SIGTERM)
    assert finish(old).code == 0
    vault.send(with_values(2, email="d@example.org"))
    vault.ok("ingest", "ingest", extra=optional)
    assert vault.sql(
        "SELECT count(*), count(masked_email), count(DISTINCT masked_email), count(email_ciphertext)"
        " FROM vault_etl.user_logins"
    ) == [(8, 2, 1, 2)]
    assert vault.count("quarantine") == 0
    assert vault.run("audit", "audit", "verify").code in {0, 75}

    before = start(vault, "ingest", "ingest", "--follow", extra=optional)
    required = setting(vault, "required", REQUIRED)
    vault.send(with_values(1, channel="web"))
    until(lambda: vault.count("user_logins") == 9)
    vault.ok("owner", "schema", "apply", "required.toml", "--yes")
    vault.send(with_values(3, channel="web"))
    ended = finish(before)
    assert ended.code == 78
    assert "is not the one in force" in ended.stderr
    assert vault.count("user_logins") == 9
    vault.overrides["VAULT_ETL_DRAIN_WAIT"] = "5"
    until(lambda: vault.depth()[0] == 3, seconds=90)
    vault.ok("ingest", "ingest", extra=required)
    assert vault.sql("SELECT count(*), count(channel) FROM vault_etl.user_logins") == [(12, 3)]
    assert vault.count("quarantine") == 0


@pytest.mark.parametrize(
    "text", [DEFAULT_TOML.replace('"ip"', '"text"', 1), PLAIN.replace("email", "ip"), "format = 2"]
)
def test_a_bad_declaration_changes_nothing(vault: Vault, text: str) -> None:
    """A fault, another kind, or a personal value in clear: exit 65, and the version stays."""
    setting(vault, "bad", text)
    refused = vault.run("owner", "schema", "apply", "bad.toml", "--yes")
    assert refused.code == 65, refused.stderr
    assert vault.sql("SELECT count(*) FROM vault_etl.schema_versions") == [(1,)]
