"""The names that formats are made of never change; those of fields and events are held by the default declaration."""

from __future__ import annotations

from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, SOURCE, KeyPurpose


def test_the_names_of_the_formats_are_frozen() -> None:
    """The names are in every associated data and every encryption context that was ever made."""
    assert (QUARANTINE, SOURCE, QUARANTINE_TABLE) == ("quarantine", "source", "quarantine")
    assert [purpose.value for purpose in KeyPurpose] == ["data", "token", "source"]
