"""moto's server with our permissions boundary in front.

    python -m vault_etl.local.moto_server DIR

`emulator.py` runs this module as a process of its own. The server listens on a free port of
127.0.0.1, and writes the port to `DIR/port`.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import logging
import math
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto import settings
from moto.iam.models import User as _User
from moto.iam.models import iam_backends
from moto.kms.models import KmsBackend, kms_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from werkzeug.serving import make_server

from vault_etl.local.moto_changes import change_moto
from vault_etl.local.moto_connections import KeepAliveHandler
from vault_etl.local.policies import BOUNDARY_SUFFIX, NeededPermission, is_allowed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_ACCOUNT = "123456789012"  # moto's only account
_JSON_SERVICES = {"kms", "sqs"}
_DENIED = "AccessDeniedException"
_USES = {
    f"kms:{call}"
    for call in (
        *("Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"),
        *("GetPublicKey", "ReEncryptFrom", "ReEncryptTo", "Sign", "Verify"),
    )
}
"""The actions that need a key that is enabled."""
_JSON_NAMES = {
    "AccessDenied": _DENIED,
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}
_BLOB_KEY_ID_BYTES = 36  # a ciphertext blob of moto's begins with the id of its key, as text


def main() -> None:
    """Serve until the process is ended."""
    directory = Path(sys.argv[1])
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no line for each request
    change_moto()
    application = PermissionsBoundary(DomainDispatcherApplication(create_backend_app))
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=KeepAliveHandler
    )
    unfinished = directory / "port.new"
    unfinished.write_text(str(server.port), encoding="utf-8")
    unfinished.rename(directory / "port")
    server.serve_forever()


class PermissionsBoundary:
    """Passes on the calls that a user's permissions boundary allows, once moto's authentication is on.

    KMS and SQS calls are judged here; moto judges the action of all other calls. Every user needs a
    boundary.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        if math.isinf(settings.INITIAL_NO_AUTH_ACTION_COUNT):
            return self._application(environ, start_response)
        # moto's own pages would show every key to any user of the machine.
        if environ.get("PATH_INFO", "").startswith("/moto-api"):
            return _refuse(start_response, "moto's own pages are closed")
        scope = _credential_scope(environ)
        user = _user_of(scope[0]) if scope else None
        # moto itself refuses an unknown access key.
        if scope and user and scope[3] in _JSON_SERVICES:
            refusal = _judge(user, service=scope[3], region=scope[2], environ=environ)
            if refusal:
                return _refuse(start_response, *refusal)
        if scope and scope[3] in _JSON_SERVICES:
            return _with_json_errors(self._application, environ, start_response)
        return self._application(environ, start_response)


def _judge(
    user: _User, *, service: str, region: str, environ: WSGIEnvironment
) -> tuple[str, str] | None:
    """Return AWS's text and name of a refusal, or None if the call is allowed with an enabled key, and no dry run."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    call = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[2]
    refused = f"User: {user.arn} is not authorized to perform: {service}:{call}"
    statements = _boundary_of(user)
    try:
        request = json.loads(body or b"{}")
        if service == "sqs":
            permissions = [_needed_of_sqs(call, request, region)]
        else:
            permissions = needed_of_kms(call, request, kms_backends[_ACCOUNT][region])
        for needed in permissions:
            if not is_allowed(needed, statements):
                text = (
                    f"User: {user.arn} is not authorized to perform: {needed.action} "
                    f"on resource: {needed.resource} "
                    f"because no permissions boundary allows the {needed.action} action"
                )
                return text, _DENIED
            if service == "kms" and (unusable := _unusable(needed, kms_backends[_ACCOUNT][region])):
                return unusable
        if service == "kms" and request.get("DryRun"):  # moto does the call instead
            return "The request would have succeeded", "DryRunOperationException"
    except (AttributeError, KeyError, TypeError, ValueError, NotImplementedError):
        return f"{refused} (the emulator cannot judge it)", _DENIED
    return None


def needed_of_kms(call: str, request: dict[str, Any], kms: KmsBackend) -> list[NeededPermission]:
    """Return the permissions that AWS would check. The key of a ciphertext is its own, not the KeyId."""
    match call:
        case "Decrypt":
            is_dry = "DryRunModifiers" in request  # IGNORE_CIPHERTEXT
            source = (
                _key_arn(request["KeyId"], kms)
                if is_dry
                else _key_of_blob(request["CiphertextBlob"], kms)
            )
            return [NeededPermission("kms:Decrypt", source, request.get("EncryptionContext", {}))]
        case "ReEncrypt":
            source = _key_of_blob(request["CiphertextBlob"], kms)
            target = _key_arn(request["DestinationKeyId"], kms)
            old, new = (
                request.get("SourceEncryptionContext", {}),
                request.get("DestinationEncryptionContext", {}),
            )
            keys = {"kms:ReEncryptOnSameKey": str(source == target).lower()}
            return [
                NeededPermission("kms:ReEncryptFrom", source, old, keys),
                NeededPermission("kms:ReEncryptTo", target, new, keys),
            ]
    key = _key_arn(request["KeyId"], kms) if "KeyId" in request else "*"
    if call == "Sign":
        sent = ("MessageType", "SigningAlgorithm")
        keys = {f"kms:{name}": request[name] for name in sent if name in request}
        return [NeededPermission("kms:Sign", key, keys=keys)]
    return [NeededPermission(f"kms:{call}", key, request.get("EncryptionContext", {}))]


def _unusable(needed: NeededPermission, kms: KmsBackend) -> tuple[str, str] | None:
    """Return AWS's text and name of a refusal if a call uses a key that is not enabled: moto would do the call."""
    key = kms.keys.get(needed.resource.rpartition("/")[2])
    if key is None or key.key_state == "Enabled" or needed.action not in _USES:
        return None
    if key.key_state == "Disabled":
        return f"{needed.resource} is disabled.", "DisabledException"
    return f"{needed.resource} is pending deletion.", "KMSInvalidStateException"


def _needed_of_sqs(call: str, request: dict[str, Any], region: str) -> NeededPermission:
    queue = (
        request["QueueName"] if "QueueName" in request else request["QueueUrl"].rpartition("/")[2]
    )
    return NeededPermission(
        f"sqs:{call.removesuffix('Batch')}", f"arn:aws:sqs:{region}:{_ACCOUNT}:{queue}"
    )


def _key_of_blob(blob: str, kms: KmsBackend) -> str:
    try:
        key_id = base64.b64decode(blob)[:_BLOB_KEY_ID_BYTES].decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return "*"
    return str(kms.keys[key_id].arn) if key_id in kms.keys else "*"


def _key_arn(key_id: str, kms: KmsBackend) -> str:
    key = kms.keys.get(kms.any_id_to_key_id(key_id))
    return str(key.arn) if key else "*"


def _credential_scope(environ: WSGIEnvironment) -> list[str] | None:
    """Return the parts of a signature's scope: access key id, date, region, service, "aws4_request"."""
    parts = (
        environ.get("HTTP_AUTHORIZATION", "")
        .partition("Credential=")[2]
        .partition(",")[0]
        .split("/")
    )
    return parts if len(parts) == 5 else None  # noqa: PLR2004  # as listed above


def _user_of(access_key_id: str) -> _User | None:
    for user in iam_backends[_ACCOUNT]["aws"].users.values():
        if any(key.access_key_id == access_key_id for key in user.access_keys):
            return user
    return None


def _boundary_of(user: _User) -> list[dict[str, Any]]:
    """Return a user's boundary, found by its name: moto 5.2 forgets the boundary given to CreateUser."""
    arn = f"arn:aws:iam::{_ACCOUNT}:policy/{user.name}{BOUNDARY_SUFFIX}"
    policy = iam_backends[_ACCOUNT]["aws"].managed_policies.get(arn)
    if policy is None:
        return []
    document = next(version.document for version in policy.versions if version.is_default)
    statements: list[dict[str, Any]] = json.loads(document)["Statement"]
    return statements


def _with_json_errors(
    application: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Answer in JSON: moto refuses a key or a signature in XML, which AWS's JSON services never do."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def remember(
        status: str, headers: list[tuple[str, str]], _: object = None
    ) -> Callable[[bytes], None]:
        started.append((status, headers))
        return lambda _: None

    body = b"".join(application(environ, remember))
    status, headers = started[-1]
    code = re.search(rb"<Code>(\w+)</Code>", body) if status.startswith("403") else None
    if code is None:
        start_response(status, headers)
        return [body]
    name = _JSON_NAMES.get(code[1].decode(), _DENIED)
    return _refuse(start_response, "the emulator does not accept these credentials", name)


def _refuse(start_response: StartResponse, message: str, name: str = _DENIED) -> list[bytes]:
    body = json.dumps({"__type": name, "message": message}).encode()
    start_response(
        "400 Bad Request",
        [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))],
    )
    return [body]


if __name__ == "__main__":
    main()
