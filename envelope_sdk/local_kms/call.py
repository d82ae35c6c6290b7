"""One call in progress: what an operation may use, and the one way from a name to a key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.access.grants import read_token
from envelope_sdk.local_kms.accounts import CROSS_ACCOUNT
from envelope_sdk.local_kms.catalogue import View
from envelope_sdk.local_kms.identifiers import Reference, Scope, parse_reference
from envelope_sdk.local_kms.limits import ResourceQuotas
from envelope_sdk.local_kms.managed import check_managed, managed_key
from envelope_sdk.local_kms.model import GrantRecord, Key, KeyManager, LastUsage
from envelope_sdk.local_kms.policy import Caller, ConditionValue, Grant
from envelope_sdk.local_kms.policy.refusals import out_of_reach
from envelope_sdk.local_kms.states import check_state
from envelope_sdk.local_kms.store.contract import ReadTransaction, Store
from envelope_sdk.primitives.entropy import RandomSource

__all__ = [
    "COUNTED_BY_KEY",
    "Authority",
    "Call",
    "Journal",
    "Journals",
    "KeySource",
    "Quotas",
    "Requester",
    "ServiceEvent",
    "Surroundings",
    "Unlimited",
    "UsageRecords",
]

COUNTED_BY_KEY: Final = frozenset(
    {
        "Decapsulate",
        "Decrypt",
        "DeriveSharedSecret",
        "Encapsulate",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "GenerateRandom",
        "ReEncrypt",
        "Sign",
        "Verify",
        "VerifyMac",
    }
)
"""Operations that share a quota with others of the same kind of key, so that the key has to be known to count them."""

_MODELS_INVALID_ARN: Final = frozenset(
    {
        "CancelKeyDeletion",
        "CreateGrant",
        "CreateKey",
        "DeleteImportedKeyMaterial",
        "DescribeKey",
        "DisableKey",
        "DisableKeyRotation",
        "EnableKey",
        "EnableKeyRotation",
        "GetKeyLastUsage",
        "GetKeyPolicy",
        "GetKeyRotationStatus",
        "GetParametersForImport",
        "GetPublicKey",
        "ImportKeyMaterial",
        "ListAliases",
        "ListGrants",
        "ListKeyPolicies",
        "ListKeyRotations",
        "ListResourceTags",
        "ListRetirableGrants",
        "PutKeyPolicy",
        "ReplicateKey",
        "RetireGrant",
        "RevokeGrant",
        "RotateKeyOnDemand",
        "ScheduleKeyDeletion",
        "TagResource",
        "UntagResource",
        "UpdateKeyDescription",
        "UpdatePrimaryRegion",
    }
)
"""Operations whose model has InvalidArnException; the others answer NotFoundException."""


@dataclass(frozen=True, slots=True)
class Requester:
    """Who calls, where, and by what way.

    Attributes:
        scope: the account and Region called: the caller's own account.
        caller: the principal.
        request_id: of this call, as its answer and the audit log name it.
        source_ip: the address the call comes from; ``None`` within a process.
        user_agent: what the caller's program says it is.
        secure: whether the call came over TLS, or not over a network at all.
        via_service: the AWS service that calls on the principal's behalf, for instance
            ``s3.us-east-1.amazonaws.com``.
        conditions: further condition keys of the request, for instance ``aws:SourceArn``.
        access_key_id: what the request was signed with, where it was signed.
    """

    scope: Scope
    caller: Caller
    request_id: str
    source_ip: str | None = None
    user_agent: str = ""
    secure: bool = True
    via_service: str | None = None
    conditions: Mapping[str, ConditionValue] | None = None
    access_key_id: str | None = None

    @property
    def event_id(self) -> str:
        """The id of the audit log's event of this call: the same for whoever asks, at no cost to who does not."""
        name = f"event of {self.request_id}".encode(errors="surrogatepass")
        digits = hashlib.sha256(name).hexdigest()
        # The form of a random UUID (version 4, RFC 9562 section 5.4), written out: it is made for every event.
        variant = "89ab"[int(digits[16], 16) & 3]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """Something the service did by itself.

    Attributes:
        name: as CloudTrail calls it: ``DeleteKey``, ``RotateKey``, ``DeleteExpiredKeyMaterial`` or
            ``SynchronizeMultiRegionKey``.
        key: the key it was done to.
        time: when, UTC.
        details: what CloudTrail adds, for instance ``rotationType``; names as there.
    """

    name: str
    key: Key
    time: datetime
    details: Mapping[str, str] = field(default_factory=dict[str, str])


KeySource = View | ReadTransaction
"""Where a call finds keys: the catalogue, or the transaction that is about to change one."""


class Authority(Protocol):
    """Decides who may do what."""

    def authorize(self, call: Call, action: str, key: Key | None, resource: str) -> None:
        """Raise AccessDeniedException unless the caller may do ``action`` to ``resource``.

        Args:
            call: its parameters have been checked.
            action: a permission without ``kms:``, for instance ``ReEncryptFrom``.
            key: the key it is about, if any.
            resource: the ARN of the key or alias, ``*`` for neither.
        """
        ...


class Quotas(Protocol):
    """Limits how often calls are made."""

    def take(self, call: Call, key: Key | None) -> None:
        """Count a call; raise ThrottlingException where it is one too many.

        Args:
            call: whose parameters may not have been checked yet.
            key: for :data:`COUNTED_BY_KEY`, the key, unless the call fails before it is found.
        """
        ...


class Journal(Protocol):
    """Takes note of what was done: audit, metering, last use."""

    def prepare(self, call: Call) -> None:
        """Raise KMSInternalException where a call that is about to begin could not be recorded."""
        ...

    def record(self, call: Call, answer: Mapping[str, Any] | None, error: KmsServiceError | None) -> None:
        """Take note of a call that has ended, with an answer or with ``error``, before its caller learns of it.

        Raises:
            KmsServiceError: KMSInternalException: it cannot be recorded, so that the caller must not have the answer.
        """
        ...

    def record_service_event(self, event: ServiceEvent) -> None:
        """Take note of what the service does by itself, before it is committed. Raises as :meth:`record`."""
        ...


class Journals:
    """Several journals as one, in their order."""

    def __init__(self, *journals: Journal) -> None:
        """Take the journals; what one cannot record, those after it are not told of."""
        self._journals = journals

    def prepare(self, call: Call) -> None:
        """Ask each."""
        for journal in self._journals:
            journal.prepare(call)

    def record(self, call: Call, answer: Mapping[str, Any] | None, error: KmsServiceError | None) -> None:
        """Tell each."""
        for journal in self._journals:
            journal.record(call, answer, error)

    def record_service_event(self, event: ServiceEvent) -> None:
        """Tell each."""
        for journal in self._journals:
            journal.record_service_event(event)


class UsageRecords(Protocol):
    """Knows when keys were last used."""

    def last_usage(self, scope: Scope, key_id: str) -> LastUsage | None:
        """Return the last successful use of a key for cryptography."""
        ...


class Unlimited:
    """The absence of access control, quotas and journal."""

    def authorize(self, call: Call, action: str, key: Key | None, resource: str) -> None:
        """Permit it."""

    def take(self, call: Call, key: Key | None) -> None:
        """Permit it."""

    def prepare(self, call: Call) -> None:
        """Permit it."""

    def record(self, call: Call, answer: Mapping[str, Any] | None, error: KmsServiceError | None) -> None:
        """Forget it."""

    def record_service_event(self, event: ServiceEvent) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all calls of one service have in common.

    Attributes:
        store: for changes.
        random: the source of key material, ids and nonces.
        authority: who may do what.
        quotas: how often.
        limits: how many things there may be.
        usage: who knows when keys were last used; ``None`` where nobody does.
        grant_propagation: how long a new grant takes to count for callers without its token.
    """

    store: Store
    random: RandomSource
    authority: Authority
    quotas: Quotas
    limits: ResourceQuotas
    usage: UsageRecords | None
    grant_propagation: timedelta


@dataclass(slots=True, eq=False)
class Call:
    """One call of one operation.

    Attributes:
        operation: its name, for instance ``GenerateDataKey``.
        parameters: as the caller gave them.
        requester: who calls, and where.
        now: the time of the call, UTC, to the millisecond.
        view: the keys as they are now.
        around: what it has in common with others.
        keys: those the call has come to so far, for the record.
        facts: condition keys that only the operation can tell.
        new_grant: for CreateGrant, the grant to be made.
        retired: for RetireGrant, the grant to be retired.
    """

    operation: str
    parameters: Mapping[str, object]
    requester: Requester
    now: datetime
    view: View
    around: Surroundings
    keys: tuple[Key, ...] = ()
    facts: Mapping[str, ConditionValue] | None = None
    new_grant: Grant | None = None
    retired: GrantRecord | None = None
    _source: KeySource | None = None
    _counted: bool = False

    @property
    def store(self) -> Store:
        """The store, for changes."""
        return self.around.store

    @property
    def random(self) -> RandomSource:
        """The source of key material, ids and nonces."""
        return self.around.random

    @property
    def limits(self) -> ResourceQuotas:
        """How many things there may be."""
        return self.around.limits

    @property
    def scope(self) -> Scope:
        """The account and Region called."""
        return self.requester.scope

    @property
    def records(self) -> KeySource:
        """Where what decides on permissions is looked up: where a key was looked for last, if one was."""
        return self._source or self.view

    def key(self, name: str, source: KeySource, *, aliases: bool = True, action: str | None = None) -> Key:
        """Return the key that ``name`` stands for, permitted and in a state fit for this operation.

        Args:
            name: key id or key ARN; with ``aliases`` also alias name or alias ARN.
            source: where to look; a change looks in its own transaction.
            aliases: whether the operation takes aliases.
            action: the permission to ask for, if not that of the operation's name.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, or the state's error.
        """
        return self.admit(self.find(name, source, aliases=aliases, action=action), action)

    def find(self, name: str, source: KeySource, *, aliases: bool = True, action: str | None = None) -> Key:
        """Return the key that ``name`` stands for; neither permission nor state is checked.

        Parameters and errors as of :meth:`key`. One that another account does not have is answered as one that it has
        and that does not let the caller in (AccessDeniedException).
        """
        self._source = source
        reference = parse_reference(self.scope, name)
        if reference is None:
            raise faults.invalid_arn(name) if self._models_invalid_arn else faults.not_found(f"Invalid arn {name}")
        self._check_reference(reference, name, aliases=aliases)
        scope = self.scope
        if reference.account != scope.account:
            scope = Scope(reference.account, scope.region)
        key_id = reference.name
        if reference.alias:
            alias = source.alias(scope, reference.name)
            if alias is None:
                return self._managed(reference, action)
            key_id = alias.key_id
        key = source.key(scope, key_id)
        if key is None:
            raise self._missing(scope, action, faults.key_not_found(scope.key_arn(key_id)))
        return key

    def admit(self, key: Key, action: str | None = None) -> Key:
        """Return ``key`` if the caller may use it and its state allows this operation.

        Permission first, as AWS has it: who may not use a key does not learn its state.
        """
        self.permit(key, action)
        if key.manager is KeyManager.AWS:
            check_managed(key, action or self.operation, self.requester.caller)
        check_state(self.operation, key)
        return key

    def permit(self, key: Key | None, action: str | None = None, resource: str | None = None) -> None:
        """Count the call, and raise unless the caller may make it.

        Args:
            key: what it is about, if it is about a key.
            action: the permission to ask for, if not that of the operation's name.
            resource: the ARN of an alias, where it is about one rather than its key.
        """
        if key is not None and key not in self.keys:
            self.keys = (*self.keys, key)
        self.count(key)
        action = action or self.operation
        if resource is None:
            resource = "*" if key is None else key.arn
        if key is not None and key.scope.account != self.scope.account and self.operation not in CROSS_ACCOUNT:
            raise out_of_reach(self.requester.caller.arn, action)
        self.around.authority.authorize(self, action, key, resource)

    def count(self, key: Key | None) -> None:
        """Count the call, unless it is counted already.

        Raises:
            KmsServiceError: ThrottlingException: it is one too many.
        """
        if not self._counted:
            self._counted = True
            self.around.quotas.take(self, key)

    @property
    def _models_invalid_arn(self) -> bool:
        return self.operation in _MODELS_INVALID_ARN

    def _missing(self, owner: Scope, action: str | None, error: KmsServiceError) -> KmsServiceError:
        """Return ``error`` for what the caller's own account does not have."""
        if owner.account == self.scope.account:
            return error
        # As where there is a key: looking at the tokens comes before the decision.
        tokens: Any = self.parameters.get("GrantTokens") or ()
        for token in tokens:
            read_token(token)
        return out_of_reach(self.requester.caller.arn, action or self.operation)

    def _managed(self, reference: Reference, action: str | None) -> Key:
        """Return the AWS managed key under an alias that has no key yet, made by this."""
        own = reference.account == self.scope.account
        key = managed_key(self.store, self.scope, reference.name, self.now, self.random) if own else None
        if key is None:
            owner = Scope(reference.account, self.scope.region)
            raise self._missing(owner, action, faults.alias_not_found(reference.arn))
        return key

    def _check_reference(self, reference: Reference, name: str, *, aliases: bool) -> None:
        if reference.region != self.scope.region:
            raise faults.not_found(f"Invalid arn {reference.region}")
        if reference.alias and not aliases:
            raise faults.alias_not_taken()
        if not reference.well_formed:
            raise faults.malformed_key_id(name)
