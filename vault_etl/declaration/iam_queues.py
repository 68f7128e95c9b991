"""The queues of the CloudFormation template: one for each that an event names, each with its dead-letter queue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.crypto.digest import sha256
from vault_etl.declaration.model import Declaration

DEFAULT_QUEUE: Final = "vault-etl-logins"
"""The queue of an event that names none."""

_FIFO: Final = ".fifo"
_DEAD: Final = "-dead"
_MAX_NAME: Final = 80
"""Characters of the name of a queue, with the suffix."""


@dataclass(frozen=True, slots=True)
class TemplateQueue:
    """A queue with its dead-letter queue, its policy and its outputs. `name` is that in SQS."""

    name: str

    @property
    def is_fifo(self) -> bool:
        """True for a queue that keeps an order."""
        return self.name.endswith(_FIFO)

    @property
    def dead_name(self) -> str:
        """The name of the dead-letter queue in SQS. Of a long name, digits of its digest take the place of the end."""
        suffix = _FIFO if self.is_fifo else ""
        stem = self.name.removesuffix(_FIFO)
        most = _MAX_NAME - len(_DEAD) - len(suffix)
        if len(stem) > most:
            stem = f"{stem[: most - 9]}-{self._digest}"
        return f"{stem}{_DEAD}{suffix}"

    @property
    def id(self) -> str:
        """The name of the queue in the template."""
        return "LoginQueue" if not self._suffix else f"Queue{self._suffix}"

    @property
    def dead_id(self) -> str:
        """The name of the dead-letter queue in the template."""
        return f"DeadLetterQueue{self._suffix}"

    @property
    def policy_id(self) -> str:
        """The name of the policy of both queues in the template."""
        return f"QueuePolicy{self._suffix}"

    @property
    def output(self) -> str:
        """The name of the output with the queue's URL."""
        return f"QueueUrl{self._suffix}"

    @property
    def output_text(self) -> str:
        """The description of that output."""
        return f"VAULT_ETL_QUEUE_URL{f' of {self.name}' if self._suffix else ''}"

    @property
    def dead_output(self) -> str:
        """The name of the output with the dead-letter queue's URL."""
        return f"DeadLetterQueueUrl{self._suffix}"

    @property
    def _suffix(self) -> str:
        """The letters and digits of the name, and digits of its digest, which no other queue has. Empty by default."""
        if self.name == DEFAULT_QUEUE:
            return ""
        words = re.split("[^A-Za-z0-9]+", self.name)
        return f"{''.join(word[:1].upper() + word[1:] for word in words)}{self._digest}"

    @property
    def _digest(self) -> str:
        return sha256(self.name.encode()).hex()[:8]


def queues_of(declaration: Declaration) -> Sequence[TemplateQueue]:
    """Return the queues that events take messages from, in the order of the events: the default, if one takes any."""
    names = (event.queue or DEFAULT_QUEUE for event in declaration.active_events)
    return [TemplateQueue(name) for name in dict.fromkeys(names)]
