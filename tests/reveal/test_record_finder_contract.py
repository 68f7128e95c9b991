"""Record finders find the holders of a token in every generation, and their number."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import DEVICE_ID, IP
from tests.kit.fakes.vault import find_request, reveal_request
from tests.kit.rows import Writer, writer
from vault_etl.base.errors import DeniedError
from vault_etl.crypto.fields import FieldName
from vault_etl.records.messages import SealedRecord
from vault_etl.reveal.find import TokenHolder

DAY = dt.date(2026, 1, 31)


@pytest.fixture
def process(bench: Bench) -> Writer:
    """Return a process that may load."""
    return writer(bench)


def holding(
    bench: Bench, *tokens: uuid.UUID, field: FieldName = IP, limit: int = 9
) -> list[TokenHolder]:
    """Return the holders of these tokens, on the record; all are listed."""
    (holders,) = bench.finder.holding(bench.audit.intend(find_request(field)), tokens, limit)
    listed = list(holders.newest)
    assert holders.count == len(listed)
    return listed


def with_token(process: Writer, token: uuid.UUID, field: FieldName = IP) -> SealedRecord:
    """A row with this token in the field."""
    record = process.record()
    record.tokens[field] = token
    return record


def test_a_record_is_found_by_its_token_and_shown_without_it(process: Writer) -> None:
    """The answer has its id, user and day, and no other record."""
    token = uuid.uuid4()
    record = with_token(process, token)
    process.load(record, process.record(), process.record())
    assert holding(process.bench, token) == [
        TokenHolder(record.event, record.record_id, "user-1", DAY, None)
    ]


def test_no_record_holds_an_unknown_token(process: Writer) -> None:
    """The answer has no record, and the count 0."""
    process.load(process.record())
    assert holding(process.bench, uuid.uuid4()) == []


def test_a_token_of_another_field_is_another_token(process: Writer) -> None:
    """The same 16 bytes in `device_id` are not found for `ip`."""
    token = uuid.uuid4()
    process.load(with_token(process, token, DEVICE_ID))
    assert holding(process.bench, token) == []
    assert len(holding(process.bench, token, field=DEVICE_ID)) == 1


@pytest.mark.parametrize("field", [IP, DEVICE_ID])
def test_tokens_in_the_next_columns_are_found_too(process: Writer, field: FieldName) -> None:
    """Tokens of a pending generation, and old tokens after a cut-over, are found as well."""
    token = uuid.uuid4()
    record = process.record(
        next_tokens={IP: uuid.uuid4(), DEVICE_ID: uuid.uuid4(), field: token},
        next_token_generation=2,
    )
    process.load(record, process.record())
    assert [h.record_id for h in holding(process.bench, token, field=field)] == [record.record_id]


def test_a_record_that_holds_several_of_them_is_one_record(process: Writer) -> None:
    """Both generations' tokens of one value lead to the row once."""
    old, new = uuid.uuid4(), uuid.uuid4()
    record = with_token(process, old)
    record = process.record(
        tokens=record.tokens, next_tokens={**record.tokens, IP: new}, next_token_generation=2
    )
    process.load(record)
    assert len(holding(process.bench, old, new)) == 1


def test_the_newest_are_listed_and_all_are_counted(process: Writer) -> None:
    """`limit` cuts the list from its old end, and not the count."""
    token = uuid.uuid4()
    records = [with_token(process, token) for _ in range(5)]
    process.load(*records)
    (holders,) = process.bench.finder.holding(
        process.bench.audit.intend(find_request()), [token], 2
    )
    newest = sorted((record.record_id for record in records), reverse=True)[:2]
    assert [holder.record_id for holder in holders.newest] == newest
    assert holders.count == 5


def test_an_intent_allows_one_search_of_its_login_for_one_value(process: Writer) -> None:
    """A second search, another login, a reveal, and more tokens than a value has are refused."""
    process.load(process.record())
    bench, token = process.bench, uuid.uuid4()
    receipt = bench.audit.intend(find_request())
    bench.finder.holding(receipt, [token], 9)
    refused = [
        (receipt, [token]),
        (bench.audit.intend(reveal_request(None, IP)), [token]),
        (bench.audit.intend(find_request()), [token, uuid.uuid4()]),
    ]
    for intent, tokens in refused:
        with pytest.raises(DeniedError):
            bench.finder.holding(intent, tokens, 9)
