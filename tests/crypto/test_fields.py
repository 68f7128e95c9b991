"""The names that formats are made of never change."""

from __future__ import annotations

from vault_etl.crypto.fields import PERSONAL_FIELDS, Field, KeyPurpose, Table


def test_the_names_of_the_formats_are_frozen() -> None:
    """The names are in every associated data and every encryption context that was ever made."""
    assert [field.value for field in Field] == ["ip", "device_id", "quarantine"]
    assert [table.value for table in Table] == ["user_logins", "quarantine"]
    assert [purpose.value for purpose in KeyPurpose] == ["data", "token", "source"]


def test_the_personal_fields_are_those_of_a_record() -> None:
    """A quarantined body has no token."""
    assert PERSONAL_FIELDS == (Field.IP, Field.DEVICE_ID)
