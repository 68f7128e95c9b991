"""The declaration of a command that writes, as the database compares it with the one in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import ConfigurationError
from vault_etl.declaration.document import digest_of
from vault_etl.declaration.model import Declaration

IN_FORCE: Final = "in force"
ADMITTED: Final = "admitted"


@dataclass(frozen=True, slots=True)
class WriterDeclaration:
    """The digest of a command's declaration, and whether the version before may be written too.

    `may_be_before` is true of loaders: if a change only adds optional values, they go on until they are restarted.
    """

    digest: bytes
    may_be_before: bool = False

    @classmethod
    def of(cls, declaration: Declaration, *, may_be_before: bool = False) -> WriterDeclaration:
        """Return the digest of a declaration, for a writer."""
        return cls(digest_of(declaration), may_be_before)

    def check(self, state: str | None) -> None:
        """Raise ConfigurationError unless the state is `in force`, or `admitted` for a writer that may be before."""
        if state == IN_FORCE or (state == ADMITTED and self.may_be_before):
            return
        raise ConfigurationError(
            f"the declaration of this command ({self.digest.hex()[:12]}…) is not the one in force",
            hint="name the applied file in VAULT_ETL_SCHEMA_FILE and restart, or apply this one with"
            " `vault-etl schema apply`; `vault-etl doctor` compares both",
        )
