"""SQL by declaration: lines that repeat, names that quote themselves, and the key words of the server."""

from __future__ import annotations

import jinja2
import pytest

from tests.kit.declarations import DEFAULT, TWO_EVENTS
from tests.kit.scratch import Scratch
from vault_etl.declaration.names import KEYWORDS
from vault_etl.declaration.sql import rendered, sql_blocks
from vault_etl.declaration.sql_names import SqlEvent, SqlName, literal
from vault_etl.platform.resources import blocks

TEMPLATE = """\
SELECT
    --% for event in events
    {{ event.name | literal }}, {{ event.tokens | join(", ") }}{{ "," if not loop.last }}
    --% endfor
FROM %(given)s
"""


def test_lines_are_repeated_for_each_event() -> None:
    """A line with `--%` is a statement and leaves nothing behind, no line and no space."""
    assert rendered(TEMPLATE, DEFAULT) == (
        "SELECT\n    'user_logins', masked_ip, masked_device_id\nFROM %(given)s\n"
    )
    assert rendered(TEMPLATE, TWO_EVENTS) == (
        "SELECT\n    'orders', masked_ip,\n    'sign_ups', \"order\", masked_home_ip, masked_office_ip\n"
        "FROM %(given)s\n"
    )


def test_a_text_without_a_template_stays_as_it_is() -> None:
    """Jinja2's other marks mean nothing."""
    text = "SELECT '{%' -- {# a comment #}\n\n"
    assert rendered(text, DEFAULT) == text
    assert rendered(text + "--% set unused = 1\n", DEFAULT) == text


def test_an_unknown_name_is_an_error() -> None:
    """A misspelled name renders no empty text."""
    with pytest.raises(jinja2.UndefinedError):
        rendered("{{ event.name }}", DEFAULT)
    with pytest.raises(jinja2.UndefinedError):
        rendered("{{ events[0].nmae }}", DEFAULT)


def test_names_and_literals_quote_themselves(shared: Scratch) -> None:
    """Postgres reads them as the names and the text that were meant."""
    assert [str(SqlName(raw)) for raw in ("user", "users", "order")] == [
        '"user"',
        "users",
        '"order"',
    ]
    assert str(SqlName("user").plus("_masked")) == "user_masked"
    assert literal(SqlName("user")) == "'user'"
    text = "it's"
    assert shared.sql(f"SELECT {literal(text)}") == [(text,)]


def test_the_key_words_are_those_of_the_server(shared: Scratch) -> None:
    """A later server may have more of them; then this list grows."""
    (words,) = zip(
        *shared.sql("SELECT word FROM pg_get_keywords() WHERE catcode <> 'U'"), strict=True
    )
    assert set(words) <= KEYWORDS


def test_blocks_without_a_template_are_those_of_the_file() -> None:
    """A file of SQL alone needs no declaration."""
    assert sql_blocks("keys/keys.sql", DEFAULT) == blocks("keys/keys.sql")
    assert sql_blocks("keys/keys.sql", DEFAULT) is sql_blocks("keys/keys.sql", DEFAULT)


def test_the_columns_of_an_event_have_one_order() -> None:
    """Required plain columns come first, then tokens and ciphertexts, then the rest; a moment follows its day."""
    _, event = map(SqlEvent.of, TWO_EVENTS.events)
    assert [name.raw for name in event.columns] == [
        *("record_id", "is_new", "person"),
        *("order", "masked_home_ip", "masked_office_ip"),
        *("next_order", "next_masked_home_ip", "next_masked_office_ip"),
        *("card_ciphertext", "home_ip_ciphertext", "office_ip_ciphertext"),
        *("token_generation", "next_token_generation"),
        *("age", "born", "day", "at", "price", "since", "user"),
    ]
    assert [name.raw for name in event.shown] == [
        *("record_id", "is_new", "person", "order", "masked_home_ip", "masked_office_ip"),
        *("age", "born", "day", "at", "price", "since", "user"),
    ]
    assert [value.max_octets for value in event.personal] == [209, 113, 113]
