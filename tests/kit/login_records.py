"""Rows of `user_logins`: their plain columns, and the change of one."""

from __future__ import annotations

from typing import Any, Final

from tests.kit.declared import USER_LOGINS
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.records.messages import SealedRecord

PLAIN: Final[tuple[str, ...]] = (
    "user_id",
    "device_type",
    "locale",
    "app_version",
    "create_date",
    "event_time",
)


def login_record(**columns: Any) -> SealedRecord:  # noqa: ANN401 - columns and parts of a row
    """Make a row of its columns and its tokens, ciphertexts and generations."""
    plain = {name: columns.pop(name) for name in PLAIN if name in columns}
    return SealedRecord(
        event=USER_LOGINS,
        subject=plain["user_id"],
        plain={name: value for name, value in plain.items() if value is not None},
        **columns,
    )


def changed(row: SealedRecord, **changes: Any) -> SealedRecord:  # noqa: ANN401 - columns and parts of a row
    """Return the row with these columns and parts changed: plain columns of a login alone."""
    plain: dict[str, Any] = dict(row.plain)
    plain.update({name: changes.pop(name) for name in PLAIN if name in changes})
    return row._replace(
        subject=str(plain.get("user_id", row.subject)),
        plain={name: value for name, value in plain.items() if value is not None},
        **changes,
    )


def column(row: SealedRecord | ParsedEvent, name: str) -> Any:  # noqa: ANN401 - a value of any type
    """Return the value of a plain column; None if the row has none."""
    return row.plain.get(name)
