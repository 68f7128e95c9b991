"""The only place that builds adapters: the settings go in, services come out."""

from __future__ import annotations

import datetime as dt
import functools
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vault_etl import logs
from vault_etl.adapters.aws import RECEIVE_MARGIN_S, AwsClients
from vault_etl.adapters.aws_kms import KmsKeyGenerator, KmsKeyUnwrapper, TrustedKeys
from vault_etl.adapters.aws_kms_describe import KmsKeyDescriber
from vault_etl.adapters.aws_kms_rewrap import KmsKeyFinder, KmsKeyRewrapper
from vault_etl.adapters.aws_kms_sign import KmsHeadSigner, KmsPublicKey
from vault_etl.adapters.aws_sqs import SqsQueue
from vault_etl.adapters.aws_sqs_dead_letters import dead_letter_queue_url
from vault_etl.adapters.aws_sts import StsIdentity
from vault_etl.adapters.core_dumps import forbid_core_dumps
from vault_etl.adapters.lines_file import LinesFile
from vault_etl.adapters.open_lines import open_lines
from vault_etl.adapters.postgres import Database
from vault_etl.adapters.postgres_audit import (
    PostgresAuditLog,
    PostgresAuditReader,
    PostgresReleasedValues,
)
from vault_etl.adapters.postgres_checkpoints import PostgresCheckpoints, PostgresKeyRegistry
from vault_etl.adapters.postgres_cut_over import PostgresTokenCutOver
from vault_etl.adapters.postgres_doctor import PostgresFacts
from vault_etl.adapters.postgres_duplicates import PostgresDuplicateFinder
from vault_etl.adapters.postgres_erase import PostgresEraser
from vault_etl.adapters.postgres_finder import PostgresRecordFinder
from vault_etl.adapters.postgres_key_ages import SeldomAskedKeyAges
from vault_etl.adapters.postgres_key_end import PostgresKeyEnder, PostgresKeyNeeds
from vault_etl.adapters.postgres_keys import PostgresKeyStore
from vault_etl.adapters.postgres_migrations import PostgresMigrations
from vault_etl.adapters.postgres_old_tokens import PostgresOldTokens
from vault_etl.adapters.postgres_policy import PostgresPolicy
from vault_etl.adapters.postgres_proof import PostgresProver
from vault_etl.adapters.postgres_quarantine import PostgresQuarantineMover, PostgresQuarantineReader
from vault_etl.adapters.postgres_records import PostgresRecordLoader
from vault_etl.adapters.postgres_reseal import PostgresResealer
from vault_etl.adapters.postgres_rewrap import PostgresWrappedKeys
from vault_etl.adapters.postgres_rotation import (
    PostgresDataRotations,
    PostgresRangeClaims,
    PostgresRotationReader,
    PostgresTokenRotations,
)
from vault_etl.adapters.postgres_tokens import PostgresTokenBackfill, PostgresTokenChecker
from vault_etl.adapters.resources import resource_dir
from vault_etl.adapters.system_clock import SystemClock
from vault_etl.adapters.worker_processes import LIFELINE_OPTION, WorkerProcesses
from vault_etl.core.audit import AuditRequest
from vault_etl.core.audit_key import AuditKey
from vault_etl.core.checkpoint import Checkpoint
from vault_etl.core.fields import Field, KeyPurpose
from vault_etl.core.ingest_engine import IngestEngine
from vault_etl.core.ingest_limits import Limits
from vault_etl.core.key_age import KeyAge, key_age
from vault_etl.core.keys import KeyState
from vault_etl.errors import ConfigurationError
from vault_etl.ports.audit_log import AuditReader
from vault_etl.ports.call_observer import CallObserver
from vault_etl.ports.duplicates import DuplicateFinder
from vault_etl.ports.ingest_observer import IngestObserver
from vault_etl.ports.key_ages import KeyAgeObserver
from vault_etl.ports.progress import Progress
from vault_etl.ports.quarantine import QuarantineReader
from vault_etl.ports.workers import WorkersObserver
from vault_etl.services.abort_tokens import Aborted, AbortTokens
from vault_etl.services.backfill import Backfill, BackfillWorker
from vault_etl.services.begin_tokens import BeginTokens
from vault_etl.services.checkpoint import Checkpointer
from vault_etl.services.checks import audit as audit_checks
from vault_etl.services.checks import aws as aws_checks
from vault_etl.services.checks import database as database_checks
from vault_etl.services.checks import keys as key_checks
from vault_etl.services.checks import logins as login_checks
from vault_etl.services.cut_over import CutOver
from vault_etl.services.destroy_key import KeyDestruction
from vault_etl.services.doctor import Check, Finding, Verdict, diagnose
from vault_etl.services.doomed_keys import DoomedKeys
from vault_etl.services.erase import Erase
from vault_etl.services.find import Find
from vault_etl.services.ingest import HEARTBEATS, Ingest, IngestOptions
from vault_etl.services.ingest_steps import Bounds, IngestSteps
from vault_etl.services.init_keys import InitReport, init_keys
from vault_etl.services.key_ring import MAX_CACHED_SECONDS, KeyRing
from vault_etl.services.make_key import DataKeyLeases
from vault_etl.services.outage import FOLLOWING, Patience
from vault_etl.services.pace import Pace
from vault_etl.services.prove_kms import ProvenUnwrapper
from vault_etl.services.readiness import Readiness
from vault_etl.services.reseal import WorkersKeys
from vault_etl.services.retry_quarantine import QuarantineRetry
from vault_etl.services.reveal import Reveal
from vault_etl.services.rewrap_key import KeyRewrap
from vault_etl.services.rewrap_keys import Rewrap
from vault_etl.services.rewrap_target import RewrapTarget
from vault_etl.services.rotate_keys import (
    ResealWorker,
    Rotation,
    RotationPlan,
    plan_rotation,
    retire_data_keys,
)
from vault_etl.services.rotate_tokens import TokenPlan, TokenRotation, plan_tokens
from vault_etl.services.show_quarantined import ShowQuarantined
from vault_etl.services.signed_log import SignedLog
from vault_etl.services.supervise import Supervisor
from vault_etl.services.verify_log import Proof, verify_log
from vault_etl.services.verify_notes import KeptNote
from vault_etl.services.watch_key_ages import KeyAgeWatch
from vault_etl.services.write_batch import BatchWriter
from vault_etl.settings import Settings

if TYPE_CHECKING:
    from vault_etl.adapters.served_metrics import ServedMetrics

__all__ = ["LIFELINE_OPTION", "Program", "Source"]

ROTATION_WORKERS: Final = 4
"""Threads, so that sealing and waiting for Postgres overlap. More processes share the same ranges."""

WORKERS_STOP_SOONER_S: Final = 1.5
"""So that a parent that waits for its workers ends in time itself."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an ingest's messages come from: the queue, unless something else is said."""

    file: str | None = None
    name: str | None = None
    """What the identities of lines are made of; None: the content of the file."""
    sent: dt.date | None = None
    """The day of lines that name none."""
    dead_letters: bool = False


class Program:
    """What one command needs, built from the settings when it is asked for."""

    def __init__(self, settings: Settings) -> None:
        forbid_core_dumps()
        self._settings = settings
        self._clock = SystemClock()
        self._calls: CallObserver | None = None
        self._ages: KeyAgeObserver | None = None

    def migrations(self) -> PostgresMigrations:
        """For `migrate`."""
        return PostgresMigrations(self._database, resource_dir("migrations"))

    def init_keys(self) -> InitReport:
        """Run `keys init`."""
        store = self._keys
        return init_keys(
            reader=store,
            writer=store,
            generator=self._generator,
            unwrapper=self._unwrapper(),
            audit=self.audit_log(),
            identity=self.identity(),
        )

    def ingest(self, observer: IngestObserver, source: Source, bounds: Bounds) -> Ingest:
        """For `ingest`: with partitions made, keys loaded and the KMS proved.

        Raises ConfigurationError if the keys are not there or the KMS ignores contexts, and
        whatever Postgres, KMS and the source say.
        """
        settings = self._settings
        wait = settings.follow_wait if bounds.follow else settings.drain_wait
        queue = self._source(source, wait)
        writer = self.batch_writer()
        writer.prepare()  # no keys, or a KMS that cannot be trusted: better known before a receive
        visibility = queue.visibility_timeout()
        if visibility < 1:
            message = "the queue shows messages to others while they are held"
            raise ConfigurationError(message, hint="set its VisibilityTimeout: 60 s is a good one")
        if wait + RECEIVE_MARGIN_S >= visibility:  # an answer must not come when it is stale
            wait = max(0, visibility - RECEIVE_MARGIN_S - 1)
            queue = self._source(source, wait)
        receivers = 1 if source.file else settings.receivers
        limits = Limits(
            batch_size=settings.batch_size,
            linger=settings.linger,
            max_held=settings.max_held,
            max_held_bytes=settings.max_held_mib * 1024 * 1024,
            visibility=visibility,
            receivers=receivers,
            heartbeats=HEARTBEATS,
            max_messages=bounds.max_messages,
        )
        patience = FOLLOWING if bounds.follow else Patience(settings.outage_wait, denied=0)
        steps = IngestSteps(
            IngestEngine(limits), queue, queue, writer, self._clock, observer, patience, bounds
        )
        options = IngestOptions(wait=wait, receivers=receivers, stop_within=settings.stop_within)
        watch = self._key_age_watch()
        return Ingest(steps, self._clock, options, watch.look if watch else None)

    def supervisor(
        self,
        observer: WorkersObserver,
        bounds: Bounds,
        workers: int,
        arguments: Sequence[str],
        metrics: ServedMetrics | None,
    ) -> Supervisor:
        """For `ingest --workers`: the parent of processes that run `vault-etl ARGUMENTS`.

        Raises ConfigurationError for settings that every worker would miss.
        """
        self._settings.need_database_url()
        self._settings.need_queue_url()
        stop_within = max(1.0, self._settings.stop_within - WORKERS_STOP_SOONER_S)
        environment = {**os.environ, "VAULT_ETL_STOP_WITHIN": str(stop_within)}
        starter = WorkerProcesses(arguments, environment, metrics.workers if metrics else None)
        return Supervisor(starter, workers, bounds, self._clock, observer, stop_within)

    def metrics(self, address: str, ready: Readiness, workers: int) -> ServedMetrics:
        """For `ingest --metrics-address`; to be called before what it tells of is built."""
        from vault_etl.adapters.served_metrics import ServedMetrics  # noqa: PLC0415 - 45 ms

        served = ServedMetrics(address, ready.reason, workers)
        self._calls = self._ages = served.observer
        return served

    def worker_metrics(self) -> IngestObserver | None:
        """The metrics of a worker whose parent serves them; as `metrics`."""
        from vault_etl.adapters.prometheus import MetricsSlot, PrometheusMetrics  # noqa: PLC0415

        slot = MetricsSlot.from_environment()
        if slot is None:
            return None
        try:
            self._calls = self._ages = metrics = PrometheusMetrics(slot)
        except FileNotFoundError:  # the parent was killed, and its successor has tidied up
            return None
        return metrics

    def batch_writer(self) -> BatchWriter:
        """What stores batches of messages, wherever they come from."""
        loader = PostgresRecordLoader(self._database)
        ring = self._ring(max_seconds=self._lease.total_seconds())
        return BatchWriter(loader, ring, self._leases(), self._clock)

    def reveal(self, request_id: uuid.UUID) -> Reveal:
        """For one reveal: KMS is asked anew, with the request id in the user agent."""
        values = PostgresReleasedValues(self._database)
        return Reveal(self.audit_log(request_id), values, values, self._ring(request_id))

    def find(self, request_id: uuid.UUID) -> Find:
        """For `find`: as for a reveal."""
        finder = PostgresRecordFinder(self._database)
        return Find(self.audit_log(request_id), finder, self._ring(request_id))

    def erase(self, request_id: uuid.UUID) -> Erase:
        """For `erase`."""
        signer = KmsHeadSigner(self._aws.kms(request_id), self._settings.audit_key)
        checkpoints = PostgresCheckpoints(self._database)
        return Erase(PostgresEraser(self._database), checkpoints, signer, _keep)

    def check_role(
        self, *roles: str, requests: Callable[[], Iterable[AuditRequest]] = tuple
    ) -> None:
        """Raise DeniedError unless the database's login acts as one of these roles.

        `requests` are then put on the record, as denied, if the login may write the log at all.
        """
        PostgresAuditLog(self._database).check_role(*roles, requests=requests)

    def audit_log(self, request_id: uuid.UUID | None = None) -> SignedLog:
        """The log for an audited command: its head is signed, stored and logged at the end."""
        signer = KmsHeadSigner(self._aws.kms(request_id), self._settings.audit_key)
        checkpoints = PostgresCheckpoints(self._database)
        return SignedLog(PostgresAuditLog(self._database), checkpoints, signer, _keep)

    def plan_rotation(self, fields: Sequence[Field], *, lazy: bool) -> RotationPlan:
        """For `keys rotate`: what it would do."""
        return plan_rotation(self._keys, PostgresRotationReader(self._database), fields, lazy=lazy)

    def retire_data_keys(self, request: AuditRequest) -> tuple[int, ...]:
        """Run `keys rotate --lazy`."""
        return retire_data_keys(self.audit_log(request.request_id), self._keys, request)

    def rotation(self, progress: Progress, request_id: uuid.UUID, rate: float | None) -> Rotation:
        """For `keys rotate`."""
        return Rotation(
            audit=self.audit_log(request_id),
            rotations=PostgresDataRotations(self._database),
            workers=[
                ResealWorker(PostgresRangeClaims(database), PostgresResealer(database))
                for database in self._workers_databases()
            ],
            keys=WorkersKeys(self._ring(request_id), self._leases()),
            pace=Pace(self._clock, rate),
            progress=progress,
        )

    def plan_tokens(self) -> TokenPlan:
        """For `keys rotate --tokens`: what it would do."""
        return plan_tokens(self._keys, PostgresTokenChecker(self._database))

    def token_rotation(
        self, progress: Progress, request_id: uuid.UUID, rate: float | None, wait: float
    ) -> TokenRotation:
        """For `keys rotate --tokens`; the cut-over is tried for `wait` seconds."""
        database = self._database
        log = self.audit_log(request_id)
        return TokenRotation(
            audit=log,
            sign=log.sign,
            identity=self.identity(),
            begin=BeginTokens(
                self._keys,
                PostgresTokenRotations(database),
                self._generator,
                self._unwrapper(request_id),
            ),
            backfill=Backfill(
                [
                    BackfillWorker(PostgresRangeClaims(own), PostgresTokenBackfill(own))
                    for own in self._workers_databases()
                ],
                WorkersKeys(self._ring(request_id), self._leases()),
                Pace(self._clock, rate),
                progress,
            ),
            checker=PostgresTokenChecker(database),
            cut_over=CutOver(
                PostgresTokenCutOver(database), self._clock, threading.Event(), progress, wait
            ),
        )

    def wrapped_keys(self) -> PostgresWrappedKeys:
        """For `keys rewrap`: what there is to wrap anew."""
        return PostgresWrappedKeys(self._database)

    def rewrap(self, progress: Progress) -> Rewrap:
        """For `keys rewrap`: KMS is asked by each key's own request id, in the user agent."""
        return Rewrap(self._key_rewrap, self.identity(), progress)

    def rewrap_target(self, request: AuditRequest | None) -> RewrapTarget:
        """For `keys rewrap --to`."""
        request_id = request.request_id if request else None
        kms_keys = KmsKeyFinder(self._aws.kms(request_id), self._trusted)
        return RewrapTarget(self.audit_log(request_id), kms_keys)

    def doomed_keys(self) -> DoomedKeys:
        """For `keys destroy`: what would go, and what needs it."""
        return DoomedKeys(self._keys, PostgresKeyNeeds(self._database))

    def destroy_key(self, progress: Progress, request_id: uuid.UUID) -> KeyDestruction:
        """For `keys destroy`."""
        return KeyDestruction(
            audit=self.audit_log(request_id),
            doomed_keys=self.doomed_keys(),
            ender=PostgresKeyEnder(self._database),
            old_tokens=PostgresOldTokens(self._database),
            progress=progress,
        )

    def abort_tokens(self, progress: Progress, request: AuditRequest) -> Aborted:
        """Run `keys rotate --tokens --abort`."""
        database = self._database
        abort = AbortTokens(
            self.audit_log(request.request_id),
            PostgresTokenRotations(database),
            self._keys,
            PostgresOldTokens(database),
            progress,
        )
        return abort(request)

    def quarantine_reader(self) -> QuarantineReader:
        """For `quarantine list`, and for the question before a retry."""
        return PostgresQuarantineReader(self._database)

    def show_quarantined(self, request_id: uuid.UUID) -> ShowQuarantined:
        """For `quarantine show`: KMS is asked anew, with the request id in the user agent."""
        return ShowQuarantined(
            self.audit_log(request_id),
            PostgresReleasedValues(self._database),
            self.quarantine_reader(),
            self._ring(request_id),
        )

    def quarantine_retry(self, progress: Progress, request_id: uuid.UUID) -> QuarantineRetry:
        """For `quarantine retry`."""
        return QuarantineRetry(
            audit=self.audit_log(request_id),
            mover=PostgresQuarantineMover(self._database),
            partitions=PostgresRecordLoader(self._database),
            ring=self._ring(request_id),
            leases=self._leases(),
            clock=self._clock,
            progress=progress,
        )

    def key_lister(self) -> PostgresKeyStore:
        """For `keys list`, and for the plan of a rotation."""
        return self._keys

    def key_age(self, purpose: KeyPurpose) -> KeyAge:
        """For `keys rotate --if-due`: whether the keys of this purpose are due.

        Raises UnavailableError, DeniedError, ConfigurationError.
        """
        return key_age(purpose, self._keys.oldest(KeyState.ACTIVE), self._settings.key_age_limits)

    def doctor(self) -> Iterator[Finding]:
        """For `doctor`. What a check needs is built when it looks: if that fails, the check does."""
        return diagnose([*self._settings_checks(), *self._aws_checks(), *self._database_checks()])

    def _acts_as(self, *roles: str) -> Callable[[], bool]:
        """Whether the database's login has one of these roles, of which each has rights to match."""

        def look() -> bool:
            rights = PostgresFacts(self._database).rights()
            return not rights.superuser and any(
                f"vault_etl_{role}" in rights.roles for role in roles
            )

        return look

    def duplicate_finder(self) -> DuplicateFinder:
        """For `duplicates`."""
        return PostgresDuplicateFinder(self._database)

    def audit_reader(self) -> AuditReader:
        """For `audit list`."""
        return PostgresAuditReader(self._database)

    def identity(self) -> StsIdentity:
        """Who runs this command, by AWS's word."""
        return self._identity

    def verify_log(self, keys: Sequence[AuditKey], kept: Sequence[KeptNote]) -> Proof:
        """Run `audit verify`, with the key that KMS names if none is given."""
        known = keys or [self._public_key.signing_key().key]
        with PostgresProver(self._database).snapshot() as snapshot:
            return verify_log(snapshot, known, kept)

    def policy(self) -> PostgresPolicy:
        """For `audit policy`."""
        return PostgresPolicy(self._database)

    def checkpoints(self) -> Checkpointer:
        """For `audit checkpoint`."""
        return Checkpointer(
            registry=PostgresKeyRegistry(self._database),
            checkpoints=PostgresCheckpoints(self._database),
            public_key=self._public_key,
            signer=KmsHeadSigner(self._aws.kms(), self._settings.audit_key),
            identity=self.identity(),
            keep=_keep,
        )

    @functools.cached_property
    def _database(self) -> Database:
        return Database(self._settings.need_database_url(), self._calls)

    def _workers_databases(self) -> list[Database]:
        """A connection for each worker of a rotation."""
        url = self._settings.need_database_url()
        return [Database(url, self._calls) for _ in range(ROTATION_WORKERS)]

    def _settings_checks(self) -> Iterable[Check]:
        yield Check("settings", self._check_settings)

    def _check_settings(self) -> Verdict:
        self._settings.need_database_url()
        if self._settings.queue_url is None:
            return Verdict.good("complete but for VAULT_ETL_QUEUE_URL, which `ingest` needs")
        return Verdict.good("complete")

    def _aws_checks(self) -> Iterable[Check]:
        settings = self._settings

        def kms_key(name: str, kind: aws_checks.Kind) -> Verdict:
            return aws_checks.kms_key(KmsKeyDescriber(self._aws.kms()), name, kind)

        def queue(url: str) -> SqsQueue:
            return SqsQueue(self._aws.sqs(), self._aws.sqs(), url)

        def look_at_queue() -> Verdict:
            if settings.queue_url is None:
                return Verdict.unknown("VAULT_ETL_QUEUE_URL is not set")
            dead = functools.partial(dead_letter_queue_url, self._aws.sqs(), settings.queue_url)
            longest = max(settings.follow_wait, settings.drain_wait) + RECEIVE_MARGIN_S
            return aws_checks.queue(queue(settings.queue_url), lambda: queue(dead()), longest)

        def credentials() -> Verdict:
            return Verdict.good(f"there are credentials, for {self._aws.region()}")

        def identity() -> Verdict:
            return aws_checks.identity(self.identity())

        wraps, signs, needs = aws_checks.WRAPS, aws_checks.SIGNS, ("aws_credentials",)
        seal = self._acts_as("ingest", "reveal", "rotate", "re_encrypt")
        sign = self._acts_as("reveal", "rotate", "re_encrypt", "erase", "audit")
        yield Check("aws_credentials", credentials)
        yield Check("aws_identity", identity, needs, lambda: True)
        yield Check("kms_data_key", lambda: kms_key(settings.data_key, wraps), needs, seal)
        yield Check("kms_token_key", lambda: kms_key(settings.token_key, wraps), needs, seal)
        yield Check("kms_audit_key", lambda: kms_key(settings.audit_key, signs), needs, sign)
        yield Check("queue", look_at_queue, needs, self._acts_as("ingest"))

    def _database_checks(self) -> Iterable[Check]:
        def facts() -> PostgresFacts:
            return PostgresFacts(self._database)

        def migrations() -> Verdict:
            return database_checks.migrations(self.migrations().pending())

        def separation() -> Verdict:
            return login_checks.separation(facts(), self.identity)

        def trusted() -> Verdict:
            return key_checks.trusted(facts(), self._trusted)

        def contexts() -> Verdict:
            return key_checks.contexts(self._keys, self._unwrapper())

        needs = ("migrations",)
        aliases = () if self._settings.trusted_key_arns else ("kms_data_key", "kms_token_key")
        keys = self._acts_as("ingest", "reveal", "rotate", "re_encrypt", "audit")
        opens = self._acts_as("ingest", "reveal", "re_encrypt")
        yield Check(
            "postgres", lambda: database_checks.server(facts()), ("settings",), lambda: True
        )
        yield Check("migrations", migrations, ("postgres",), lambda: True)
        yield Check("roles", lambda: login_checks.roles(facts()), needs)
        yield Check("separation", separation, needs)
        yield Check("partitions", lambda: database_checks.partitions(facts()), needs)
        yield Check("fence", lambda: database_checks.fence(facts()), needs)
        yield Check("token_keys", lambda: key_checks.token_keys(self._keys), needs, keys)
        yield Check("pending_token_keys", lambda: key_checks.pending(self._keys), needs, keys)
        for purpose in KeyPurpose:
            look = functools.partial(self._check_age, purpose)
            yield Check(f"{purpose}_key_age", look, needs, keys)
        yield Check("trusted_keys", trusted, (*needs, *aliases), keys)
        yield Check("kms_contexts", contexts, ("token_keys", "kms_token_key"), opens)
        yield Check(
            "audit_log", lambda: audit_checks.signed(facts()), needs, self._acts_as("audit")
        )

    def _check_age(self, purpose: KeyPurpose) -> Verdict:
        return key_checks.age(self.key_age(purpose))

    def _key_age_watch(self) -> KeyAgeWatch | None:
        """None if nobody is told."""
        if self._ages is None:
            return None
        database = Database(self._settings.need_database_url(), self._calls)
        limits = self._settings.key_age_limits
        return KeyAgeWatch(SeldomAskedKeyAges(database), limits, self._clock, self._ages)

    @property
    def _public_key(self) -> KmsPublicKey:
        return KmsPublicKey(self._aws.kms(), self._settings.audit_key)

    @functools.cached_property
    def _identity(self) -> StsIdentity:
        return StsIdentity(self._aws.sts())

    @functools.cached_property
    def _keys(self) -> PostgresKeyStore:
        return PostgresKeyStore(self._database)

    @functools.cached_property
    def _aws(self) -> AwsClients:
        return AwsClients(self._calls)

    @functools.cached_property
    def _generator(self) -> KmsKeyGenerator:
        return KmsKeyGenerator(self._aws.kms(), self._key_names)

    def _source(self, source: Source, wait: int) -> SqsQueue | LinesFile:
        if source.file:
            return open_lines(source.file, self._clock, source=source.name, sent=source.sent)
        url = self._settings.need_queue_url()
        if source.dead_letters:
            url = dead_letter_queue_url(self._aws.sqs(), url)
        return SqsQueue(self._aws.sqs(), self._aws.sqs_receiver(wait), url)

    @property
    def _key_names(self) -> Mapping[KeyPurpose, str]:
        return {
            KeyPurpose.DATA: self._settings.data_key,
            KeyPurpose.TOKEN: self._settings.token_key,
        }

    def _ring(
        self, request_id: uuid.UUID | None = None, *, max_seconds: float = MAX_CACHED_SECONDS
    ) -> KeyRing:
        """Keys, unwrapped by a KMS that has to prove itself with the first of them."""
        unwrapper = ProvenUnwrapper(self._unwrapper(request_id))
        return KeyRing(self._keys, unwrapper, max_seconds=max_seconds)

    @property
    def _lease(self) -> dt.timedelta:
        return dt.timedelta(hours=self._settings.lease_hours)

    def _unwrapper(self, request_id: uuid.UUID | None = None) -> KmsKeyUnwrapper:
        return KmsKeyUnwrapper(self._aws.kms(request_id), self._trusted)

    def _key_rewrap(self, request_id: uuid.UUID) -> KeyRewrap:
        kms = self._aws.kms(request_id)
        return KeyRewrap(
            self.audit_log(request_id),
            KmsKeyRewrapper(kms, self._trusted),
            KmsKeyUnwrapper(kms, self._trusted),
            self.wrapped_keys(),
        )

    @functools.cached_property
    def _trusted(self) -> TrustedKeys:
        """Of a run over many keys: aliases are looked up once."""
        listed = frozenset(self._settings.trusted_key_arns)
        return TrustedKeys(self._aws.kms(), self._key_names, listed)

    def _leases(self) -> DataKeyLeases:
        return DataKeyLeases(
            self._generator,
            self._keys,
            self._clock,
            max_age=self._lease,
            max_seals=self._settings.lease_seals,
        )


def _keep(checkpoint: Checkpoint) -> None:
    """Log a signed head: logs are kept where the database's owner cannot reach. A screen is no log."""
    logger = logs.get_logger()
    log = logger.debug if sys.stderr.isatty() else logger.info
    log("checkpoint", seq=checkpoint.head.seq, note=checkpoint.note)
