"""A small good declaration, and how a test changes it."""

from __future__ import annotations

from typing import Final

EVENT: Final = """
[fields.ip]
kind = "ip"
[events.logins]
subject = "user_id"
day = "day"
[events.logins.personal]
ip = {required = true}
[events.logins.plain]
user_id = {type = "text", max = 64, required = true}
day = {type = "day"}
"""
"""A small declaration without its first line. A case puts other lines in the place of some of these."""

GOOD: Final = f"format = 1\n{EVENT}"


def changed(old: str, new: str) -> str:
    """The good declaration with one part replaced."""
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def with_lines(*lines: str) -> str:
    """The good declaration with lines behind it: below `[events.logins.plain]`."""
    return GOOD + "\n".join(lines) + "\n"


FIELD: Final = '[fields.ip]\nkind = "ip"'
IP: Final = "ip = {required = true}"
USER: Final = 'user_id = {type = "text", max = 64, required = true}'
DAY: Final = 'day = {type = "day"}'
SECOND: Final = (
    '[events.signups]\nsubject = "user_id"\nday = "day"\npersonal.ip = {}\n'
    "plain.user_id = {type = 'text', max = 9, required = true}\nplain.day = {type = 'day'}\n"
)
