"""What CreateGrant takes, and which operations a grant of which key can have.

Source: API_CreateGrant, API_GrantConstraints, and the developer guide's "Grant operations".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.access.grants import GrantTerms
from envelope_sdk.local_kms.kinds import AGREE, ENCAPSULATE, ENCRYPT, MAC, SIGN, SYMMETRIC
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.parameters import GRANT_OPERATIONS, Parameters

__all__ = [
    "GRANT_ID",
    "MAX_GRANT_ID",
    "SERVICE_NAME",
    "NamedPrincipal",
    "WantedGrant",
    "check_fits",
    "take_grant",
    "take_principal",
]

GRANT_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
"""What every grant id looks like."""

MAX_GRANT_ID: Final = 128
"""Characters of a ``GrantId`` (GrantIdType)."""

SERVICE_NAME: Final = re.compile(r"^([A-Za-z0-9\-]+)\.([A-Za-z0-9\-]+)(\.[A-Za-z0-9\-]+)+$", re.ASCII)
"""The name of an AWS service (ServicePrincipalType)."""

_PRINCIPAL: Final = re.compile(r"^[\w+=,.@:/-]+$", re.ASCII)
_NAME: Final = re.compile(r"^[a-zA-Z0-9:/_-]+$", re.ASCII)
_SOURCE_ARN: Final = re.compile(r"^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$", re.ASCII)
_MAX_PRINCIPAL: Final = 256
_MAX_SERVICE: Final = 128
_MAX_NAME: Final = 256
_MAX_PAIRS: Final = 8
_MAX_CONTEXT: Final = 384

_ALWAYS: Final = frozenset({"CreateGrant", "DescribeKey", "RetireGrant"})
_PUBLIC: Final = _ALWAYS | {"GetPublicKey"}
_DATA_KEYS: Final = frozenset(name for name in GRANT_OPERATIONS if name.startswith("GenerateDataKey"))
_RSA: Final = frozenset({"Decrypt", "Encrypt", "ReEncryptFrom", "ReEncryptTo"})
_BY_USAGE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        AGREE: _PUBLIC | {"DeriveSharedSecret"},
        ENCAPSULATE: _PUBLIC | {"Decapsulate", "Encapsulate"},
        ENCRYPT: _PUBLIC | _RSA,
        MAC: _ALWAYS | {"GenerateMac", "VerifyMac"},
        SIGN: _PUBLIC | {"Sign", "Verify"},
    }
)


class NamedPrincipal(NamedTuple):
    """A principal of a call, if it names one.

    Attributes:
        name: an ARN, or the name of a service.
        is_service: whether it stands in the parameter for services.
    """

    name: str | None
    is_service: bool


@dataclass(frozen=True, slots=True)
class WantedGrant:
    """What CreateGrant asks for, as far as it can be checked without the key."""

    grantee: str
    retiring: str | None
    terms: GrantTerms


def take_principal(parameters: Parameters, role: str) -> NamedPrincipal:
    """Take ``<role>Principal`` or ``<role>ServicePrincipal``, of which there may be one."""
    principal = parameters.text(f"{role}Principal", _MAX_PRINCIPAL, pattern=_PRINCIPAL)
    service = parameters.text(f"{role}ServicePrincipal", _MAX_SERVICE, pattern=SERVICE_NAME)
    if principal is not None and service is not None:
        parameters.refuse(f"{role}Principal and {role}ServicePrincipal cannot be given both.")
    return NamedPrincipal(service if principal is None else principal, service is not None)


def take_grant(parameters: Parameters) -> WantedGrant:
    """Take the parameters that say what a grant is."""
    grantee = take_principal(parameters, "Grantee")
    retiring = take_principal(parameters, "Retiring")
    operations = parameters.choices("Operations", GRANT_OPERATIONS, required=True)
    given = parameters.structure("Constraints")
    name = parameters.text("Name", _MAX_NAME, pattern=_NAME) or ""
    constraints = {} if given is None else _constraints(given)
    if grantee.name is None:
        parameters.refuse("Either GranteePrincipal or GranteeServicePrincipal has to be given.")
    if grantee.is_service and ("SourceArn" not in constraints or retiring.name is None):
        parameters.refuse(
            "A GranteeServicePrincipal needs a SourceArn constraint, and a RetiringPrincipal or "
            "RetiringServicePrincipal."
        )
    terms = GrantTerms(tuple(dict.fromkeys(operations)), name, constraints, grantee.is_service, retiring.is_service)
    return WantedGrant(grantee.name or "", retiring.name, terms)


def check_fits(key: Key, terms: GrantTerms) -> None:
    """Check that the operations and constraints of a grant are some that its key has.

    Raises:
        KmsServiceError: ValidationException.
    """
    symmetric = key.spec == SYMMETRIC
    fitting = _ALWAYS | _RSA | _DATA_KEYS if symmetric else _BY_USAGE[key.usage]
    for operation in terms.operations:
        if operation not in fitting:
            raise faults.validation(f"Operation {operation} is not valid for {key.arn}, whose key spec is {key.spec}.")
    if not terms.operations:
        raise faults.validation("A grant needs at least one operation.")
    if not symmetric and any(name != "SourceArn" for name in terms.constraints):
        raise faults.validation(f"A grant of {key.arn} cannot constrain an encryption context: the key takes none.")


def _constraints(parameters: Parameters) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("EncryptionContextEquals", "EncryptionContextSubset"):
        if parameters.given(name):
            found[name] = dict(parameters.context(name))
            _check_pairs(parameters, name, found[name])
    source = parameters.text("SourceArn", 512, minimum=20, pattern=_SOURCE_ARN)
    if source is not None:
        found["SourceArn"] = source
    return found


def _check_pairs(parameters: Parameters, name: str, pairs: Mapping[str, str]) -> None:
    if len(pairs) > _MAX_PAIRS:
        parameters.refuse(f"The constraint {name} has more than {_MAX_PAIRS} pairs.")
    if sum(len(key) + len(value) for key, value in pairs.items()) > _MAX_CONTEXT:
        parameters.refuse(f"The constraint {name} has more than {_MAX_CONTEXT} characters.")
