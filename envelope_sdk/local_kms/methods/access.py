"""Acting as others, and asking what they may do: nothing that boto3 has."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.access.identities import Identities, PolicyDocument
from envelope_sdk.local_kms.access.simulation import Simulation, simulate
from envelope_sdk.local_kms.call import Requester
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.methods.base import Methods
from envelope_sdk.local_kms.policy import Caller, ConditionValue
from envelope_sdk.local_kms.service import Service

__all__ = ["AccessMethods"]


class AccessMethods(Methods):
    """Who calls, and what they may do.

    Attributes:
        region: the Region called.
        account: the account called.
    """

    region: str
    account: str
    _scope: Scope
    _caller: Caller
    _way: Mapping[str, Any]
    _service: Service

    @abstractmethod
    def _seen_by(self, caller: Caller, scope: Scope, way: Mapping[str, Any]) -> Self:
        """Return the same KMS as ``caller`` meets it in ``scope``."""

    @property
    def identities(self) -> Identities:
        """The local users, groups and roles of this account, and their access keys."""
        return Identities(self._service.store, self._scope, clock=self._service.clock, random=self._service.random)

    def acting_as(
        self,
        principal: str | Caller,
        *,
        session_policies: Iterable[PolicyDocument] = (),
        source_ip: str | None = None,
        via_service: str | None = None,
        conditions: Mapping[str, ConditionValue] | None = None,
        region: str | None = None,
    ) -> Self:
        """Return this KMS as another principal meets it: the way to try policies and grants.

        It works on the same keys, in the principal's account, as long as this one is open.

        Args:
            principal: the ARN of an account's root, a user, a role, a session of one or a federated user, of any
                account; the name of an AWS service; or the ``caller`` of what ``identities.assume_role`` returned. A
                user or role need not be known: without identity policies, key policies and grants may name it.
            session_policies: the session may do no more than these allow.
            source_ip: ``aws:SourceIp``.
            via_service: ``kms:ViaService``, for instance ``s3.us-east-1.amazonaws.com``.
            conditions: further condition keys, for instance ``{"aws:SourceArn": ...}``.
            region: another Region than this KMS's.

        Raises:
            UsageError: there is no such kind of principal, or Region; or there are session policies for a caller who
                was made before.
            KmsServiceError: MalformedPolicyDocumentException: a session policy.
        """
        policies = list(session_policies)
        if isinstance(principal, str):
            principal = self.identities.caller(principal, policies)
        elif policies:
            raise UsageError("a caller that was made before has its session policies already")
        scope = Scope(principal.account or self.account, region or self.region)
        way = {"source_ip": source_ip, "via_service": via_service, "conditions": conditions}
        return self._seen_by(principal, scope, way)

    def simulate(
        self,
        principal: str | Caller,
        action: str,
        key: str | None = None,
        *,
        encryption_context: Mapping[str, str] | None = None,
        grant_tokens: Sequence[str] = (),
        session_policies: Iterable[PolicyDocument] = (),
        source_ip: str | None = None,
        via_service: str | None = None,
        conditions: Mapping[str, ConditionValue] | None = None,
        region: str | None = None,
    ) -> Simulation:
        """Return whether a principal may do something, and statement by statement why.

        Nothing is done, and nobody needs a permission to ask; only a key of AWS's own (``alias/aws/...``) is made where
        it is named for the first time.

        Args:
            principal: as of :meth:`acting_as`.
            action: a permission, for instance ``kms:Decrypt``; ReEncrypt is ``kms:ReEncryptFrom`` and
                ``kms:ReEncryptTo``.
            key: a key by id, ARN, alias or alias ARN; none for what is done to none, such as CreateKey. For actions
                on aliases an alias means itself, which takes another permission than its key does.
            encryption_context: of the request.
            grant_tokens: likewise.
            session_policies: as of :meth:`acting_as`.
            source_ip: likewise.
            via_service: likewise.
            conditions: likewise; of keys that the parameters of the call would say, these are the values too.
            region: likewise.

        Raises:
            UsageError: there is no such action or kind of principal; or the action needs a key, or has none.
            KmsServiceError: NotFoundException: there is no such key.
        """
        acting = self.acting_as(
            principal,
            session_policies=session_policies,
            source_ip=source_ip,
            via_service=via_service,
            conditions=conditions,
            region=region,
        )
        requester = Requester(acting._scope, acting._caller, "simulation", **acting._way)
        return simulate(self._service, requester, action, key, encryption_context or {}, grant_tokens)
