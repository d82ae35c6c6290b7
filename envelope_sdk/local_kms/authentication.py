"""Who makes a request: verified by its signature, or believed."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Protocol

from envelope_sdk.local_kms.canonical import SignedRequest
from envelope_sdk.local_kms.identifiers import Scope, is_account, is_region
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.sigv4 import Verifier, credential_of

__all__ = ["Always", "Anybody", "Authentication", "Signatories"]

_SCOPES: Final = 4096


class Authentication(Protocol):
    """Tells who makes a request, and in which account and Region."""

    def identify(self, request: SignedRequest, service: str) -> tuple[Scope, Caller]:
        """Return the account and Region called, and the principal.

        Args:
            request: as it came.
            service: the service it is for, ``kms`` or ``sts``.

        Raises:
            KmsServiceError: it is nobody's.
        """
        ...


class Signatories:
    """Those whose access keys are known: every request has to be signed."""

    def __init__(self, verifier: Verifier) -> None:
        """Take what verifies signatures."""
        self._verifier = verifier

    def identify(self, request: SignedRequest, service: str) -> tuple[Scope, Caller]:
        """Return the signer's account, the Region signed for, and the signer."""
        signed = self._verifier.verify(request, service)
        return _scope(signed.key.caller.account, signed.region), signed.key.caller


class Anybody:
    """Everybody: the root of the account whose twelve digits stand in place of an access key id.

    Nothing is verified: any credentials will do, or none. Without twelve digits it is the account given here; the
    Region is that of the credentials' scope and, where there is none, the one given here.
    """

    def __init__(self, account: str, region: str) -> None:
        """Take what holds where a request does not say."""
        self._usual = Scope(account, region)

    def identify(self, request: SignedRequest, service: str) -> tuple[Scope, Caller]:  # noqa: ARG002 - as above
        """Return the account and Region that the request names, and the account's root."""
        key_id, region = credential_of(request) or ("", "")
        account = key_id if is_account(key_id) else self._usual.account
        return _root(account, region if is_region(region) else self._usual.region)


class Always:
    """One principal, whatever the credentials; the Region is that of their scope."""

    def __init__(self, caller: Caller, account: str, region: str) -> None:
        """Take who calls, the account called (the caller's own unless it is a service) and the usual Region."""
        self._caller = caller
        self._usual = Scope(account, region)

    def identify(self, request: SignedRequest, service: str) -> tuple[Scope, Caller]:  # noqa: ARG002 - as above
        """Return the account, the Region that the request names, and the principal."""
        _, region = credential_of(request) or ("", "")
        return _scope(self._usual.account, region if is_region(region) else self._usual.region), self._caller


@lru_cache(_SCOPES)
def _scope(account: str, region: str) -> Scope:
    return Scope(account, region)


@lru_cache(_SCOPES)
def _root(account: str, region: str) -> tuple[Scope, Caller]:
    scope = Scope(account, region)
    return scope, Caller.parse(f"{scope.arn_prefix.partition(':kms:')[0]}:iam::{account}:root")
