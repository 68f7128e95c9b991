"""`vault-etl schema iam`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.output import QuietOption


def iam(
    *,
    role_per_field: Annotated[
        bool,
        typer.Option(
            "--role-per-field",
            help="Add a role for each field, which may reveal that field and no other.",
        ),
    ] = False,
    multi_region: Annotated[
        bool,
        typer.Option(
            "--multi-region",
            help="Make multi-Region KMS keys, which can be replicated to another region.",
        ),
    ] = False,
    lake: Annotated[
        bool,
        typer.Option(
            "--lake",
            help="Let ingest, re-encrypt and erase sign sets and keep their files, and reveal read them.",
        ),
    ] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Print the CloudFormation template of the declaration: KMS keys, queues, IAM roles and policies.

    The policies of the roles and the keys list the declared fields. Deploy the template again after a
    field was added, before its first key is made. Decide about --multi-region before the first
    deployment: a KMS key cannot become one later. CloudFormation takes 51,200 bytes in a call, and a
    larger template by way of a bucket: a warning says so.

    \b
    Examples:
      vault-etl schema iam > vault-etl.template.yaml
      vault-etl schema iam --role-per-field > vault-etl.template.yaml
      vault-etl schema iam --lake > vault-etl.template.yaml
    """
    from vault_etl.declaration.iam import MAX_INLINE, iam_template

    parts, _ = start(quiet=quiet, verbose=verbose)
    text = iam_template(
        parts.declaration, role_per_field=role_per_field, multi_region=multi_region, lake=lake
    )
    sys.stdout.write(text)
    size = len(text.encode())
    if size > MAX_INLINE and not quiet:
        sys.stderr.write(
            f"vault-etl: the template has {size:,} bytes, and CloudFormation takes {MAX_INLINE:,} in a call:"
            " deploy it with --s3-bucket\n"
        )
