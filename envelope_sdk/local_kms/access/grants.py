"""Grants as they are kept, their tokens, and which of them are in force.

A token names its grant and key, and ends in a checksum: it tells a mistyped one from a whole one, and no more than
that. A token is no secret, and of use only to who is the grantee anyway. The head is that of AWS's tokens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.model import GrantRecord
from envelope_sdk.local_kms.policy import Grant
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["GrantTerms", "TokenContent", "grant_of", "grants_in_force", "make_token", "read_token", "terms_of"]

_HEAD: Final = b"\x01\x0a\x40"
_ID_LENGTH: Final = 64
_MIDDLE: Final = b"\x01\x78"
_NONCE_LENGTH: Final = 16
_CHECK_LENGTH: Final = 16
_COMPILED: Final = 4096


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """What a grant says beside who has it: the ``document`` of a record.

    Attributes:
        operations: in the order given.
        name: where it was given one.
        constraints: as CreateGrant takes them.
        grantee_is_service: whether the grantee was given as ``GranteeServicePrincipal``.
        retiring_is_service: likewise.
    """

    operations: tuple[str, ...]
    name: str = ""
    constraints: Mapping[str, Any] = field(default_factory=dict[str, Any])
    grantee_is_service: bool = False
    retiring_is_service: bool = False

    def document(self) -> str:
        """Return the terms as JSON. Equal terms have equal documents."""
        return json.dumps(
            {
                "operations": self.operations,
                "name": self.name,
                "constraints": self.constraints,
                "grantee_is_service": self.grantee_is_service,
                "retiring_is_service": self.retiring_is_service,
            },
            sort_keys=True,
        )


def terms_of(record: GrantRecord) -> GrantTerms:
    """Return the terms of a record.

    Raises:
        KeyStoreError: they are damaged.
    """
    try:
        fields = json.loads(record.document)
        return GrantTerms(tuple(fields.pop("operations")), **fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise KeyStoreError(f"the key store's record of grant {record.grant_id} is damaged") from None


@lru_cache(maxsize=_COMPILED)
def grant_of(record: GrantRecord) -> Grant:
    """Return a record as the policy engine takes it."""
    terms = terms_of(record)
    constraints = terms.constraints
    return Grant(
        record.grant_id,
        record.grantee,
        frozenset(terms.operations),
        constraints.get("EncryptionContextEquals"),
        constraints.get("EncryptionContextSubset"),
        constraints.get("SourceArn"),
    )


def grants_in_force(records: Iterable[GrantRecord], now: datetime, named: Sequence[str]) -> list[Grant]:
    """Return the grants that count: those that have spread, and those that a token of the call names by id."""
    # Made and in force at once, it is so by any clock: another host's may be behind, and a host's own be set back.
    return [
        grant_of(record)
        for record in records
        if record.effective <= max(now, record.created) or record.grant_id in named
    ]


@dataclass(frozen=True, slots=True)
class TokenContent:
    """What a token says.

    Attributes:
        grant_id: 64 hexadecimal digits.
        key_arn: of the grant's key.
    """

    grant_id: str
    key_arn: str


def make_token(grant_id: str, key_arn: str, random: RandomSource) -> str:
    """Return a token of a grant, unlike any other."""
    arn = key_arn.encode()
    said = _HEAD + grant_id.encode() + _MIDDLE + random(_NONCE_LENGTH) + len(arn).to_bytes(2, "big") + arn
    return base64.b64encode(said + _checksum(said)).decode()


def read_token(token: str) -> TokenContent:
    """Return what a token says.

    Raises:
        KmsServiceError: InvalidGrantTokenException: it is none, or was altered.
    """
    try:
        content = base64.b64decode(token, validate=True)
        said, checksum = content[:-_CHECK_LENGTH], content[-_CHECK_LENGTH:]
        start = len(_HEAD) + _ID_LENGTH
        if said.startswith(_HEAD) and checksum == _checksum(said):
            arn = said[start + len(_MIDDLE) + _NONCE_LENGTH + 2 :]
            return TokenContent(said[len(_HEAD) : start].decode(), arn.decode())
    except (binascii.Error, ValueError):
        pass
    raise faults.invalid_grant_token()


def _checksum(said: bytes) -> bytes:
    return hashlib.sha256(said).digest()[:_CHECK_LENGTH]
