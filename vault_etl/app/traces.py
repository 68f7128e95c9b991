"""Traces: whether the environment asks for spans of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from vault_etl.base.errors import ConfigurationError

if TYPE_CHECKING:
    from vault_etl.platform.traces import Traces

_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def traces_of(environ: Mapping[str, str]) -> Traces | None:
    """Build the traces of a command; None, and no import, unless OTEL_TRACES_EXPORTER is `otlp`.

    Raises ConfigurationError for variables that ask for what this program does not have.
    """
    exporter = environ.get("OTEL_TRACES_EXPORTER", "none")
    if exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if exporter != "otlp":
        message = "OTEL_TRACES_EXPORTER is neither otlp nor none"
        raise ConfigurationError(message, hint="spans are sent over OTLP alone")
    for name in _PROTOCOLS:
        if environ.get(name, "http/protobuf") != "http/protobuf":
            message = f"{name} is not http/protobuf"
            raise ConfigurationError(message, hint="a collector takes it at port 4318")
    try:
        from vault_etl.platform.traces import Traces  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        message = "OTEL_TRACES_EXPORTER is set, and the packages for it are not installed"
        hint = "install the lock requirements/traces.txt, or unset the variable"
        raise ConfigurationError(message, hint=hint) from None
    try:
        return Traces()
    except ValueError:
        message = "a variable OTEL_BSP_… or OTEL_EXPORTER_OTLP_… has a value that is not valid"
        raise ConfigurationError(message, hint="the number of a queue or of seconds?") from None
