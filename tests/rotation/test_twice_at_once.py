"""Two rotations of the token keys at once, the slower of which comes too late."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.fakes.progress import FakeProgress
from tests.kit.vault import Vault
from tests.rotation.contents import contents, parts_of
from vault_etl.app import rotation
from vault_etl.audit.entries import Action
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import IncompleteError
from vault_etl.rotation.compare_tokens import TokenComparer, TokenComparison
from vault_etl.rotation.next_tokens import Generations

ROTATE = ("keys", "rotate", "--tokens", "--yes", "--quiet")


class Overtaken:
    """`TokenComparer` that runs another action before its check."""

    def __init__(self, comparer: TokenComparer, meanwhile: Callable[[], object]) -> None:
        self._comparer = comparer
        self._meanwhile = meanwhile
        self.sample = comparer.sample
        self.count = comparer.count

    def compare(self, generations: Generations) -> TokenComparison:
        """Run the other action, then compare."""
        self._meanwhile()
        return self._comparer.compare(generations)


def test_a_rotation_overtaken_before_the_check_blames_no_record(rotation_filled: Vault) -> None:
    """Another process has cut over: the error says so, and does not say that all records lack a next token."""
    with parts_of(rotation_filled, "re-encrypt") as parts:
        identity = parts.identity
        request = audit_request(identity, Action.KEYS_ROTATE, "a test", fields=PERSONAL_FIELDS)
        plan = rotation.plan_token_keys(parts)
        work = rotation.token_rotation(parts, FakeProgress(), request.request_id, None, 10)
        work._comparer = Overtaken(
            work._comparer, lambda: rotation_filled.ok("re-encrypt", *ROTATE)
        )
        with pytest.raises(IncompleteError, match="another process has ended"):
            work.rotate(request, plan)
    assert contents(rotation_filled).wrong_tokens == ()
