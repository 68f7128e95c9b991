"""What botocore tells of a call while it makes it, for a `CallObserver`.

`before-call` and `after-call` or `after-call-error` come once a call, `response-received` once a
try. All of one call get the same `context`, a dict of botocore's, in which the start is kept.
A failure before anything is sent (no credentials) has no try that tells of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from vault_etl.platform.call_observer import CallObserver

_STARTED: Final = "vault_etl_started"
_TOLD: Final = "vault_etl_told"


class Events(Protocol):
    """botocore's emitter, as far as it is needed."""

    def register(self, event_name: str, handler: Callable[..., None]) -> None:
        """Have the handler called at events of this name, and of those below it."""


def observe_calls(events: Events, observer: CallObserver) -> None:
    """Tell `observer` of all calls of the clients that are made after this."""
    calls = _Calls(observer)
    events.register("before-call", calls.before)
    events.register("response-received", calls.tried)
    events.register("after-call", calls.after)
    events.register("after-call-error", calls.after)


class _Calls:
    def __init__(self, observer: CallObserver) -> None:
        self._observer = observer

    def before(self, *, context: dict[str, Any], **_other: object) -> None:
        context[_STARTED] = time.monotonic()

    def tried(
        self,
        *,
        event_name: str,
        context: dict[str, Any],
        parsed_response: Mapping[str, Any] | None = None,
        exception: Exception | None = None,
        **_other: object,
    ) -> None:
        if exception is not None:
            context[_TOLD] = exception
            self._failed(event_name, type(exception).__name__)
        elif parsed_response is not None and "Error" in parsed_response:
            self._failed(event_name, str(parsed_response["Error"].get("Code", "")))

    def after(
        self,
        *,
        event_name: str,
        context: dict[str, Any],
        exception: Exception | None = None,
        **_other: object,
    ) -> None:
        if exception is not None and exception is not context.get(_TOLD):
            self._failed(event_name, getattr(exception, "code", type(exception).__name__))
        _, service, operation = event_name.split(".", 2)
        started = context.get(_STARTED)
        if started is not None:
            self._observer.called(service, operation, time.monotonic() - started)

    def _failed(self, event_name: str, code: str) -> None:
        _, service, operation = event_name.split(".", 2)
        self._observer.failed(service, operation, code)
