"""What would be allowed, and why: the decision on a permission without the call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from envelope_sdk.errors import KmsServiceError, UsageError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.access.authority import decide
from envelope_sdk.local_kms.accounts import CROSS_ACCOUNT
from envelope_sdk.local_kms.call import Call, Requester
from envelope_sdk.local_kms.identifiers import parse_reference
from envelope_sdk.local_kms.model import Key
from envelope_sdk.local_kms.policy import KEY_OPERATIONS, Grant, Step, explain, keys_of
from envelope_sdk.local_kms.policy.refusals import out_of_reach_text
from envelope_sdk.local_kms.service import OPERATIONS, Service

__all__ = ["Simulation", "simulate"]

_ALIAS_ACTIONS: Final = frozenset({"CreateAlias", "DeleteAlias", "UpdateAlias"})
_CONTEXTS: Final = {"ReEncryptFrom": "SourceEncryptionContext", "ReEncryptTo": "DestinationEncryptionContext"}
_NAMES: Final = {"ReEncryptFrom": "SourceKeyId", "ReEncryptTo": "DestinationKeyId"}
_ACTIONS: Final = {name.lower(): name for name in {*OPERATIONS, *KEY_OPERATIONS} - {"ReEncrypt", "RetireGrant"}}


@dataclass(frozen=True, slots=True)
class Simulation:
    """A decision and the way to it. As text it is a line for each step, and the conclusion.

    Attributes:
        allowed: whether the call would be.
        principal: who asks.
        action: the permission, with ``kms:``.
        resource: the ARN of the key or alias, ``*`` for neither; for ListRetirableGrants, the principal's.
        steps: every statement and grant that was looked at, and what came of it.
        conclusion: what follows from them.
        message: what AWS would say; empty where it is allowed.
    """

    allowed: bool
    principal: str
    action: str
    resource: str
    steps: tuple[Step, ...]
    conclusion: str
    message: str

    def __str__(self) -> str:
        return "\n".join([*map(str, self.steps), self.conclusion])

    def as_dict(self) -> dict[str, Any]:
        """Return it as what JSON can say."""
        return asdict(self)


def simulate(
    service: Service,
    requester: Requester,
    action: str,
    name: str | None,
    context: Mapping[str, str],
    tokens: Sequence[str],
) -> Simulation:
    """Decide on a permission.

    Args:
        service: where the keys are.
        requester: who asks, and by what way.
        action: the permission, with or without ``kms:``, in any case.
        name: of the key or alias.
        context: the encryption context.
        tokens: grant tokens.

    Raises:
        UsageError: there is no such action; or it needs a key, or has none; or has no encryption context.
        KmsServiceError: NotFoundException; InvalidGrantTokenException.
    """
    known = _ACTIONS.get(action.lower().removeprefix("kms:"))
    if known is None:
        raise UsageError(f"there is no permission {action!r} that policies decide on")
    if (name is None) is (known in KEY_OPERATIONS):
        raise UsageError(f"kms:{known} is {'about a key: name one' if name is None else 'not about a key: name none'}")
    if context and "kms:EncryptionContextKeys" not in keys_of(known):
        raise UsageError(f"kms:{known} has no encryption context")
    operation = "ReEncrypt" if known.startswith("ReEncrypt") else known
    parameters: dict[str, object] = {_NAMES.get(known, "KeyId"): name, "GrantTokens": list(tokens)}
    if known == "CreateGrant":
        parameters["Constraints"] = {"EncryptionContextEquals": context}
    else:
        parameters[_CONTEXTS.get(known, "EncryptionContext")] = context
    call = service.preview(operation, parameters, requester)
    # A grant to the caller may only let it make grants as strict as that: this one allows nothing, and so is.
    call.new_grant = Grant("", "", frozenset(), context_equals=context)
    try:
        return _simulated(call, known, name)
    except KmsServiceError as error:
        raise KmsServiceError(error.code, error.message, operation=operation, status=error.status) from None


def _simulated(call: Call, action: str, name: str | None) -> Simulation:
    key: Key | None = None
    # Listing retirable grants is about the principal who may retire them: asked of the caller itself.
    resource = call.requester.caller.arn if action == "ListRetirableGrants" else "*"
    if name is not None:
        reference = parse_reference(call.scope, name)
        if reference is None:
            raise faults.invalid_arn(name)
        if reference.alias and action in _ALIAS_ACTIONS:
            resource = reference.arn
        else:
            key = call.find(name, call.view, action=action)
            resource = key.arn
    caller = call.requester.caller
    asked = (caller.arn, f"kms:{action}", resource)
    if key is not None and key.scope.account != call.scope.account and call.operation not in CROSS_ACCOUNT:
        conclusion = f"denied: kms:{action} has no effect on keys of other accounts"
        return Simulation(False, *asked, (), conclusion, out_of_reach_text(caller.arn, action))
    decision = decide(call, action, key, resource)
    explanation = explain(decision)
    return Simulation(decision.allowed, *asked, explanation.steps, explanation.conclusion, decision.message)
