"""The KMS without a door: a call by operation name in, an answer or an error out.

Nothing here knows of HTTP, Python callers or disks. What comes later has its place: an operation is a line in
:data:`OPERATIONS`; permissions, quotas and the record of what was done are an ``Authority``, ``Quotas``
and a ``Journal`` (see :mod:`~envelope_sdk.local_kms.call`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from envelope_sdk.errors import KmsServiceError, LocalKmsError, UsageError
from envelope_sdk.local_kms import due, faults
from envelope_sdk.local_kms.access.authority import PolicyAuthority
from envelope_sdk.local_kms.call import (
    COUNTED_BY_KEY,
    Authority,
    Call,
    Journal,
    Journals,
    Quotas,
    Requester,
    ServiceEvent,
    Surroundings,
    Unlimited,
)
from envelope_sdk.local_kms.catalogue import Catalogue, View
from envelope_sdk.local_kms.limits import ResourceQuotas
from envelope_sdk.local_kms.metering.costs import Costs, costs
from envelope_sdk.local_kms.metering.counting import Metering
from envelope_sdk.local_kms.metering.prices import AWS_PRICES, Prices
from envelope_sdk.local_kms.operations import (
    agreement,
    aliases,
    crypto,
    custom_key_stores,
    data_key_pairs,
    grants,
    imports,
    keys,
    multi_region,
    policies,
    rotation,
    signing,
    tags,
    usage,
)
from envelope_sdk.local_kms.store.contract import Store
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["OPERATIONS", "Clock", "Service", "system_clock"]

Clock = Callable[[], datetime]
"""Returns the time, tz-aware."""

OPERATIONS: Final[Mapping[str, Callable[[Call], dict[str, Any]]]] = MappingProxyType(
    {
        "CancelKeyDeletion": keys.cancel_key_deletion,
        "ConnectCustomKeyStore": custom_key_stores.connect_custom_key_store,
        "CreateAlias": aliases.create_alias,
        "CreateCustomKeyStore": custom_key_stores.create_custom_key_store,
        "CreateGrant": grants.create_grant,
        "CreateKey": keys.create_key,
        "Decapsulate": agreement.decapsulate,
        "Decrypt": crypto.decrypt,
        "DeleteAlias": aliases.delete_alias,
        "DeleteImportedKeyMaterial": imports.delete_imported_key_material,
        "DeleteCustomKeyStore": custom_key_stores.delete_custom_key_store,
        "DeriveSharedSecret": agreement.derive_shared_secret,
        "DescribeCustomKeyStores": custom_key_stores.describe_custom_key_stores,
        "DescribeKey": keys.describe_key,
        "DisableKey": keys.disable_key,
        "DisableKeyRotation": rotation.disable_key_rotation,
        "DisconnectCustomKeyStore": custom_key_stores.disconnect_custom_key_store,
        "EnableKey": keys.enable_key,
        "EnableKeyRotation": rotation.enable_key_rotation,
        "Encapsulate": agreement.encapsulate,
        "Encrypt": crypto.encrypt,
        "GenerateDataKey": crypto.generate_data_key,
        "GenerateDataKeyPair": data_key_pairs.generate_data_key_pair,
        "GenerateDataKeyPairWithoutPlaintext": data_key_pairs.generate_data_key_pair_without_plaintext,
        "GenerateDataKeyWithoutPlaintext": crypto.generate_data_key_without_plaintext,
        "GenerateMac": signing.generate_mac,
        "GenerateRandom": crypto.generate_random,
        "GetKeyLastUsage": usage.get_key_last_usage,
        "GetKeyPolicy": policies.get_key_policy,
        "GetKeyRotationStatus": rotation.get_key_rotation_status,
        "GetParametersForImport": imports.get_parameters_for_import,
        "GetPublicKey": signing.get_public_key,
        "ImportKeyMaterial": imports.import_key_material,
        "ListAliases": aliases.list_aliases,
        "ListGrants": grants.list_grants,
        "ListKeyPolicies": policies.list_key_policies,
        "ListKeyRotations": rotation.list_key_rotations,
        "ListKeys": keys.list_keys,
        "ListResourceTags": tags.list_resource_tags,
        "ListRetirableGrants": grants.list_retirable_grants,
        "PutKeyPolicy": policies.put_key_policy,
        "ReEncrypt": crypto.re_encrypt,
        "ReplicateKey": multi_region.replicate_key,
        "RetireGrant": grants.retire_grant,
        "RevokeGrant": grants.revoke_grant,
        "RotateKeyOnDemand": rotation.rotate_key_on_demand,
        "ScheduleKeyDeletion": keys.schedule_key_deletion,
        "Sign": signing.sign,
        "TagResource": tags.tag_resource,
        "UntagResource": tags.untag_resource,
        "UpdateAlias": aliases.update_alias,
        "UpdateCustomKeyStore": custom_key_stores.update_custom_key_store,
        "UpdateKeyDescription": keys.update_key_description,
        "UpdatePrimaryRegion": multi_region.update_primary_region,
        "Verify": signing.verify,
        "VerifyMac": signing.verify_mac,
    }
)
"""Every operation built, by its name in the API."""


def system_clock() -> datetime:
    """Return the time now, UTC."""
    return datetime.now(UTC)


class Service:
    """The local KMS's operations over one store. Safe to share between threads."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock = system_clock,
        random: RandomSource = system_random,
        authority: Authority | None = None,
        quotas: Quotas | None = None,
        journal: Journal | None = None,
        grant_propagation: timedelta = timedelta(),
        limits: ResourceQuotas | None = None,
    ) -> None:
        """Take the store, where time and randomness come from, and what stands around every call.

        Access control does unless another ``authority`` is given. ``grant_propagation`` is how long a new grant takes
        to count for callers without its token.
        """
        self._store = store
        self._clock = clock
        self._metering = Metering(store)
        # What cannot be audited is not charged for.
        self._journal: Journal = self._metering if journal is None else Journals(journal, self._metering)
        self._around = Surroundings(
            store=store,
            random=random,
            authority=authority or PolicyAuthority(),
            quotas=quotas or Unlimited(),
            journal=self._journal,
            limits=limits or ResourceQuotas(),
            usage=self._metering,
            grant_propagation=grant_propagation,
        )
        self._catalogue = Catalogue(store)

    def __repr__(self) -> str:
        return f"Service({self._store!r})"

    @property
    def store(self) -> Store:
        """The store below."""
        return self._store

    @property
    def clock(self) -> Clock:
        """What returns the time, tz-aware."""
        return self._clock

    @property
    def random(self) -> RandomSource:
        """The source of key material, ids and nonces."""
        return self._around.random

    def call(self, operation: str, parameters: Mapping[str, object], requester: Requester) -> dict[str, Any]:
        """Do one operation.

        Args:
            operation: its name in the API, for instance ``GenerateDataKey``.
            parameters: by AWS's names; bytes are bytes, not base64.
            requester: who calls, and in which account and Region.

        Returns:
            The answer's members: bytes are bytes, times are tz-aware.

        Raises:
            KmsServiceError: AWS's error, with the operation's name.
            KeyStoreError: the store cannot be used.
        """
        function = OPERATIONS.get(operation)
        if function is None:
            error = faults.unknown_operation()
            raise KmsServiceError(error.code, error.message, operation=operation, status=error.status)
        now = self._now()
        try:
            view = self._current(now)
            return self._run(function, Call(operation, parameters, requester, now, view, self._around))
        except KmsServiceError as error:
            raise KmsServiceError(error.code, error.message, operation=operation, status=error.status) from None

    def settle(self, now: datetime | None = None) -> Sequence[ServiceEvent]:
        """Do everything that has fallen due: deletions, expiries of imported key material, automatic rotations.

        Every call does so first. This is for a server that nobody may call for a while; it also writes down what was
        used.

        Args:
            now: up to when, UTC; left out, up to the clock's time.

        Returns:
            What has happened, each with the date at which it was due.

        Raises:
            KmsServiceError: DependencyTimeoutException: others kept the store locked.
            KeyStoreError: the store cannot be used.
        """
        now = self._now() if now is None else now
        next_due = self._catalogue.view().next_due()
        events: Sequence[ServiceEvent] = [] if next_due is None or next_due > now else self._settle(now)
        self._metering.flush()
        return events

    def costs(self, month: str, *, prices: Prices = AWS_PRICES, free_tier: bool = False) -> Costs:
        """Return what the keys and requests of a month would have cost on AWS; see ``metering.costs``."""
        self._metering.flush()
        return costs(self._store, month, self._now(), prices=prices, free_tier=free_tier)

    def check(self) -> None:
        """Look whether the store can be read.

        Raises:
            KeyStoreError, KmsServiceError: it cannot.
        """
        self._catalogue.view()

    def preview(self, operation: str, parameters: Mapping[str, object], requester: Requester) -> Call:
        """Return a call as it would begin: to ask what would be allowed. Nothing is done, counted or recorded."""
        return Call(operation, parameters, requester, self._now(), self._catalogue.view(), self._around)

    def close(self) -> None:
        """Write down what was used, forget all keys, and close the store."""
        with suppress(LocalKmsError, UsageError):
            self._metering.flush()
        self._catalogue.close()
        self._store.close()

    def _settle(self, now: datetime) -> Sequence[ServiceEvent]:
        return due.settle(self._store, now, self._around.random, self._journal.record_service_event)

    def _run(self, function: Callable[[Call], dict[str, Any]], call: Call) -> dict[str, Any]:
        self._journal.prepare(call)
        try:
            if call.operation not in COUNTED_BY_KEY:
                call.count(None)
            answer = function(call)
        except KmsServiceError as error:
            raise self._failed(call, error) from None
        except Exception:
            # The caller learns of the store, or of what failed; the record, that the call was made and came to nothing.
            self._journal.record(call, None, faults.internal())
            raise
        self._journal.record(call, answer, None)
        return answer

    def _failed(self, call: Call, error: KmsServiceError) -> KmsServiceError:
        """Return what a failed call ends in. What failed before its key was known counts against quotas, too."""
        try:
            call.count(None)
        except KmsServiceError as throttled:
            error = throttled
        self._journal.record(call, None, error)
        return error

    def _now(self) -> datetime:
        # To the millisecond: that is what the API carries and the store keeps.
        try:
            now = self._clock().astimezone(UTC)
        except OverflowError:
            raise UsageError("the clock shows a time that UTC has no date for") from None
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _current(self, now: datetime) -> View:
        """Return the keys as they are at ``now``: what has fallen due is done first."""
        view = self._catalogue.view()
        next_due = view.next_due()
        if next_due is None or next_due > now:
            return view
        self._settle(now)
        return self._catalogue.view()
