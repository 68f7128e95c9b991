"""The actor is the word of STS and of the database: no flag, setting or variable changes it."""

from __future__ import annotations

import pytest

from tests.kit.processes import fails
from tests.kit.vault import Vault

ELSEWHO = "someone-else"
LAST = "SELECT actor, login, host, client_address FROM audit_log ORDER BY seq DESC LIMIT 1"


@pytest.mark.parametrize(
    "extra",
    [
        {"USER": ELSEWHO, "LOGNAME": ELSEWHO, "SUDO_USER": ELSEWHO, "USERNAME": ELSEWHO},
        {"AWS_ROLE_SESSION_NAME": ELSEWHO, "AWS_ROLE_ARN": f"arn:aws:iam::1:role/{ELSEWHO}"},
        {"AWS_SDK_UA_APP_ID": ELSEWHO, "AWS_EXECUTION_ENV": ELSEWHO},
        {"PGUSER": ELSEWHO, "PGAPPNAME": ELSEWHO, "PGOPTIONS": "-c application_name=x"},
        {"HOSTNAME": ELSEWHO, "HOST": ELSEWHO},
    ],
    ids=["user", "role", "agent", "postgres", "host"],
)
def test_no_variable_names_the_actor(site: Vault, record_id: str, extra: dict[str, str]) -> None:
    """Actor, login, host and address are the same as without the variables."""
    asked = ("reveal", record_id, "--reason", "x")
    site.ok("reveal", *asked)
    honest = site.sql(LAST)
    assert honest[0][:2] == (site.actor("reveal"), "test_reveal")
    site.ok("reveal", *asked, extra=extra)
    assert site.sql(LAST) == honest


@pytest.mark.parametrize("flag", ["--actor", "--user", "--as", "--login", "--host"])
def test_no_flag_names_the_actor(site: Vault, record_id: str, flag: str) -> None:
    """The flag does not exist: exit 2."""
    fails(site.run("reveal", "reveal", record_id, "--reason", "x", flag, ELSEWHO), 2, flag)


def test_no_setting_names_the_actor(site: Vault, record_id: str) -> None:
    """An unknown setting is an error that names it."""
    extra = {"VAULT_ETL_ACTOR": ELSEWHO}
    result = site.run("reveal", "reveal", record_id, "--reason", "x", extra=extra)
    fails(result, 78, "VAULT_ETL_ACTOR")


def test_acting_as_a_role_does_not_change_the_login(site: Vault, record_id: str) -> None:
    """With SET ROLE in the connection's own options, the entry still has the login."""
    url = f"{site.database_url('reveal')}?options=-c%20role%3Dvault_etl_reveal"
    extra = {"VAULT_ETL_DATABASE_URL": url}
    site.ok("reveal", "reveal", record_id, "--reason", "x", extra=extra)
    assert site.sql(LAST)[0][1] == "test_reveal"


def test_the_access_key_decides_the_actor(site: Vault, record_id: str) -> None:
    """With the key of a worker, the entry names the worker."""
    extra = site.access_key("operator")
    site.ok("reveal", "reveal", record_id, "--reason", "x", extra=extra)
    assert site.sql(LAST)[0][:2] == (site.actor("operator"), "test_reveal")
