"""Prices and quotas of the model of capacity, each with the page that has it.

Quotas are from the documentation of AWS. Scripts fill in most of its price lists, so that most prices are from pages
that repeat them. All pages were read in November 2026.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Figure:
    """A value, what it is of, and where it is from."""

    value: float
    name: str
    source: str


_AWS_DOCS: Final = "https://docs.aws.amazon.com"
_KMS_PRICES: Final = "[AWS](https://aws.amazon.com/kms/pricing/)"
_KMS_QUOTAS: Final = f"[AWS]({_AWS_DOCS}/kms/latest/developerguide/requests-per-second.html)"
_SQS_DOCS: Final = f"{_AWS_DOCS}/AWSSimpleQueueService/latest/SQSDeveloperGuide"
_SQS_QUOTAS: Final = f"[AWS]({_SQS_DOCS}/quotas-queues.html)"
_SQS_PRICES: Final = "[cloudburn, March 2026](https://cloudburn.io/blog/amazon-sqs-pricing)"
_POSTGRES: Final = "[PostgreSQL](https://www.postgresql.org/docs/18/runtime-config-connection.html)"
_CALL_PRICES: Final = (
    "[FactualMinds, June 2026]"
    "(https://www.factualminds.com/blog/aws-kms-pricing-keys-requests-multi-region/)"
)
_FARGATE_PRICES: Final = (
    "[FactualMinds, June 2026]"
    "(https://www.factualminds.com/blog/amazon-fargate-ecs-task-pricing-2026/)"
)
_S3_PRICES: Final = "[cloudburn, March 2026](https://cloudburn.io/blog/amazon-s3-pricing)"
_YOURS: Final = "yours to set: `benchmarks/prices.py`"

_MILLION_SQS: Final = "dollars for a million calls of SQS, of at most 64 KB each:"
SQS_TIERS: Final = (
    (100e9, Figure(0.40, f"{_MILLION_SQS} the first 100 billion of a month", _SQS_PRICES)),
    (100e9, Figure(0.30, f"{_MILLION_SQS} the next 100 billion", _SQS_PRICES)),
    (math.inf, Figure(0.24, f"{_MILLION_SQS} all others", _SQS_PRICES)),
)
"""How many calls of a month have which price."""
KMS_CALLS: Final = Figure(3, "dollars for a million calls of KMS", _CALL_PRICES)
KMS_KEY: Final = Figure(1, "dollars for a key of KMS a month", _KMS_PRICES)
IN_FLIGHT: Final = Figure(120_000, "messages in flight of a standard queue, about", _SQS_QUOTAS)
KMS_LOOK_UPS: Final = Figure(
    2_000, "`DescribeKey` a second, of the account in a region", _KMS_QUOTAS
)
KMS_CRYPTO: Final = Figure(
    10_000,
    "`Decrypt` and `GenerateDataKey` a second, in the regions that have least",
    _KMS_QUOTAS,
)
CONNECTIONS: Final = Figure(
    97, "connections of Postgres: 100, of which a superuser alone can have 3", _POSTGRES
)
CORES: Final = Figure(16, "cores of Postgres", _YOURS)
WAL: Final = Figure(125, "MB of WAL a second, which a replica can follow over 1 Gbit/s", _YOURS)
VCPU: Final = Figure(0.04048, "dollars for an hour of a vCPU of Fargate, x86", _FARGATE_PRICES)
GIGABYTE_HOUR: Final = Figure(
    0.004445, "dollars for an hour of a GB of its memory", _FARGATE_PRICES
)
S3_MONTH: Final = Figure(0.023, "dollars for a GB in S3 Standard a month", _S3_PRICES)
S3_PUTS: Final = Figure(5, "dollars for a million parts written to S3", _YOURS)
S3_GETS: Final = Figure(0.4, "dollars for a million parts read from S3", _YOURS)

FIGURES: Final = (
    *(price for _, price in SQS_TIERS),
    KMS_CALLS,
    KMS_KEY,
    IN_FLIGHT,
    KMS_LOOK_UPS,
    KMS_CRYPTO,
    CONNECTIONS,
    CORES,
    WAL,
    VCPU,
    GIGABYTE_HOUR,
    S3_MONTH,
    S3_PUTS,
    S3_GETS,
)


def sqs_dollars(calls: float) -> float:
    """Return the price of the calls of one month, without the free tier."""
    dollars = 0.0
    for most, price in SQS_TIERS:
        part = min(calls, most)
        dollars += part / 1e6 * price.value
        calls -= part
    return dollars
