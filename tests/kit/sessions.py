"""Sessions of the tests, which find the vault's tables without the schema, as a person in psql may have it.

Sessions of the superuser are kept for the next statement: a new one costs the server forty times a short
statement, and a test runs dozens of them to prepare and to look. Those of the roles, which tests are about,
are not kept.
"""

from __future__ import annotations

import re
import select
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import psycopg2.extras
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection, parse_dsn

PATH = "-c search_path=vault_etl,public"

_BEGINS: re.Pattern[str] = re.compile(r"ALTER (DATABASE|ROLE|USER)|pg_stat_(user|all)_")
"""Statements about what a session reads when it begins, or writes when it ends."""
_kept: defaultdict[tuple[str, str], list[connection]] = defaultdict(list)
"""By port and database."""


def connect(url: str) -> connection:
    """A session of psycopg2 that looks names up in the vault's schema first."""
    return psycopg2.connect(url, options=PATH)


@contextmanager
def kept_session(url: str, statement: str = "") -> Iterator[connection]:
    """A session that commits each statement, as good as new: it is kept only if no transaction is open.

    Sessions that are idle end before and after a `statement` about the beginnings of sessions.
    """
    where = parse_dsn(url)
    place = where["port"], where["dbname"]
    is_about_sessions = _BEGINS.search(statement) is not None
    if is_about_sessions:
        end_kept(*place)
    opened = _taken(_kept[place]) or _new(url)
    is_kept = False
    try:
        yield opened
        if not is_about_sessions and opened.info.transaction_status == TRANSACTION_STATUS_IDLE:
            with opened.cursor() as cursor:
                cursor.execute("DISCARD ALL")
            is_kept = True
            _kept[place].append(opened)
    finally:
        if not is_kept:
            opened.close()


def end_kept(port: str | int, database: str) -> None:
    """End the idle sessions of a database: it is to be copied or dropped."""
    for idle in _kept.pop((str(port), database), []):
        idle.close()


@contextmanager
def new_session(url: str) -> Iterator[connection]:
    """A session that commits each statement."""
    with closing(_new(url)) as opened:
        yield opened


def _new(url: str) -> connection:
    opened = connect(url)
    opened.autocommit = True
    psycopg2.extras.register_uuid(conn_or_curs=opened)  # type: ignore[no-untyped-call]
    return opened


def _taken(idle: list[connection]) -> connection | None:
    """A session that the server has not ended meanwhile: it says nothing unless it is asked."""
    while idle:
        opened = idle.pop()
        if not select.select([opened], [], [], 0)[0]:
            return opened
        opened.close()
    return None
