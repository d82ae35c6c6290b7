"""A slow evaluator of policies that is easy to believe: nothing is compiled, and every rule is written out once.

It works on documents as :func:`json.loads` gives them and on requests as plain values, and shares nothing with the
package. Wildcards become regular expressions; numbers are fractions; a policy is gone through from its first statement
for each question.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request: an action on an ARN by somebody, with condition keys in lower case."""

    action: str
    resource: str
    kind: str
    arn: str
    account: str
    role: str = ""
    keys: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """What decides: documents, and grants as (grantee, operations, constraints) with equals and subset pairs."""

    key: Document | None = None
    identity: tuple[Document, ...] = ()
    boundary: Document | None = None
    session: tuple[Document, ...] = ()
    grants: tuple[tuple[str, tuple[str, ...], dict[str, dict[str, str]]], ...] = ()
    context: dict[str, str] = field(default_factory=dict)


def decide(asked: Asked, given: Given) -> str:
    """Return ``allow``, or the kind of policy that denies, with ``explicit`` before it where a statement does."""
    for kind, documents in [
        ("identity", given.identity),
        ("session", given.session),
        ("boundary", [given.boundary] if given.boundary else []),
        ("key", [given.key] if given.key else []),
    ]:
        if any(says(document, "Deny", asked) for document in documents):
            return f"explicit {kind}"
    ways = ways_in(asked, given)
    if given.key is not None and not ways:
        return "key"
    if asked.kind == "service":
        return "allow" if ways else "identity"
    owner = asked.resource.split(":")[4] if asked.resource.count(":") >= 5 else asked.account
    if asked.kind != "root" and asked.account == owner and "direct" in ways:
        return "allow"
    by_identity = asked.kind == "root" or any(says(document, "Allow", asked) for document in given.identity)
    if not by_identity and not (asked.account == owner and "role" in ways):
        return "identity"
    if given.boundary and not says(given.boundary, "Allow", asked):
        return "boundary"
    limited = bool(given.session) or asked.kind == "federated"
    by_session = any(says(document, "Allow", asked) for document in given.session)
    return "session" if limited and not by_session else "allow"


def ways_in(asked: Asked, given: Given) -> set[str]:
    """Return how the key policy and grants let the caller in."""
    ways: set[str] = set()
    for statement in as_list(given.key["Statement"]) if given.key else []:
        if statement["Effect"] == "Allow" and about(given.key, statement, asked):
            ways |= named(statement["Principal"], asked)
    for grantee, operations, constraints in given.grants:
        if asked.action.removeprefix("kms:") not in operations:
            continue
        if asked.action.removeprefix("kms:") != "DescribeKey":
            if "equals" in constraints and given.context != constraints["equals"]:
                continue
            if any(given.context.get(name) != value for name, value in constraints.get("subset", {}).items()):
                continue
        ways |= named({"AWS": grantee}, asked)
    return ways


def named(element: Any, asked: Asked) -> set[str]:
    """Return in which ways a ``Principal`` element names the caller."""
    if element == "*":
        element = {"AWS": "*"}
    ways: set[str] = set()
    for name in as_list(element.get("AWS", [])):
        if name == "*":
            ways.add("direct")
        elif asked.kind == "service":
            continue
        elif name in (asked.account, f"arn:aws:iam::{asked.account}:root"):
            ways.add("direct" if asked.kind == "root" else "account")
        elif name == asked.role:
            ways.add("role")
        elif name == asked.arn:
            ways.add("direct")
    if asked.kind == "service" and asked.arn in as_list(element.get("Service", [])):
        ways.add("direct")
    return ways


def says(document: Document, effect: str, asked: Asked) -> bool:
    """Return whether a statement with that effect is about the request and its caller."""
    for statement in as_list(document["Statement"]):
        if statement["Effect"] != effect or not about(document, statement, asked):
            continue
        if "Principal" in statement and not named(statement["Principal"], asked):
            continue
        if "NotPrincipal" in statement and spared(statement["NotPrincipal"], asked):
            continue
        return True
    return False


def spared(element: Any, asked: Asked) -> bool:
    """Return whether a ``NotPrincipal`` names everything that the caller is: itself, its role, its account."""
    listed = as_list(element.get("AWS", []))
    if "*" in listed:
        return True
    if asked.kind == "service":
        return asked.arn in as_list(element.get("Service", []))
    account = asked.account in listed or f"arn:aws:iam::{asked.account}:root" in listed
    needed = [] if asked.kind == "root" else [asked.arn]
    needed += [asked.role] if asked.role else []
    return account and all(name in listed for name in needed)


def about(document: Document | None, statement: Document, asked: Asked) -> bool:
    """Return whether action, resource and conditions of a statement fit."""
    variables = (document or {}).get("Version") == "2012-10-17"
    if "Action" in statement:
        action = any(like(each.lower(), asked.action.lower()) for each in as_list(statement["Action"]))
    else:
        action = not any(like(each.lower(), asked.action.lower()) for each in as_list(statement["NotAction"]))
    name = "Resource" if "Resource" in statement else "NotResource"
    resource = any(arn_like(each, asked, asked.resource, variables) for each in as_list(statement[name]))
    if name == "NotResource":
        resource = not resource
    return (
        action
        and resource
        and all(
            holds(operator, key.lower(), [text_of(value) for value in as_list(values)], asked, variables)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def holds(operator: str, key: str, wanted: list[str], asked: Asked, variables: bool) -> bool:
    """Return whether one key of one operator is fulfilled."""
    found = asked.keys.get(key, [])
    quantifier, _, name = operator.rpartition(":")
    if name == "Null":
        return any((value.lower() == "true") == (found == []) for value in wanted)
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    if if_exists and not found:
        return True
    negated = "Not" in name
    positive = name.replace("Not", "", 1)

    def one(value: str) -> bool:
        return any(compare(positive, each, value, asked, variables) for each in wanted)

    if quantifier == "ForAllValues":
        return all(one(value) != negated for value in found if value != "")
    if quantifier == "ForAnyValue":
        return any(one(value) != negated for value in found if value != "")
    return not any(one(value) for value in found) if negated else any(one(value) for value in found)


def compare(name: str, wanted: str, value: str, asked: Asked, variables: bool) -> bool:
    """Return whether one value of a policy matches one of the request."""
    if name.startswith("Arn"):
        return arn_like(wanted, asked, value, variables)
    if name.startswith("String") or name == "Bool":
        pattern = regex(wanted, asked, variables, wildcards=name == "StringLike")
        flags = re.IGNORECASE if name in ("StringEqualsIgnoreCase", "Bool") else 0
        return pattern is not None and re.fullmatch(pattern, value, flags | re.DOTALL) is not None
    if name == "IpAddress":
        try:
            return ipaddress.ip_address(value) in ipaddress.ip_network(wanted)
        except ValueError:
            return False
    left, right = quantity(name, value), quantity(name, wanted)
    if left is None or right is None:
        return False
    order = name.removeprefix("Numeric").removeprefix("Date")
    return {
        "Equals": left == right,
        "LessThan": left < right,
        "LessThanEquals": left <= right,
        "GreaterThan": left > right,
        "GreaterThanEquals": left >= right,
    }[order]


def quantity(name: str, text: str) -> Fraction | None:
    """Return a number, or a date as seconds."""
    try:
        if name.startswith("Date"):
            return Fraction(datetime.fromisoformat(text).timestamp())
        return Fraction(text)
    except ValueError:
        return None


def arn_like(pattern: str, asked: Asked, value: str, variables: bool) -> bool:
    """Return whether an ARN with wildcards fits, part by part."""
    if pattern == "*" and value == asked.resource:
        return True
    wanted, found = pattern.split(":", 5), value.split(":", 5)
    if len(wanted) < 6 and pattern.endswith("*"):
        wanted += ["*"] * (6 - len(wanted))
    if len(wanted) != 6 or len(found) != 6:
        return False
    patterns = [regex(part, asked, variables, wildcards=True) for part in wanted]
    return all(
        part is not None and re.fullmatch(part, text, re.DOTALL) is not None
        for part, text in zip(patterns, found, strict=True)
    )


def regex(text: str, asked: Asked, variables: bool, *, wildcards: bool) -> str | None:
    """Return a regular expression for a text with wildcards and variables; ``None`` where a variable has no value."""
    result = ""
    for part in re.split(r"(\$\{[^{}]*\}|[*?])" if variables else r"([*?])", text):
        if part in ("*", "?") and wildcards:
            result += {"*": ".*", "?": "."}[part]
        elif variables and part.startswith("${"):
            name, _, default = part[2:-1].partition(",")
            values = asked.keys.get(name.strip().lower(), [])
            if name in ("*", "?", "$"):
                result += re.escape(name)
            elif len(values) == 1:
                result += re.escape(values[0])
            elif not values and default:
                result += re.escape(default.strip()[1:-1])
            else:
                return None
        else:
            result += re.escape(part)
    return result


def like(pattern: str, text: str) -> bool:
    """Return whether a text fits a pattern with wildcards."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text, re.DOTALL) is not None


def as_list(element: Any) -> list[Any]:
    """Return a list of what may be one thing or several."""
    return element if isinstance(element, list) else [element]


def text_of(value: Any) -> str:
    """Return a condition's value as text."""
    return str(value).lower() if isinstance(value, bool) else str(value)
