"""The scheduled commands of deploy/aws/stack.yaml, run as tasks run them: by role, the password beside the URL."""

from __future__ import annotations

import re

import pytest

from tests.deploy.aws.test_templates import jobs
from tests.kit.vault import Vault


@pytest.fixture
def in_use(vault: Vault) -> Vault:
    """A vault whose log is signed."""
    vault.ok("audit", "audit", "checkpoint")
    return vault


def test_each_scheduled_command_succeeds_on_a_vault_in_use(in_use: Vault) -> None:
    """Each of them, in the order of the template, ends with 0: any other code alarms people."""
    for name, job in jobs().items():
        role = job["Role"].removeprefix("vault-etl-")
        url = in_use.database_url(role)
        password = re.search(r"://[^:/@]+:([^@]+)@", url)
        assert password is not None
        task = {
            "VAULT_ETL_DATABASE_URL": url.replace(f":{password[1]}@", "@", 1),
            "PGPASSWORD": password[1],
            "VAULT_ETL_SCHEMA_FILE": "",
        }
        done = in_use.run(role, *job["Command"].split(","), extra=task)
        assert done.code == 0, (name, done.stderr)
