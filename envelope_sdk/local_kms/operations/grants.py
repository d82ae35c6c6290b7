"""CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

from envelope_sdk.errors import KmsServiceError, UsageError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.access.grants import GrantTerms, grant_of, make_token, read_token, terms_of
from envelope_sdk.local_kms.access.principals import principal_exists
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.model import GrantRecord, Key
from envelope_sdk.local_kms.operations.grant_parameters import (
    GRANT_ID,
    MAX_GRANT_ID,
    SERVICE_NAME,
    WantedGrant,
    check_fits,
    take_grant,
    take_principal,
)
from envelope_sdk.local_kms.operations.pages import read_page
from envelope_sdk.local_kms.operations.using import stop_if
from envelope_sdk.local_kms.parameters import MAX_GRANT_TOKEN, Parameters
from envelope_sdk.local_kms.policy import Caller, not_let_in
from envelope_sdk.local_kms.policy.refusals import out_of_reach
from envelope_sdk.local_kms.store.contract import WriteTransaction

__all__ = ["create_grant", "list_grants", "list_retirable_grants", "retire_grant", "revoke_grant"]


_DEFAULT_LIMIT: Final = 50
_MOST: Final = 100


def create_grant(call: Call) -> dict[str, Any]:
    """Let a principal do some operations with a key. The same again, under the same name, is the same grant."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    wanted = take_grant(parameters)
    parameters.grant_tokens()
    dry_run = parameters.flag("DryRun")
    parameters.done()
    with call.store.write() as transaction:
        key = call.find(name, transaction, aliases=False)
        record = _record(call, key, wanted)
        call.new_grant = grant_of(record)
        call.admit(key)
        check_fits(key, wanted.terms)
        for principal in (record.grantee, record.retiring):
            _check_principal(call, principal, transaction)
        existing = transaction.grants(key.scope, key.key_id)
        same = _same(record, existing)
        if same is None and len(existing) >= call.limits.grants_per_key:
            raise faults.limit_exceeded("Grants per key", call.limits.grants_per_key, len(existing))
        stop_if(dry_run)
        kept = record if same is None else replace(same, token=make_token(same.grant_id, key.arn, call.random))
        transaction.put_grant(kept)
    return {"GrantToken": kept.token, "GrantId": kept.grant_id}


def list_grants(call: Call) -> dict[str, Any]:
    """List the grants of a key in the order of their ids, of one principal or all."""
    parameters = Parameters(call.parameters)
    read = read_page(parameters, "grants", _DEFAULT_LIMIT, _MOST)
    name = parameters.key_id()
    grant_id = parameters.text("GrantId", MAX_GRANT_ID)
    grantee = take_principal(parameters, "Grantee")
    parameters.done()
    page = read()
    _check_service_filter(call, "Grantee", is_service=grantee.is_service)
    key = call.key(name, call.view, aliases=False)
    _check_grant_id(grant_id)
    found = [
        record
        for record in call.view.grants(key.scope, key.key_id)
        if record.grant_id > page.after
        and grantee.name in (None, record.grantee)
        and grant_id in (None, record.grant_id)
    ]
    return page.answer("Grants", found[: page.limit + 1], lambda record: record.grant_id, _entry)


def list_retirable_grants(call: Call) -> dict[str, Any]:
    """List the grants, of keys of any account in the Region, that a principal of the caller's account may retire."""
    parameters = Parameters(call.parameters)
    read = read_page(parameters, "retirable", _DEFAULT_LIMIT, _MOST)
    retiring = take_principal(parameters, "Retiring")
    parameters.done()
    page = read()
    principal = retiring.name
    if principal is None:
        raise faults.validation("Either RetiringPrincipal or RetiringServicePrincipal has to be given.")
    _check_service_filter(call, "Retiring", is_service=retiring.is_service)
    _permit_listing(call, principal, is_service=retiring.is_service)
    account, _, rest = page.after.partition("/")
    key_id, _, grant_id = rest.partition("/")
    with call.store.read() as transaction:
        after = (account, key_id, grant_id)
        found = transaction.retirable(call.scope.region, principal, after, page.limit + 1)
    return page.answer("Grants", found, _place, _entry)


def retire_grant(call: Call) -> dict[str, Any]:
    """Remove a grant, named by its token or its key and id, on behalf of whom the grant lets do so."""
    parameters = Parameters(call.parameters)
    token = parameters.text("GrantToken", MAX_GRANT_TOKEN)
    name = parameters.optional_key_id()
    grant_id = parameters.text("GrantId", MAX_GRANT_ID)
    dry_run = parameters.flag("DryRun")
    parameters.done()
    if token is not None and name is None and grant_id is None:
        named = read_token(token)
        name, grant_id = named.key_arn, named.grant_id
    elif token is not None or name is None or grant_id is None:
        raise faults.validation("Either GrantToken, or KeyId and GrantId have to be given.")
    _check_grant_id(grant_id)
    with call.store.write() as transaction:
        key = call.find(name, transaction, aliases=False)
        call.retired = _to_retire(call, key, grant_id, transaction)
        call.admit(key)
        stop_if(dry_run)
        transaction.remove_grant(key.scope, key.key_id, grant_id)
    return {}


def revoke_grant(call: Call) -> dict[str, Any]:
    """Remove a grant on behalf of who looks after its key."""
    parameters = Parameters(call.parameters)
    name = parameters.key_id()
    grant_id = parameters.text("GrantId", MAX_GRANT_ID, required=True) or ""
    dry_run = parameters.flag("DryRun")
    parameters.done()
    with call.store.write() as transaction:
        key = call.key(name, transaction, aliases=False)
        _check_grant_id(grant_id)
        _existing(key, grant_id, transaction)
        stop_if(dry_run)
        transaction.remove_grant(key.scope, key.key_id, grant_id)
    return {}


def _record(call: Call, key: Key, wanted: WantedGrant) -> GrantRecord:
    grant_id = call.random(32).hex()
    return GrantRecord(
        scope=key.scope,
        key_id=key.key_id,
        grant_id=grant_id,
        token=make_token(grant_id, key.arn, call.random),
        created=call.now,
        effective=call.now + call.around.grant_propagation,
        issuing_account=call.scope.account,
        grantee=wanted.grantee,
        retiring=wanted.retiring,
        document=wanted.terms.document(),
    )


class _Sameness(NamedTuple):
    """What tells one grant of a name from another."""

    grantee: str
    retiring: str | None
    issuing_account: str
    operations: frozenset[str]
    rest: GrantTerms


def _same(record: GrantRecord, existing: Any) -> GrantRecord | None:
    """Return the grant that the new one would repeat; those without a name never repeat one."""
    if not terms_of(record).name:
        return None
    wanted = _sameness(record)
    return next((other for other in existing if _sameness(other) == wanted), None)


def _sameness(record: GrantRecord) -> _Sameness:
    terms = terms_of(record)
    operations = frozenset(terms.operations)
    return _Sameness(record.grantee, record.retiring, record.issuing_account, operations, replace(terms, operations=()))


def _existing(key: Key, grant_id: str, transaction: WriteTransaction) -> GrantRecord:
    for record in transaction.grants(key.scope, key.key_id):
        if record.grant_id == grant_id:
            return record
    raise faults.not_found(f"Grant {grant_id} of key {key.arn} does not exist")


def _to_retire(call: Call, key: Key, grant_id: str, transaction: WriteTransaction) -> GrantRecord:
    try:
        return _existing(key, grant_id, transaction)
    except KmsServiceError:
        if key.scope.account == call.scope.account:
            raise
        # It is the grant that would have let the caller know of the key.
        raise out_of_reach(call.requester.caller.arn, call.operation) from None


def _check_grant_id(grant_id: str | None) -> None:
    if grant_id is not None and not GRANT_ID.fullmatch(grant_id):
        raise faults.invalid_grant_id()


def _check_principal(call: Call, principal: str | None, transaction: WriteTransaction) -> None:
    """Refuse what is no principal, or none that exists: with an error that callers take as passing, as it may be."""
    if principal is None or SERVICE_NAME.fullmatch(principal):
        return
    try:
        Caller.parse(principal)
    except UsageError:
        raise faults.invalid_arn(principal) from None
    if not principal_exists(principal, call.scope.account, transaction):
        raise faults.invalid_arn(principal)


def _check_service_filter(call: Call, role: str, *, is_service: bool) -> None:
    if is_service and call.requester.caller.account:
        raise faults.validation(f"{role}ServicePrincipal can only be used by AWS services.")


def _permit_listing(call: Call, principal: str, *, is_service: bool) -> None:
    """Permit it to those who may, for principals of their own account; and to services for themselves."""
    caller = call.requester.caller
    if is_service and principal == caller.arn:
        return
    # The fifth part of its ARN: its name, or the path before that, may hold colons too.
    if is_service or principal.split(":")[4:5] != [call.scope.account]:
        raise not_let_in(caller, call.operation, principal)
    call.permit(None, resource=principal)


def _place(record: GrantRecord) -> str:
    return f"{record.scope.account}/{record.key_id}/{record.grant_id}"


def _entry(record: GrantRecord) -> dict[str, Any]:
    """Return a grant as ListGrants answers it."""
    terms = terms_of(record)
    entry: dict[str, Any] = {
        "KeyId": record.scope.key_arn(record.key_id),
        "GrantId": record.grant_id,
        "CreationDate": record.created,
        "IssuingAccount": f"arn:{record.scope.arn_prefix.split(':')[1]}:iam::{record.issuing_account}:root",
        "Operations": list(terms.operations),
    }
    entry["GranteeServicePrincipal" if terms.grantee_is_service else "GranteePrincipal"] = record.grantee
    if record.retiring is not None:
        entry["RetiringServicePrincipal" if terms.retiring_is_service else "RetiringPrincipal"] = record.retiring
    if terms.name:
        entry["Name"] = terms.name
    if terms.constraints:
        entry["Constraints"] = dict(terms.constraints)
    return entry
