"""One call in progress: what an operation may use, and the one way from a name to a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.catalogue import View
from envelope_sdk.local_kms.identifiers import Reference, Scope, parse_reference
from envelope_sdk.local_kms.model import Alias, Key
from envelope_sdk.local_kms.states import check_state
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["Call", "Caller", "Gate", "KeySource", "OpenGate"]

_MODELS_INVALID_ARN: Final = frozenset(
    {
        "CancelKeyDeletion",
        "DescribeKey",
        "DisableKey",
        "EnableKey",
        "GetPublicKey",
        "ListAliases",
        "ScheduleKeyDeletion",
        "UpdateKeyDescription",
    }
)
"""Operations whose model has InvalidArnException; the others answer NotFoundException."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        scope: the account and Region called.
        principal: the caller's ARN.
    """

    scope: Scope
    principal: str


class KeySource(Protocol):
    """Where a call finds keys: the catalogue, or the transaction that is about to change one."""

    def key(self, scope: Scope, key_id: str) -> Key | None:
        """Return the key of that id."""
        ...

    def alias(self, scope: Scope, name: str) -> Alias | None:
        """Return the alias of that name."""
        ...


class Gate(Protocol):
    """What stands around every call: permissions before, the record of what happened after.

    The one place for key policies, grants, quotas and the audit log.
    """

    def authorize(self, call: Call, action: str, key: Key | None) -> None:
        """Raise a KmsServiceError unless the caller may do ``action`` (``kms:`` left off) with ``key``, if any."""
        ...

    def record(self, call: Call, error: KmsServiceError | None) -> None:
        """Take note of a call that has ended, well or with ``error``."""
        ...


class OpenGate:
    """Lets everything through and records nothing: policies and audit are not built yet."""

    def authorize(self, call: Call, action: str, key: Key | None) -> None:
        """Permit it."""

    def record(self, call: Call, error: KmsServiceError | None) -> None:
        """Do nothing."""


@dataclass(slots=True, eq=False)
class Call:
    """One call of one operation.

    Attributes:
        operation: its name, for instance ``GenerateDataKey``.
        parameters: as the caller gave them.
        caller: who calls, and where.
        now: the time of the call, UTC, to the millisecond.
        view: the keys as they are now.
        store: for changes.
        random: the source of key material, ids and nonces.
        gate: permissions and records.
        key_arns: the keys the call has come to so far, for the record.
    """

    operation: str
    parameters: Mapping[str, object]
    caller: Caller
    now: datetime
    view: View
    store: Store
    random: RandomSource
    gate: Gate
    key_arns: tuple[str, ...] = ()

    @property
    def scope(self) -> Scope:
        """The account and Region called."""
        return self.caller.scope

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
        return self.admit(self.find(name, source, aliases=aliases), action)

    def find(self, name: str, source: KeySource, *, aliases: bool = True) -> Key:
        """Return the key that ``name`` stands for; neither permission nor state is checked."""
        reference = parse_reference(self.scope, name)
        if reference is None:
            raise faults.invalid_arn(name) if self._models_invalid_arn else faults.not_found(f"Invalid arn {name}")
        self._check_reference(reference, name, aliases=aliases)
        key_id = reference.name
        if reference.alias:
            alias = source.alias(self.scope, reference.name)
            if alias is None:
                raise faults.alias_not_found(reference.arn)
            key_id = alias.key_id
        key = source.key(self.scope, key_id)
        if key is None:
            raise faults.key_not_found(self.scope.key_arn(key_id))
        return key

    def admit(self, key: Key, action: str | None = None) -> Key:
        """Return ``key`` if the caller may use it and its state allows this operation.

        Permission first, as AWS has it: who may not use a key does not learn its state.
        """
        self.key_arns = (*self.key_arns, key.arn)
        self.gate.authorize(self, action or self.operation, key)
        check_state(self.operation, key)
        return key

    @property
    def _models_invalid_arn(self) -> bool:
        return self.operation in _MODELS_INVALID_ARN

    def _check_reference(self, reference: Reference, name: str, *, aliases: bool) -> None:
        if reference.region != self.scope.region:
            raise faults.not_found(f"Invalid arn {reference.region}")
        if not reference.well_formed or (reference.alias and not aliases):
            raise faults.malformed_key_id(name)
        if reference.account != self.scope.account:
            # Other accounts' keys are a matter of policies, which are not built: for now there are none.
            raise faults.alias_not_found(name) if reference.alias else faults.key_not_found(name)
