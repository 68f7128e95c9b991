"""Names that a search takes: of the values of a field, or of a derived form of them."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.crypto.tokens import placeholders
from vault_etl.declaration.model import Declaration, DeclaredEvent, VaultField, derived_name
from vault_etl.kinds.kind import DerivedForm


@dataclass(frozen=True, slots=True)
class Searched:
    """The values of a field, or a derived form of them. Tokens of one name can be joined."""

    field: VaultField
    form: DerivedForm | None = None

    @property
    def name(self) -> FieldName:
        """The name of the field, with that of the form: `ip`, `ip/network`."""
        return self.field.name if self.form is None else derived_name(self.field.name, self.form)

    @property
    def derived(self) -> str | None:
        """The name of the form, as tokens are made of it."""
        return None if self.form is None else self.form.name

    @property
    def hint(self) -> str:
        """The sentence that tells a person which values there are."""
        return self.field.kind.hint if self.form is None else self.form.hint

    @property
    def placeholders(self) -> Mapping[uuid.UUID, str]:
        """The placeholders of the field by their tokens. No derived token is one of them."""
        return placeholders(self.field.name, self.field.kind)

    def columns(self, declaration: Declaration) -> Iterator[tuple[DeclaredEvent, str]]:
        """Yield the events that have these tokens, each with a column of them."""
        for event in declaration.events:
            for value in event.personal:
                if value.field.name == self.field.name:
                    named = zip(value.token_names, value.tokens, strict=True)
                    yield from ((event, c) for (_, derived), c in named if derived == self.derived)

    def events(self, declaration: Declaration) -> frozenset[EventName]:
        """The names of the events that have these tokens."""
        return frozenset(event.name for event, _ in self.columns(declaration))

    def held(self, value: Pii) -> Pii:
        """Return the value as records hold it. Raises ValueError, without the value, if none can."""
        return self.field.kind.held(value, self.form)

    def held_or_none(self, value: Pii) -> Pii | None:
        """Return the value as records hold it; None if no record can hold it in the field."""
        with contextlib.suppress(ValueError):
            return self.held(value)
        return None


def searched(declaration: Declaration) -> Mapping[FieldName, Searched]:
    """Return what can be searched: each field, and the derived forms that a value of it declares, by their names."""
    found = [
        Searched(field, form)
        for field in declaration.fields
        for form in (None, *_forms(declaration, field))
    ]
    return {one.name: one for one in found}


def _forms(declaration: Declaration, field: VaultField) -> tuple[DerivedForm, ...]:
    values = (value for event in declaration.events for value in event.personal)
    declared = (
        form for value in values if value.field.name == field.name for form in value.derived
    )
    return tuple(dict.fromkeys(declared))
