"""`vault-etl keys …`."""

from __future__ import annotations

import datetime as dt

import typer

from vault_etl.cli import keys_destroy, keys_rewrap, keys_rotate
from vault_etl.cli.output import OutputOption, QuietOption, print_object, print_rows
from vault_etl.cli.start import VerboseOption, start
from vault_etl.core.audit import Action
from vault_etl.core.fields import PERSONAL_FIELDS
from vault_etl.ports.key_store import KeyUsage
from vault_etl.services.audit_request import audit_request
from vault_etl.services.init_keys import INIT_REASON

app = typer.Typer(
    help="Make, list, rotate, rewrap and destroy keys.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("init")
def _init(
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make the first token keys, one a field. Safe to repeat: then it makes none.

    \b
    Example:
      vault-etl keys init
    """
    program, _ = start(quiet=quiet, verbose=verbose)
    program.check_role(
        "vault_etl_re_encrypt",
        requests=lambda: [
            audit_request(program.identity(), Action.KEYS_INIT, INIT_REASON, fields=PERSONAL_FIELDS)
        ],
    )
    print_object({"created": list(program.init_keys().created)}, output)


@app.command("list")
def _list(
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show every key: its state, its age, and how many values still need it.

    \b
    Examples:
      vault-etl keys list
      vault-etl keys list --output json
    """
    program, _ = start(quiet=quiet, verbose=verbose)
    now = dt.datetime.now(dt.UTC)
    print_rows(
        (_listed(usage, now) for usage in program.key_lister().usage()),
        output,
        columns=("key_id", "purpose", "field", "generation", "state", "age_days", "rows"),
        empty="there are no keys yet: `vault-etl keys init` makes the first",
    )


keys_rotate.register(app)
keys_rewrap.register(app)
keys_destroy.register(app)


def _listed(usage: KeyUsage, now: dt.datetime) -> dict[str, object]:
    key = usage.key
    return {
        "key_id": key.key_id,
        "purpose": key.purpose.value,
        "field": key.field.value,
        "generation": key.generation,
        "state": key.state.value,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "retired_at": key.retired_at,
        "destroyed_at": key.destroyed_at,
        "kms_key_arn": key.kms_key_arn,
        "age_days": (now - key.created_at).days,
        "rows": usage.rows,
    }
