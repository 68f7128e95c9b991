"""A declaration that is put in force, as `schema apply` does, without a process."""

from __future__ import annotations

from typing import Final

from tests.kit.declarations import DEFAULT_TOML
from tests.kit.online import Silent
from tests.kit.requests import request
from tests.kit.scratch import Scratch
from vault_etl.audit.entries import Action
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.parse import parse_declaration
from vault_etl.platform.clock import Pace, SystemClock
from vault_etl.platform.postgres_lock_watch import LockWatch
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.postgres_apply import ApplyPlan, PostgresApply
from vault_etl.schema.postgres_online import PostgresOnline, apply_online

_EMAIL: Final = '\n[fields.email]\nkind = "email"\n'
_PLAIN: Final = "\n[events.user_logins.plain]"


def _declared(text: str) -> Declaration:
    return parse_declaration(text.encode(), "changed.toml")


GROWN: Final[Declaration] = _declared(
    DEFAULT_TOML.replace(
        _PLAIN,
        """home_ip = {field = "ip", path = "$.home.ip"}
email = {token = "order", derived = ["domain"]}

[events.user_logins.plain]
user = {type = "text", max = 16, path = "$.home.user"}
age = {type = "integer"}
price = {type = "decimal"}
is_new = {type = "boolean"}
born = {type = "day", moment = "born_at"}
since = {type = "moment"}""",
    )
    + _EMAIL
)
"""The login event with every kind of optional value that can be added to it later."""

WITH_EMAIL: Final[Declaration] = _declared(
    DEFAULT_TOML.replace(_PLAIN, f"email = {{}}\n{_PLAIN}") + _EMAIL
)
"""The login event with one more field."""

WITH_RULES: Final[Declaration] = _declared(
    DEFAULT_TOML.replace(_PLAIN, f"email = {{required = true}}\n{_PLAIN}")
    .replace("max = 256", "max = 300")
    .replace(
        "[events.user_logins]", '[events.user_logins]\nwhen = {path = "$.kind", equals = "login"}'
    )
    .replace(_PLAIN, f'{_PLAIN}\nchannel = {{type = "text", max = 8, required = true}}')
    .replace(
        'device_type = {type = "text", max = 32, numbers = "whole", required = true}',
        'device_type = {type = "text", max = 64, numbers = "whole"}',
    )
    + _EMAIL
)
"""The event with email, of which other rules hold for new records: required values, longer ones, an optional one."""

WITH_ORDERS: Final[Declaration] = _declared(
    DEFAULT_TOML.replace("[events.user_logins]", '[events.user_logins]\nqueue = "logins"')
    + _EMAIL
    + """
[events.orders]
subject = "buyer"
day = "day"
queue = "orders"

[events.orders.personal]
email = {required = true}

[events.orders.plain]
buyer = {type = "text", max = 64, required = true}
day = {type = "day"}
"""
)
"""The login event of one queue, and an event of another one."""


def put_in_force(scratch: Scratch, declaration: Declaration, *, online: bool = True) -> ApplyPlan:
    """Apply a declaration as the superuser, and do the online work."""
    with scratch.database("admin") as database, scratch.database("admin") as other:
        apply = PostgresApply(database, resource_dir("migrations"), LockWatch(other))
        plan = apply.plan(declaration)
        asked = request(action=Action.SCHEMA_APPLY, fields=(), ticket=None)
        assert apply.try_apply(asked, plan) == plan.version
        if online:
            do_online(scratch, apply, declaration)
    return plan


def do_online(scratch: Scratch, apply: PostgresApply, declaration: Declaration) -> None:
    """Do the online work that is left."""
    with (
        scratch.database("admin") as database,
        scratch.database("admin") as watching,
        scratch.database("admin") as locks,
    ):
        work = apply.online_work(declaration)
        steps = PostgresOnline(database, watching, LockWatch(locks), work)
        with steps.session():
            assert steps.try_alone() is None
            apply_online(steps, Silent(), Pace(SystemClock(), None), SystemClock(), 10)
            assert not steps.left()
