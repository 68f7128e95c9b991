"""A rotation as the database shows it, over one connection: its progress, and the counts that must never grow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg2
import psycopg2.extras

from tests.kit.sessions import connect
from tests.kit.vault import Vault
from tests.kit.waiting import until
from vault_etl.declaration.model import Declaration, DeclaredEvent

SECONDS = 60
LOOK_S = 0.005


def _rows_under(declaration: Declaration) -> str:
    """Count the values under each retired key, in one snapshot: an earlier commit has retired each key found."""
    counts = " + ".join(
        f"(SELECT count(*) FROM {event.name} WHERE k.field = '{value.field.name}'"  # noqa: S608
        f" AND ciphertext_key_id({value.ciphertext}) = k.key_id)"
        for event in declaration.events
        for value in event.personal
    )
    return (
        f"SELECT k.key_id, {counts} FROM data_keys AS k"  # noqa: S608
        " WHERE k.purpose = 'data' AND k.state = 'decrypt_only' AND k.field <> 'quarantine'"
    )


def _left_behind(event: DeclaredEvent, purpose: str) -> str:
    """The condition of a row `u` that a rotation `k` has not changed."""
    if purpose == "token":
        return "u.next_token_generation IS NULL"
    keys = (
        f"ciphertext_key_id(u.{value.ciphertext}) = ANY (k.old_keys)" for value in event.personal
    )
    return " OR ".join(keys)


class Watch:
    """The superuser's connection, one statement a transaction."""

    def __init__(self, vault: Vault) -> None:
        self._declaration = vault.declaration
        self._connection = connect(vault.database_url("admin"))
        self._connection.autocommit = True
        psycopg2.extras.register_uuid(conn_or_curs=self._connection)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows that a query returns."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, *values: object) -> Any:  # noqa: ANN401 - whatever it is
        """The one value of one row."""
        ((value,),) = self.rows(statement, *values)
        return value

    def until(self, condition: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Wait until the query returns true."""
        until(condition, seconds, pause=LOOK_S)

    def ranges(self, purpose: str) -> tuple[int, int]:
        """The numbers of ranges of the open rotation that are done, and that are not."""
        ((done, left),) = self.rows(
            "SELECT count(*) FILTER (WHERE done), count(*) FILTER (WHERE NOT done)"
            " FROM rotation_ranges JOIN key_rotations USING (rotation_id) WHERE purpose = %s",
            purpose,
        )
        return done, left

    def is_filled(self) -> bool:
        """Return True if a rotation of the token keys has done all of its ranges."""
        done, left = self.ranges("token")
        return done > 0 and left == 0

    def left_behind(self, purpose: str) -> int:
        """Records that the cursors of the open rotation have passed, and that are unchanged."""
        behind = " + ".join(
            "(SELECT count(*) FROM key_rotations AS k JOIN rotation_ranges AS r USING (rotation_id)"  # noqa: S608
            f" JOIN {event.name} AS u"
            " ON u.record_id BETWEEN r.first AND CASE WHEN r.done THEN r.last ELSE r.after END"
            f" WHERE r.place = '{event.name}' AND k.purpose = %s"
            f" AND ({_left_behind(event, purpose)}))"
            for event in self._declaration.events
        )
        return int(self.value(f"SELECT {behind}", *[purpose] * len(self._declaration.events)))

    def work_left(self, purpose: str) -> int:
        """Records that a rotation has still to change, in one snapshot: all of them before the next tokens begin."""
        left = " + ".join(
            f"(SELECT count(*) FROM {event.name} AS u WHERE {_left_behind(event, purpose)})"  # noqa: S608
            for event in self._declaration.events
        )
        keys = (
            "SELECT array_agg(key) AS old_keys FROM key_rotations, unnest(old_keys) AS key"
            " WHERE purpose = 'data'"
        )
        return int(self.value(f"SELECT {left} FROM ({keys}) AS k"))  # noqa: S608

    def let_claims_lapse(self) -> None:
        """Age the claims of a killed worker by ten seconds."""
        self.rows("UPDATE rotation_ranges SET claimed_until = clock_timestamp() WHERE NOT done")


class Growth:
    """Keys under which rows appeared after their retirement was committed. No such key is allowed."""

    def __init__(self, vault: Vault, pause: float) -> None:
        self.grown: set[int] = set()
        self.looks = 0
        self.retired: dict[int, int] = {}
        """The fewest rows that each retired key had so far."""
        self._rows_under = _rows_under(vault.declaration)
        self._vault = vault
        self._pause = pause
        self._over = threading.Event()
        self._failure: BaseException | None = None

    @contextmanager
    def watched(self) -> Iterator[Self]:
        """Check again and again while the block runs, and a last time after it."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join(SECONDS)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with Watch(self._vault) as watch:
                over = False
                while not over:
                    over = self._over.wait(self._pause)
                    self._look(watch)
        except BaseException as error:
            self._failure = error
            raise

    def _look(self, watch: Watch) -> None:
        self.looks += 1
        for key_id, rows in watch.rows(self._rows_under):
            if rows > self.retired.get(key_id, rows):
                self.grown.add(key_id)
            self.retired[key_id] = min(rows, self.retired.get(key_id, rows))


@contextmanager
def holding(vault: Vault, statement: str, role: str = "admin") -> Iterator[int]:
    """A session that has run a statement and keeps its transaction open; the pid of the session."""
    with closing(connect(vault.database_url(role))) as connection:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        yield connection.info.backend_pid
        connection.rollback()
