"""Who asks for what: the request that policies are evaluated for."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from envelope_sdk.local_kms.policy.callers import Caller
from envelope_sdk.local_kms.policy.grants import Grant
from envelope_sdk.local_kms.policy.names import ARN_PARTS, arn_parts

__all__ = ["ConditionValue", "Request"]

Scalar = str | bool | int | float | datetime | bytes
ConditionValue = Scalar | Iterable[Scalar]
"""The value of a condition key, or all of them: dates with a time zone, bytes as bytes."""

_CONTEXT_PREFIX = "kms:EncryptionContext:"


class Request:
    """One action on one resource.

    Attributes:
        action: for instance ``kms:Decrypt``; ReEncrypt is two requests, ``kms:ReEncryptFrom`` and ``kms:ReEncryptTo``.
        resource: the ARN of the key or alias; ``*`` for what is done to none (CreateKey, ListKeys, GenerateRandom).
        caller: who asks.
        encryption_context: of the call, for ``kms:CreateGrant`` of the new grant's constraint; what
            ``kms:EncryptionContext:...`` and ``kms:EncryptionContextKeys`` are taken from.
        new_grant: for ``kms:CreateGrant``, the grant to be made, which a caller who has the permission from a grant
            may only make as strict as that.
        lower_action: the action in lower case, as policies are compared with it.
        resource_parts: the resource's ARN taken apart.
    """

    __slots__ = (
        "_context",
        "_keys",
        "action",
        "caller",
        "encryption_context",
        "lower_action",
        "new_grant",
        "resource",
        "resource_parts",
    )

    def __init__(
        self,
        action: str,
        resource: str,
        caller: Caller,
        context: Mapping[str, ConditionValue] | Callable[[], Mapping[str, ConditionValue]] | None = None,
        *,
        encryption_context: Mapping[str, str] | None = None,
        new_grant: Grant | None = None,
    ) -> None:
        """Take the request.

        Args:
            action: as the attribute.
            resource: likewise.
            caller: likewise.
            context: the other condition keys (:data:`~envelope_sdk.local_kms.policy.condition_keys.CONDITION_KEYS`),
                in any case, or what returns them, which is called once and only where a condition asks. What the caller
                says of itself, ``aws:PrincipalArn`` and the like, cannot be overridden.
            encryption_context: as the attribute.
            new_grant: likewise.
        """
        self.action = action
        self.resource = resource
        self.caller = caller
        self.encryption_context = encryption_context
        self.new_grant = new_grant
        self.lower_action = action.lower()
        self.resource_parts = arn_parts(resource)
        self._context = context
        self._keys: dict[str, tuple[str, ...]] | None = None

    def __repr__(self) -> str:
        return f"Request({self.action!r}, {self.resource!r}, {self.caller!r})"

    @property
    def owner(self) -> str:
        """The account of the resource; the caller's where there is no resource."""
        parts = self.resource_parts
        return parts[4] if len(parts) == ARN_PARTS else self.caller.account

    def values(self, key: str) -> tuple[str, ...]:
        """Return the values of a condition key, which is given in lower case; none where the request lacks it."""
        if self._keys is None:
            self._keys = self._all_keys()
        return self._keys.get(key, ())

    def _all_keys(self) -> dict[str, tuple[str, ...]]:
        # Most requests meet no condition, so this is put off until one asks.
        given = self._context() if callable(self._context) else self._context or {}
        keys = {key.lower(): _texts(value) for key, value in given.items()}
        if self.encryption_context:
            for key, value in self.encryption_context.items():
                name = (_CONTEXT_PREFIX + key).lower()
                keys[name] = (*keys.get(name, ()), value)
            keys["kms:encryptioncontextkeys"] = tuple(self.encryption_context)
        keys.update(self.caller.keys)
        return keys


def _texts(value: ConditionValue) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bool | int | float | datetime | bytes):
        return (_text(value),)
    return tuple(_text(each) for each in value)


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)
