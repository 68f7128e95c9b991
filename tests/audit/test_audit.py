"""Reasons that are fit for a log, and receipts that no caller makes by hand."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vault_etl
from tests.kit.fakes.receipts import any_receipt
from vault_etl.audit.entries import (
    MAX_REASON_CHARACTERS,
    AuditReceipt,
    Decision,
    Phase,
    clean_reason,
    clean_text,
)
from vault_etl.base.errors import UsageError

PACKAGE = Path(vault_etl.__file__).parent


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ticket 4711", "ticket 4711"),
        ("  ticket\t4711  ", "ticket 4711"),
        ("two\nlines\r\nand more", "two lines and more"),
        ("forged\x00entry", "forged entry"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("\x9b31mred", "31mred"),
        ("a\u202edrawkcab", "a drawkcab"),
        ("a\u200fb\u2066c\u2069", "a b c"),
        ("a\u2028b\u2029c\u0085d", "a b c d"),
        ("zero\u200bwidth\ufeff", "zero width"),
        ("a\u00a0b\u3000c", "a b c"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("Grund: Missbrauch prüfen — §8 🔍", "Grund: Missbrauch prüfen — §8 🔍"),
    ],
)
def test_a_reason_is_one_line_of_visible_text(text: str, reason: str) -> None:
    """Control characters, escape sequences, marks that turn text round, and line ends become spaces."""
    assert clean_reason(text) == reason


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x1b\x00", "\u200b\u202e"])
def test_an_empty_reason_is_no_reason(text: str) -> None:
    """A reason of invisible characters is empty too."""
    with pytest.raises(UsageError, match="empty"):
        clean_reason(text)


def test_a_reason_has_at_most_500_characters() -> None:
    """Characters are counted after the cleaning, and never cut."""
    assert clean_reason("  " + "é" * MAX_REASON_CHARACTERS + "\n") == "é" * 500
    with pytest.raises(UsageError, match="longer than 500"):
        clean_reason("é" * (MAX_REASON_CHARACTERS + 1))


def test_other_texts_of_an_entry_are_cleaned_alike() -> None:
    """A purpose and a ticket have their own limits, and their own names in the error."""
    assert clean_text(" OPS-1\n", "ticket", 5) == "OPS-1"
    with pytest.raises(UsageError, match="the ticket is longer than 5 characters"):
        clean_text("OPS-12", "ticket", 5)
    with pytest.raises(UsageError, match="the purpose is empty"):
        clean_text("\x00", "purpose", 64)


@given(st.text(st.characters(), max_size=600))
def test_a_clean_reason_is_clean(text: str) -> None:
    """Any input becomes one visible line of UTF-8, which stays as it is when it is cleaned again."""
    try:
        reason = clean_reason(text)
    except UsageError:
        return
    assert not [c for c in reason if unicodedata.category(c)[0] in "CZ" and c != " "]
    assert reason == reason.strip() == clean_reason(reason.encode().decode())
    assert 1 <= len(reason) <= MAX_REASON_CHARACTERS


@pytest.mark.parametrize("mint", [None, True, object(), "mint", AuditReceipt])
def test_a_receipt_is_not_made_by_hand(mint: object) -> None:
    """Opening a value takes a receipt, and a caller cannot make one up."""
    given = any_receipt()
    with pytest.raises(TypeError, match="only the audit log"):
        AuditReceipt(mint, given.request, 1, bytes(32), given.login, given.logged_at)


def test_only_the_adapter_of_the_audit_log_mints_receipts() -> None:
    """No other file of the package so much as names the mint, or takes a private way around it."""
    mentions = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(name in path.read_text(encoding="utf-8") for name in ("mint_receipt", "_MINT"))
    }
    assert mentions == {"audit/entries.py", "audit/postgres.py"}


def test_no_file_makes_receipts_around_their_constructor() -> None:
    """The words `AuditReceipt(` and `__new__` are in no other file, but for a UUID's."""
    texts = {
        str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8").replace(
            "uuid.UUID.__new__(uuid.UUID)", ""
        )
        for path in PACKAGE.rglob("*.py")
    }
    makers = {
        name
        for name, text in texts.items()
        if any(call in text for call in ("AuditReceipt(", "__new__("))
    }
    assert makers == {"audit/entries.py"}


def test_the_words_of_the_log_are_frozen() -> None:
    """The words are in entries, and in their hashes."""
    assert [phase.value for phase in Phase] == ["intent", "outcome"]
    assert [d.value for d in Decision] == ["allowed", "denied", "done", "failed"]
