"""`keys destroy` of a generation of token keys: refused while rows have its tokens, and its old tokens go with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keys.key_rows import GONE, LEFT, STATE, token_keys
from tests.keys.lock_waits import holding, waits
from tests.kit.events import events
from tests.kit.generations import SWAPPED, begin
from tests.kit.processes import fails, finish, start
from tests.kit.vault import Vault
from tests.kit.vaults import copied


@pytest.fixture(scope="module")
def of_two_generations(three: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault after a cut-over, to be copied: three records have only old tokens, and two more have both."""
    with copied(three, tmp_path_factory.mktemp("two")) as vault:
        begin(vault)
        vault.renew_queue()
        vault.send(events(2))
        vault.ok("ingest", "ingest")
        vault.sql(SWAPPED)
        yield vault


@pytest.fixture
def cut_over(of_two_generations: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A copy of that vault, and an empty queue."""
    with copied(of_two_generations, tmp_path) as vault:
        vault.renew_queue()
        yield vault


def test_a_generation_goes_as_a_whole_with_its_old_tokens(cut_over: Vault) -> None:
    """Both keys end, and next_… of every row that had it; current tokens and all values stay."""
    first, second = token_keys(cut_over, 1), token_keys(cut_over, 2)
    tokens = cut_over.sql(
        "SELECT record_id, masked_ip, masked_device_id FROM user_logins ORDER BY 1"
    )
    planned = cut_over.ok("rotate", "keys", "destroy", str(first[0]), "--dry-run").json
    assert planned == {"destroyed": first, "rows_cleared": 5}
    assert cut_over.sql(STATE, first[0]) == [LEFT]
    assert cut_over.ok("rotate", "keys", "destroy", str(first[0]), "--yes").json == planned
    assert [cut_over.sql(STATE, key_id) for key_id in first] == [[GONE], [GONE]]
    assert {cut_over.sql(STATE, key_id)[0][0] for key_id in second} == {"active"}
    assert cut_over.sql(
        "SELECT DISTINCT next_masked_ip, next_masked_device_id, next_token_generation FROM user_logins"
    ) == [(None, None, None)]
    assert tokens == cut_over.sql(
        "SELECT record_id, masked_ip, masked_device_id FROM user_logins ORDER BY 1"
    )
    again = cut_over.ok("rotate", "keys", "destroy", str(first[1]), "--yes").json
    assert again == {"destroyed": [], "rows_cleared": 0}


def test_a_generation_that_is_in_use_is_refused(filled: Vault) -> None:
    """Active and pending generations are refused, and no token is cleared."""
    begin(filled)
    filled.send(events(2))
    filled.ok("ingest", "ingest")
    for generation, state in ((1, "active"), (2, "pending")):
        for args in ("--yes", "--dry-run"):
            key_id = token_keys(filled, generation)[0]
            result = filled.run("rotate", "keys", "destroy", str(key_id), args)
            fails(result, 78, f"generation {generation} of the token keys", f"is {state}")
            assert "keys rotate --tokens" in result.stderr
    assert filled.sql("SELECT count(next_masked_ip) FROM user_logins") == [(2,)]


def test_a_generation_that_rows_have_tokens_of_is_refused(cut_over: Vault) -> None:
    """The error has the count, before any old token is cleared."""
    cut_over.sql("UPDATE user_logins SET token_generation = 1 WHERE token_generation = 2")
    key_id = token_keys(cut_over, 1)[0]
    result = cut_over.run("rotate", "keys", "destroy", str(key_id), "--yes")
    fails(result, 78, "generation 1 of the token keys", "is needed: 2 rows with its tokens")
    assert cut_over.sql("SELECT count(next_masked_ip) FROM user_logins") == [(5,)]
    assert cut_over.sql(STATE, key_id) == [LEFT]


def test_a_killed_destroy_is_finished_by_the_next_run(cut_over: Vault) -> None:
    """The first run is killed while it waits for a row in the middle of clearing."""
    key_id = token_keys(cut_over, 1)[0]
    with holding(cut_over, "SELECT FROM user_logins FOR UPDATE"):
        process = start(cut_over, "rotate", "keys", "destroy", str(key_id), "--yes")
        waits(cut_over, process)
        process.kill()
        process.communicate()
        assert cut_over.sql(STATE, key_id) == [LEFT]
    report = cut_over.ok("rotate", "keys", "destroy", str(key_id), "--yes").json
    assert report["destroyed"] == token_keys(cut_over, 1)
    assert cut_over.sql("SELECT count(next_masked_ip) FROM user_logins") == [(0,)]
    # Not `ok`: this fixture has cut over by hand, which no entry explains.
    unfinished = cut_over.run("audit", "audit", "verify").json["unfinished"]
    assert len(unfinished) == 1


def test_old_tokens_go_behind_the_fence(cut_over: Vault) -> None:
    """A cut-over or a beginning rotation, which holds the fence, has no row change under it."""
    key_id = token_keys(cut_over, 1)[0]
    with holding(cut_over, "LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE"):
        process = start(cut_over, "rotate", "keys", "destroy", str(key_id), "--yes")
        waits(cut_over, process)
        assert cut_over.sql("SELECT count(next_masked_ip) FROM user_logins") == [(5,)]
    assert finish(process).json["rows_cleared"] == 5
