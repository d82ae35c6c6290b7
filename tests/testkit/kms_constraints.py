"""What the API's model lets a call's parameters be, and AWS's words for what it does not.

The model is botocore's; the words are those that AWS is recorded to answer with. Written from them alone, so that the
local KMS can be compared with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import botocore.session
from botocore.model import Shape

MODEL = botocore.session.get_session().get_service_model("kms")

# Values of the patterns that no plain letters fit.
_FITTING = {
    "AccountIdType": "111122223333",
    "BackingKeyIdType": "0" * 64,
    "CloudHsmClusterIdType": "cluster-aaaaaaaaaaa",
    "GrantConstraintSourceArnType": "arn:aws:s3:us-east-1:111122223333:bucket",
    "GrantIdType": "0" * 64,
    "KeyIdType": "alias/none",
    "PolicyType": "{}",
    "PrincipalIdType": "arn:aws:iam::111122223333:root",
    "RegionType": "eu-west-1",
    "ServicePrincipalType": "s3.amazonaws.com",
    "XksProxyAuthenticationAccessKeyIdType": "A" * 20,
    "XksProxyUriEndpointType": "https://proxy.example",
    "XksProxyUriPathType": "/example/kms/xks/v1",
    "XksProxyVpcEndpointServiceNameType": "com.amazonaws.vpce.eu-west-1.vpce-svc-0",
}
# Limits that are the service's, narrower than the model's.
NARROWER = {("ScheduleKeyDeletion", "PendingWindowInDays"): (7, 30)}
# Where the service names other members of an enumeration than the model has.
_LISTED = {
    "DataKeySpec": (
        *("RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1"),
        *("ECC_NIST_EDWARDS25519", "SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512", "SM2"),
        *("ML_DSA_44", "ML_DSA_65", "ML_DSA_87"),
    ),
}
# What the model does not require, because dry runs need none, or since there are two ways to say it.
_AS_GOOD_AS_REQUIRED = {
    "CreateGrant": ("GranteePrincipal",),
    "Decrypt": ("CiphertextBlob",),
    "GenerateDataKey": ("NumberOfBytes",),
    "GenerateDataKeyWithoutPlaintext": ("NumberOfBytes",),
    "ImportKeyMaterial": ("ValidTo",),
    "ReEncrypt": ("CiphertextBlob",),
}


class Violation(NamedTuple):
    """Parameters of which one is not as it should be.

    Attributes:
        name: of the operation, the member and what is wrong with it.
        operation: what to call.
        parameters: what with.
        problems: AWS's words; none where a value's type is wrong, which is reported alone.
    """

    name: str
    operation: str
    parameters: dict[str, Any]
    problems: list[str]


def input_of(operation: str) -> Any:
    """Return the shape of an operation's parameters."""
    return MODEL.operation_model(operation).input_shape


def valid(operation: str) -> dict[str, Any]:
    """Return parameters that break no constraint."""
    shape = input_of(operation)
    names = [*shape.required_members, *_AS_GOOD_AS_REQUIRED.get(operation, ())]
    return {name: _value(shape.members[name]) for name in names}


def violations(operation: str) -> Iterator[Violation]:
    """Return every way to break one constraint of one member."""
    shape, base = input_of(operation), valid(operation)
    for name in shape.required_members:
        rest = {key: value for key, value in base.items() if key != name}
        shown = "Value" if shape.members[name].metadata.get("sensitive") else "Value null"
        null = f"{shown} at '{_camel(name)}' failed to satisfy constraint: Member must not be null"
        yield Violation(f"{operation} {name} missing", operation, rest, [null])
    for name, member in shape.members.items():
        bounds = NARROWER.get((operation, name))
        for kind, value in _wrong(member, bounds):
            problems = problems_of(member, _camel(name), value, bounds)
            yield Violation(f"{operation} {name} {kind}", operation, base | {name: value}, problems)


def mistypes(operation: str) -> Iterator[Violation]:
    """Return every way to give one member a value of another type."""
    shape, base = input_of(operation), valid(operation)
    for name, member in shape.members.items():
        for number, value in enumerate(_mistyped(member)):
            yield Violation(f"{operation} {name} {number}", operation, base | {name: value}, [])


def problems_of(shape: Any, path: str, value: Any, bounds: tuple[int, int] | None = None) -> list[str]:
    """Return AWS's words for all that is wrong with ``value``."""
    low, high = bounds or (shape.metadata.get("min"), shape.metadata.get("max"))
    if shape.type_name == "structure":
        return _structure_problems(shape, path, value)
    if shape.type_name == "list":
        return _list_problems(shape, path, value)
    if shape.type_name == "integer":
        rules = _bound_rules("value", value, low, high)
        return [f"Value '{value}' at '{path}' failed to satisfy constraint: {rule}" for rule in rules]
    if shape.type_name not in ("string", "blob"):
        return []
    hidden = shape.type_name == "blob" or shape.metadata.get("sensitive")
    shown = "Value" if hidden else f"Value '{value}'"
    rules = _bound_rules("length", len(value), low, high) + _text_rules(shape, value)
    return [f"{shown} at '{path}' failed to satisfy constraint: {rule}" for rule in rules]


def normal(text: str) -> str:
    """Return a text of AWS's with the members of enumerations sorted: their order is the service's own."""
    return re.sub(r"enum value set: \[([^\]]*)\]", lambda found: ", ".join(sorted(found[1].split(", "))), text)


def _camel(name: str) -> str:
    return name[0].lower() + name[1:]


def _value(shape: Any) -> Any:
    kind, low = shape.type_name, shape.metadata.get("min") or 0
    if kind == "structure":
        return {name: _value(shape.members[name]) for name in shape.required_members}
    if kind == "list":
        return [_value(shape.member)] * low
    plain: dict[str, Any] = {
        "blob": b"a" * max(low, 1),
        "boolean": False,
        "integer": low,
        "map": {},
        "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return plain[kind] if kind in plain else _text(shape)


def _text(shape: Shape) -> str:
    if "enum" in shape.metadata:
        return shape.metadata["enum"][0]
    return _FITTING.get(shape.name, "a" * max(shape.metadata.get("min") or 0, 1))


def _wrong(shape: Any, bounds: tuple[int, int] | None) -> Iterator[tuple[str, Any]]:
    low, high = bounds or (shape.metadata.get("min"), shape.metadata.get("max"))
    if shape.type_name == "structure":
        yield from _wrong_structures(shape)
    elif shape.type_name == "list":
        yield from _wrong_lists(shape, low, high)
    elif shape.type_name == "integer":
        yield "low", low - 1
        yield "high", high + 1
    elif shape.type_name in ("string", "blob"):
        letter: Any = b"a" if shape.type_name == "blob" else "a"
        if low:
            yield "short", letter * (low - 1)
        if high:
            yield "long", letter * (high + 1)
        if "enum" in shape.metadata:
            yield "no member", "COFFEE"
        if "pattern" in shape.metadata and not re.fullmatch(shape.metadata["pattern"], "鍵" * (low or 1)):
            yield "pattern", "鍵" * (low or 1)


def _wrong_structures(shape: Any) -> Iterator[tuple[str, Any]]:
    base = _value(shape)
    for name in shape.required_members:
        yield f"{name} missing", {key: value for key, value in base.items() if key != name}
    for name, member in shape.members.items():
        for kind, value in _wrong(member, None):
            yield f"{name} {kind}", base | {name: value}


def _wrong_lists(shape: Any, low: int | None, high: int | None) -> Iterator[tuple[str, Any]]:
    item = _value(shape.member)
    if low:
        yield "short", [item] * (low - 1)
    if high:
        yield "long", [item] * (high + 1)
    for kind, value in _wrong(shape.member, None):
        yield f"with one {kind}", [*[item] * max((low or 0) - 1, 0), value]
        if high is None or high >= 2:
            yield f"with a second {kind}", [item, value]


def _mistyped(shape: Any) -> Iterator[Any]:
    kind = shape.type_name
    if kind == "structure":
        base = _value(shape)
        yield from (5, "text", [])
        yield from (base | {name: value} for name, member in shape.members.items() for value in _mistyped(member))
    elif kind == "list":
        yield from (5, "text", {"a": 1})
        yield from ([value] for value in _mistyped(shape.member))
    elif kind == "map":
        yield from (5, "text", [], {"a": 5}, {5: "a"})
    else:
        wrong: Mapping[str, tuple[Any, ...]] = {
            "blob": (5, "text", []),
            "boolean": ("true", 1, []),
            "integer": ("1", True, 1.5, []),
            "string": (5, b"a", [], True),
            "timestamp": ([], {}),
        }
        yield from wrong[kind]


def _structure_problems(shape: Any, path: str, value: Mapping[str, Any]) -> list[str]:
    problems = [
        f"Value null at '{path}.{_camel(name)}' failed to satisfy constraint: Member must not be null"
        for name in shape.required_members
        if name not in value
    ]
    for name, item in value.items():
        problems += problems_of(shape.members[name], f"{path}.{_camel(name)}", item)
    return problems


def _list_problems(shape: Any, path: str, value: list[Any]) -> list[str]:
    if shape.member.type_name == "structure":
        items = enumerate(value, 1)
        return [text for number, item in items for text in problems_of(shape.member, f"{path}.{number}.member", item)]
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    rules = _bound_rules("length", len(value), low, high)
    inner = shape.member.metadata
    if any(problems_of(shape.member, path, item) for item in value):
        rules.append(f"Member must satisfy constraint: [{_item_rules(inner)}]")
    return [f"Value '[{', '.join(value)}]' at '{path}' failed to satisfy constraint: {rule}" for rule in rules]


def _item_rules(inner: Mapping[str, Any]) -> str:
    if "enum" in inner:
        return f"Member must satisfy enum value set: [{', '.join(inner['enum'])}]"
    return (
        f"Member must have length less than or equal to {inner['max']}, "
        f"Member must have length greater than or equal to {inner['min']}"
    )


def _bound_rules(what: str, size: int, low: int | None, high: int | None) -> list[str]:
    if low is not None and size < low:
        return [f"Member must have {what} greater than or equal to {low}"]
    if high is not None and size > high:
        return [f"Member must have {what} less than or equal to {high}"]
    return []


def _text_rules(shape: Shape, value: Any) -> list[str]:
    rules: list[str] = []
    if "enum" in shape.metadata and value not in shape.metadata["enum"]:
        rules.append(
            f"Member must satisfy enum value set: [{', '.join(_LISTED.get(shape.name, shape.metadata['enum']))}]"
        )
    if shape.name == "KeyIdType" and not (value and value.isascii()):
        rules.append(r"Member must satisfy regular expression pattern: ^\p{ASCII}+$")
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(pattern, value):
        rules.append(f"Member must satisfy regular expression pattern: {pattern}")
    return rules
