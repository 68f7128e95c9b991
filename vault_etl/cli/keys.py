"""`vault-etl keys …`."""

from __future__ import annotations

import typer

from vault_etl.audit.entries import Action
from vault_etl.audit.identity import audit_request
from vault_etl.cli import keys_destroy, keys_list, keys_rewrap, keys_rotate
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.output import OutputOption, QuietOption, print_object
from vault_etl.cli.start import VerboseOption, start
from vault_etl.crypto.fields import PERSONAL_FIELDS
from vault_etl.keys.init import INIT_REASON

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
        *NEEDED_ROLES["keys init"],
        requests=lambda: [
            audit_request(program.identity(), Action.KEYS_INIT, INIT_REASON, fields=PERSONAL_FIELDS)
        ],
    )
    print_object({"created": list(program.init_keys().created)}, output)


keys_list.register(app)
keys_rotate.register(app)
keys_rewrap.register(app)
keys_destroy.register(app)
