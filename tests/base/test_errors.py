"""Errors in a word: what a person reads on the live line and in a probe."""

from __future__ import annotations

from vault_etl.base import errors
from vault_etl.base.errors import VaultEtlError


def test_every_error_is_a_word_or_two_of_plain_english() -> None:
    """No class of Python is shown where there is no room for the message."""
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, VaultEtlError)
    }
    for kind in kinds:
        assert kind.word == kind.word.lower()
        assert "error" not in kind.word
        assert 0 < len(kind.word) <= len("too many entries")
    assert {kind for kind in kinds if "exit_code" in vars(kind)} <= {
        kind for kind in kinds if "word" in vars(kind)
    }
