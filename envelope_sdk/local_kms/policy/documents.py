"""Policy documents: read, checked and compiled once, evaluated often.

The grammar is IAM's ("Grammar of the IAM JSON policy language"). A key policy names principals, and may be of either
version; an identity policy, which also serves as session policy and permissions boundary, names none and is of version
2012-10-17. Errors are AWS's: of KMS for key policies where its texts are known, and IAM's otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, cast

from envelope_sdk.local_kms.policy.conditions import read_conditions
from envelope_sdk.local_kms.policy.json_text import is_text, read_json
from envelope_sdk.local_kms.policy.names import ARN_PARTS, split_at_colons
from envelope_sdk.local_kms.policy.patterns import Variable, Wildcard, tokens_of
from envelope_sdk.local_kms.policy.principals import Principals, read_principals
from envelope_sdk.local_kms.policy.refusals import malformed, syntax, too_long
from envelope_sdk.local_kms.policy.requests import Request
from envelope_sdk.local_kms.policy.statements import Actions, Effect, Resources, Statement

__all__ = ["MAX_IDENTITY_POLICY", "MAX_KEY_POLICY", "Policy", "PolicyKind"]

MAX_KEY_POLICY: Final = 32_768
"""Bytes of a key policy ("Resource quotas": key policy document size)."""

MAX_IDENTITY_POLICY: Final = 6_144
"""Characters of an identity policy, white space not counted ("IAM and AWS STS quotas": managed policies)."""

_LATEST: Final = "2012-10-17"
_VERSIONS: Final = ("2008-10-17", _LATEST)
_ELEMENTS: Final = frozenset({"Version", "Id", "Statement"})
_STATEMENT_ELEMENTS: Final = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_OUTSIDE: Final = re.compile(r"[^\t\n\r\x20-\u00ff]")
_SPACE: Final = re.compile(r"\s+")
_SID: Final = re.compile(r"[0-9A-Za-z]*", re.ASCII)
_VENDOR: Final = re.compile(r"[A-Za-z0-9.-]+", re.ASCII)
_PARTITION: Final = re.compile(r"aws(-[a-z]+)*", re.ASCII)


class PolicyKind(Enum):
    """What a policy is attached to; the values are AWS's words in its errors."""

    KEY = "resource-based policy"
    IDENTITY = "identity-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, compiled. Immutable, and safe to share between threads.

    Attributes:
        kind: what it is attached to.
        statements: in the order of the document.
        version: of the policy language.
        id: the document's ``Id``, empty where it has none.
        name: what explanations call it; empty for the only one of its kind.
        denials: the statements that deny.
        allowances: those that allow.
    """

    kind: PolicyKind
    statements: tuple[Statement, ...]
    version: str = _LATEST
    id: str = ""
    name: str = ""
    denials: tuple[Statement, ...] = field(init=False, compare=False, repr=False)
    allowances: tuple[Statement, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Sort the statements by what they do."""
        object.__setattr__(self, "denials", tuple(each for each in self.statements if each.effect is Effect.DENY))
        object.__setattr__(self, "allowances", tuple(each for each in self.statements if each.effect is Effect.ALLOW))

    @classmethod
    def parse(cls, document: str, kind: PolicyKind = PolicyKind.KEY, *, name: str = "") -> Policy:
        """Read a document.

        Args:
            document: JSON text.
            kind: what the policy is attached to.
            name: as the attribute.

        Raises:
            KmsServiceError: it is no policy of that kind (``MalformedPolicyDocumentException``), or it is too long
                (``LimitExceededException``).
        """
        _check_length(document, kind)
        if _OUTSIDE.search(document):
            raise syntax()
        read = read_json(document)
        if not isinstance(read, dict):
            raise syntax()
        top = cast("dict[str, Any]", read)
        listed = _statements(top)
        version = top.get("Version", "2008-10-17")
        if kind is not PolicyKind.KEY and version != _LATEST:
            raise malformed("Policy document must be version 2012-10-17 or greater.")
        variables = version == _LATEST
        statements = tuple(_statement(each, place, kind, variables) for place, each in enumerate(listed, start=1))
        _check_sids(statements)
        return cls(kind, statements, version, top.get("Id", ""), name)

    def settles(self, request: Request) -> bool:
        """Return whether this key policy alone allows a root user's request, whatever its resource and conditions.

        What denies anything at all settles nothing.
        """
        return not self.denials and any(statement.is_unconditional(request) for statement in self.allowances)


def _check_length(document: str, kind: PolicyKind) -> None:
    # Whatever the kind, nothing is counted that is far too long.
    long = len(document) > MAX_KEY_POLICY
    if kind is PolicyKind.KEY:
        if long or len(document.encode("utf-8", "surrogatepass")) > MAX_KEY_POLICY:
            raise too_long(f"The key policy is longer than the quota of {MAX_KEY_POLICY} bytes.")
    elif long or len(_SPACE.sub("", document)) > MAX_IDENTITY_POLICY:
        raise too_long(f"Cannot exceed quota for PolicySize: {MAX_IDENTITY_POLICY}")


def _statements(top: dict[str, Any]) -> list[dict[str, Any]]:
    """Check the outermost object and return its statements."""
    if not set(top) <= _ELEMENTS or top.get("Version", _LATEST) not in _VERSIONS or not is_text(top.get("Id", "")):
        raise syntax()
    element: object = top.get("Statement")
    listed = cast("list[object]", element) if isinstance(element, list) else [element]
    if not listed or not all(isinstance(each, dict) for each in listed):
        raise syntax()
    return cast("list[dict[str, Any]]", listed)


def _statement(element: dict[str, Any], number: int, kind: PolicyKind, variables: bool) -> Statement:
    _check_statement(element)
    sid: str = element.get("Sid", "")
    principals: Principals | None = None
    if kind is PolicyKind.KEY:
        principals = read_principals(element)
    elif "Principal" in element or "NotPrincipal" in element:
        raise malformed("Policy document should not specify a principal.")
    elif not _SID.fullmatch(sid):
        raise malformed(
            "Statement IDs (SID) must be alpha-numeric. "
            "Check that your input satisfies the regular expression [0-9A-Za-z]*"
        )
    return Statement(
        number,
        sid,
        Effect(element["Effect"]),
        principals,
        _actions(element),
        _resources(element, variables),
        read_conditions(element.get("Condition", {}), variables=variables),
    )


def _check_statement(element: dict[str, Any]) -> None:
    if not set(element) <= _STATEMENT_ELEMENTS:
        raise syntax()
    if ("Action" in element and "NotAction" in element) or ("Resource" in element and "NotResource" in element):
        raise syntax()
    effect = element.get("Effect")
    if effect not in ("Allow", "Deny") or not is_text(effect) or not is_text(element.get("Sid", "")):
        raise syntax()


def _texts(element: object) -> list[str]:
    listed = cast("list[object]", element) if isinstance(element, list) else [element]
    if not all(is_text(each) for each in listed):
        raise syntax()
    return cast("list[str]", listed)


def _actions(element: dict[str, Any]) -> Actions:
    excluding = "NotAction" in element
    patterns = _texts(element.get("NotAction" if excluding else "Action", []))
    if not patterns:
        raise malformed("Policy statement must contain actions.")
    for pattern in patterns:
        vendor, *rest = pattern.split(":")
        if pattern == "*":
            continue
        if not rest:
            raise malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
        if len(rest) > 1:
            raise malformed("Actions/Condition can contain only one colon.")
        if not _VENDOR.fullmatch(vendor):
            raise malformed(f"Vendor {vendor} is not valid")
    return Actions(patterns, excluding=excluding)


def _resources(element: dict[str, Any], variables: bool) -> Resources:
    excluding = "NotResource" in element
    patterns = _texts(element.get("NotResource" if excluding else "Resource", []))
    if not patterns:
        raise malformed("Policy statement must contain resources.")
    for pattern in patterns:
        if pattern != "*":
            _check_arn(pattern, variables)
    return Resources(patterns, excluding=excluding, variables=variables)


def _check_arn(pattern: str, variables: bool) -> None:
    prefix, colon, rest = pattern.partition(":")
    if not colon:
        raise malformed(f'Resource {pattern} must be in ARN format or "*".')
    partition, _, rest = rest.partition(":")
    if partition != "*" and not _PARTITION.fullmatch(partition):
        known = rest.split(":", 3) if rest else []
        shown = ":".join(["arn", partition, *known, *["*"] * (4 - len(known))])
        raise malformed(f'Partition "{partition}" is not valid for resource "{shown}".')
    vendor, colon, _ = rest.partition(":")
    if not colon or "*" in vendor or "?" in vendor:
        raise malformed("Resource vendor must be fully qualified and cannot contain regexes.")
    tokens = tokens_of(pattern, wildcards=True, variables=variables)
    parts = split_at_colons(tokens)
    whole = len(parts) == ARN_PARTS or tokens[-1] is Wildcard.ANY
    # Only what follows the fifth colon may depend on the request.
    fixed = not any(isinstance(token, Variable) for part in parts[: ARN_PARTS - 1] for token in part)
    if prefix != "arn" or not whole or not fixed:
        raise malformed("The policy failed legacy parsing")


def _check_sids(statements: Sequence[Statement]) -> None:
    sids = [statement.sid for statement in statements if statement.sid]
    if len(set(sids)) != len(sids):
        raise malformed("Statement IDs (SID) in a single policy must be unique.")
