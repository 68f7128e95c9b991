"""Generations of tokens do not mix, neither by a month that is attached again nor by replication."""

from __future__ import annotations

import psycopg2
import pytest

from tests.kit.cut_over import Ready
from tests.kit.declarations import DEFAULT
from tests.kit.months import month_start, name_of, request
from tests.kit.rows import cut_over_request
from tests.kit.scratch import new_record_id
from vault_etl.base.errors import ConfigurationError, IncompleteError, VaultEtlError
from vault_etl.doctor import keys as checks
from vault_etl.doctor.diagnose import Verdict
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.partitions.postgres import PostgresPartitions
from vault_etl.records.months import choose
from vault_etl.rotation.next_tokens import Generations
from vault_etl.rotation.postgres_cut_over import PostgresTokenCutOver
from vault_etl.rotation.postgres_tokens import PostgresTokenComparer
from vault_etl.rotation.token_keys import CutOverDone


@pytest.fixture
def vault(to_cut_over: Ready) -> Ready:
    """Four records with the tokens of generation 1, and with those of the pending generation 2 beside them."""
    return to_cut_over


def detach(vault: Ready) -> str:
    """Detach this month by hand; return its name."""
    vault.scratch.sql(f"ALTER TABLE user_logins DETACH PARTITION {name_of(0)}")
    return name_of(0)


def attach(vault: Ready, name: str) -> None:
    """Attach as the command does, without its checks."""
    with vault.scratch.database("admin") as database:
        partitions = PostgresPartitions(database, 1.0)
        partitions.attach(request(), choose(partitions.partitions(), name))


def misfits(vault: Ready, name: str) -> list[str]:
    """The reasons for which the command would refuse the month."""
    with vault.scratch.database("admin") as database:
        partitions = PostgresPartitions(database, 1.0)
        return list(partitions.misfits(choose(partitions.partitions(), name)))


def test_a_month_that_was_ready_for_the_cut_over_is_refused_too(vault: Ready) -> None:
    """No check covered its next tokens, and a loader may have written any; they are made from the sealed values."""
    name = detach(vault)
    vault.swap()
    assert [line for line in misfits(vault, name) if "generation" in line] == [
        "2 rows have tokens of generation 1, and generation 2 is active"
    ]
    with pytest.raises(VaultEtlError):
        attach(vault, name)


def test_a_month_whose_tokens_are_old_is_refused_by_the_database(vault: Ready) -> None:
    """PostgreSQL compares the constraints, or reads the rows, for every caller and after every check."""
    name = detach(vault)
    vault.scratch.sql(f"UPDATE {name} SET next_token_generation = NULL")  # noqa: S608
    vault.swap()
    assert "2 rows have tokens of generation 1, and generation 2 is active" in misfits(vault, name)
    with pytest.raises(VaultEtlError):
        attach(vault, name)
    assert vault.scratch.value("SELECT count(*) FROM user_logins") == 2


def test_a_month_that_came_after_the_check_is_not_cut_over(vault: Ready) -> None:
    """Attached by hand with unchecked rows: no cut-over, and the next run checks the month. An empty month passes."""
    name = detach(vault)
    vault.scratch.sql(f"ALTER TABLE user_logins DETACH PARTITION {name_of(3)}")
    bounds = "SELECT format('FROM (%%L) TO (%%L)', first_record_id(%s), first_record_id(%s))"
    with vault.scratch.database("re-encrypt") as database:
        seen = PostgresTokenComparer(database, DEFAULT).compare(Generations(1, 2)).partitions
        cut_over = PostgresTokenCutOver(database, DEFAULT).cut_over
        for back, again in ((0, name), (3, name_of(3))):
            place = vault.scratch.value(bounds, month_start(back), month_start(back + 1))
            attach_by_hand = f"ALTER TABLE user_logins ATTACH PARTITION {again} FOR VALUES {place}"
            vault.scratch.sql(attach_by_hand)
            if again == name:
                with pytest.raises(IncompleteError, match=f"{name} came after the check"):
                    cut_over(cut_over_request(), 2, seen)
                assert vault.scratch.value("SELECT max(token_generation) FROM user_logins") == 1
                seen = (
                    PostgresTokenComparer(database, DEFAULT).compare(Generations(1, 2)).partitions
                )
        assert isinstance(cut_over(cut_over_request(), 2, seen), CutOverDone)


def test_rows_of_another_generation_are_counted(vault: Ready) -> None:
    """`doctor` counts in a sample, with --deep in all rows; a missing or an earlier constraint is reported too."""
    vault.swap()
    with vault.scratch.database("audit") as database:

        def check(*, every_row: bool) -> Verdict:
            found = PostgresFacts(database).token_generations(every_row=every_row)
            return checks.token_generations(found, every_row=every_row)

        for every_row in (False, True):
            good = check(every_row=every_row)
            assert (good.ok, "4 rows have tokens of generation 2" in good.detail) == (True, True)
        vault.scratch.sql("ALTER TABLE user_logins DROP CONSTRAINT tokens_of_one_generation")
        assert "does not say" in check(every_row=False).detail
        vault.scratch.sql(
            "UPDATE user_logins SET token_generation = 1 WHERE record_id = %s",
            vault.records[0].record_id,
        )
        for every_row in (False, True):
            bad = check(every_row=every_row)
            assert (bad.ok, bad.detail.startswith("1 of ")) == (False, True)


def test_a_month_is_not_attached_under_a_rotation(vault: Ready) -> None:
    """The ranges are set, so the month would be cut over without next tokens."""
    name = detach(vault)
    assert "a rotation of the token keys is under way" in misfits(vault, name)[0]
    with pytest.raises(IncompleteError):
        attach(vault, name)


def test_a_row_of_another_generation_is_refused(vault: Ready) -> None:
    """As a subscription applies rows, which is no client of ours: before the cut-over and after it."""
    statement = (
        "INSERT INTO user_logins (record_id, user_id, device_type, create_date, masked_ip, token_generation)"
        " VALUES (%s, 'u', 'd', '2026-01-01', gen_random_uuid(), %s)"
    )
    replica = "SET session_replication_role = replica; "
    with pytest.raises(psycopg2.errors.CheckViolation, match="tokens_of_one_generation"):
        vault.scratch.sql(replica + statement, new_record_id(), 2)
    vault.swap()
    with pytest.raises(psycopg2.errors.CheckViolation, match="tokens_of_one_generation"):
        vault.scratch.sql(replica + statement, new_record_id(), 1)
    vault.scratch.sql(replica + statement, new_record_id(), 2)


@pytest.mark.parametrize("of", ["TABLE user_logins", "ALL TABLES", "TABLES IN SCHEMA vault_etl"])
def test_a_cut_over_names_the_publication_that_it_would_break(vault: Ready, of: str) -> None:
    """A publication of the table or of a partition; with the caller's consent the cut-over is made."""
    vault.scratch.sql(f"CREATE PUBLICATION elsewhere FOR {of}")
    with vault.scratch.database("re-encrypt") as database:
        with pytest.raises(ConfigurationError, match="publication elsewhere"):
            PostgresTokenCutOver(database, DEFAULT).cut_over(cut_over_request(), 2)
        allowed = PostgresTokenCutOver(database, DEFAULT, allow_publication=True)
        assert isinstance(allowed.cut_over(cut_over_request(), 2), CutOverDone)


def test_a_publication_of_a_partition_counts(vault: Ready) -> None:
    """A publication of a part of the table counts; a publication of another table does not."""
    vault.scratch.sql("CREATE PUBLICATION other FOR TABLE quarantine")
    assert vault.scratch.sql("SELECT token_publications()", role="re-encrypt") == []
    vault.scratch.sql(f"CREATE PUBLICATION part FOR TABLE {name_of(0)}")
    assert (
        vault.scratch.value("SELECT token_publications()", role="re-encrypt") == "publication part"
    )
