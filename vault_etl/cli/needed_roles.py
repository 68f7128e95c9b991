"""The role of Postgres that each command needs: its check, the hint of a refusal, and docs/cli.md use this table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from vault_etl.base.errors import LoginDeniedError, VaultEtlError
from vault_etl.platform.names import SCHEMA

_KEYS_CHANGE: Final = ("vault_etl_rotate", "vault_etl_re_encrypt")

_LAKE: Final = (
    "vault_etl_ingest",
    "vault_etl_reveal",
    "vault_etl_re_encrypt",
    "vault_etl_erase",
    "vault_etl_audit",
    "vault_etl_owner",
)

NEEDED_ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "migrate": ("vault_etl_owner",),
    "ingest": ("vault_etl_ingest",),
    "reveal": ("vault_etl_reveal",),
    "find": ("vault_etl_reveal",),
    "tokens": ("vault_etl_reveal",),
    "duplicates": ("vault_etl_analyst",),
    "subject export": ("vault_etl_reveal",),
    "erase": ("vault_etl_erase",),
    "quarantine list": ("vault_etl_reveal",),
    "quarantine show": ("vault_etl_reveal",),
    "quarantine retry": ("vault_etl_re_encrypt",),
    "quarantine discard": ("vault_etl_erase",),
    **{
        f"partitions {command}": ("vault_etl_owner",)
        for command in ("list", "ensure", "detach", "attach", "archive", "drop", "restore")
    },
    "lake seal": ("vault_etl_ingest",),
    "lake list": _LAKE,
    "lake verify": _LAKE,
    "lake open": ("vault_etl_reveal",),
    "lake rotate": ("vault_etl_re_encrypt",),
    "lake erase": ("vault_etl_erase",),
    "lake drop": ("vault_etl_owner",),
    "lake tokens": ("vault_etl_ingest", "vault_etl_reveal"),
    "partitions retoken": ("vault_etl_re_encrypt",),
    "keys init": ("vault_etl_re_encrypt",),
    "keys list": ("vault_etl_audit", *_KEYS_CHANGE),
    "keys rotate": ("vault_etl_re_encrypt",),
    "keys rotate --lazy": _KEYS_CHANGE,
    "keys rewrap": _KEYS_CHANGE,
    "keys destroy": _KEYS_CHANGE,
    "audit list": ("vault_etl_audit",),
    "audit verify": ("vault_etl_audit",),
    "audit checkpoint": ("vault_etl_audit",),
    "audit export": ("vault_etl_audit",),
    "audit trim": ("vault_etl_owner",),
    "audit policy": ("vault_etl_audit", "vault_etl_reveal"),
    "audit policy set": ("vault_etl_owner",),
    "schema apply": ("vault_etl_owner",),
}
"""Roles by the words of a command; one of them is enough. Other commands are for any role, or ask no Postgres."""


def command_of(arguments: Sequence[str]) -> str | None:
    """The command of this table that a command line names, or None."""
    words = (" ".join(arguments[:count]) for count in (3, 2, 1))
    return next((command for command in words if command in NEEDED_ROLES), None)


def hint_of(error: VaultEtlError, command: str | None) -> str | None:
    """The hint of an error, with the names of this vault.

    If Postgres refused a login without a role, the hint names the roles of the command.
    """
    hint = error.hint
    if isinstance(error, LoginDeniedError) and command is not None:
        hint = f"use a login that has the role {' or '.join(NEEDED_ROLES[command])}"
    if hint is None or SCHEMA not in hint:
        return hint
    from vault_etl import settings

    loaded, *_ = settings.inspect(os.environ)
    return loaded.names.put_into(hint)
