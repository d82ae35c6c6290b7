"""Users, groups and roles of an account, with their policies, tags and boundaries, kept beside the keys.

This is for whoever holds the store, as the command line does: nobody is asked for a permission. Errors are IAM's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from envelope_sdk.errors import KmsServiceError, UsageError
from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.access.credentials import DEFAULT_SESSION, IssuedKey, KeyIssuer, SessionCredentials
from envelope_sdk.local_kms.access.identity_documents import IdentityDocument, IdentityKind, document_of
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Identity
from envelope_sdk.local_kms.policy import Caller, CallerKind, Policy, PolicyKind
from envelope_sdk.local_kms.store.contract import ReadTransaction, Store
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["Identities", "LocalIdentity", "PolicyDocument"]

PolicyDocument = str | Mapping[str, Any]
"""A policy: JSON text, or what it would say."""

_NAME: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_PATH: Final = re.compile(r"/([\x21-\x2e\x30-\x7e]+/){0,64}", re.ASCII)
_MAX_PATH: Final = 512
_SESSION_NAME: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_ID_PREFIXES: Final = {IdentityKind.USER: "AIDA", IdentityKind.GROUP: "AGPA", IdentityKind.ROLE: "AROA"}


P = ParamSpec("P")
R = TypeVar("R")


def _called(operation: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Give what a method raises the name of an operation."""

    def named(method: Callable[P, R]) -> Callable[P, R]:
        @wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return method(*args, **kwargs)
            except KmsServiceError as error:
                named = operation if not error.operation_name else error.operation_name
                raise KmsServiceError(error.code, error.message, operation=named, status=error.status) from None

        return call

    return named


@dataclass(frozen=True, slots=True)
class LocalIdentity:
    """A user, group or role.

    Attributes:
        arn: its ARN.
        kind: ``user``, ``group`` or ``role``.
        name: unlike that of any other of its kind in the account.
        path: begins and ends with a slash.
        unique_id: for instance ``AIDA...``.
        created: when it was made, UTC.
        policies: documents by name.
        boundary: the permissions boundary, if there is one.
        tags: by name.
        groups: ARNs of a user's groups.
    """

    arn: str
    kind: str
    name: str
    path: str
    unique_id: str
    created: datetime
    policies: Mapping[str, str]
    boundary: str | None
    tags: Mapping[str, str]
    groups: tuple[str, ...]


class Identities:
    """The users, groups and roles of one account of a store. Safe to share between threads."""

    def __init__(self, store: Store, scope: Scope, *, clock: Callable[[], datetime], random: RandomSource) -> None:
        """Take the store, an account in one of its Regions, and where time and randomness come from."""
        self._store = store
        self._account = scope.account
        self._prefix = f"arn:{scope.arn_prefix.split(':')[1]}"
        self._clock = clock
        self._random = random
        self._keys = KeyIssuer(store, clock, random)

    def __repr__(self) -> str:
        return f"Identities({self._account})"

    @_called("CreateUser")
    def create_user(
        self,
        name: str,
        *,
        path: str = "/",
        policies: Mapping[str, PolicyDocument] | None = None,
        boundary: PolicyDocument | None = None,
        tags: Mapping[str, str] | None = None,
        groups: Iterable[str] = (),
    ) -> LocalIdentity:
        """Make a user.

        Args:
            name: up to 64 letters, digits and ``_+=,.@-``.
            path: begins and ends with a slash.
            policies: identity policies by name.
            boundary: the permissions boundary.
            tags: by name.
            groups: ARNs of groups that it is in.

        Raises:
            UsageError: name or path cannot be one.
            KmsServiceError: EntityAlreadyExists, NoSuchEntity (a group), MalformedPolicyDocumentException,
                LimitExceededException.
        """
        return self._create(IdentityKind.USER, name, path, policies, boundary, tags, tuple(groups))

    @_called("CreateGroup")
    def create_group(
        self, name: str, *, path: str = "/", policies: Mapping[str, PolicyDocument] | None = None
    ) -> LocalIdentity:
        """Make a group of users, all of whom have its policies. Parameters and errors as of :meth:`create_user`."""
        return self._create(IdentityKind.GROUP, name, path, policies, None, None, ())

    @_called("CreateRole")
    def create_role(
        self,
        name: str,
        *,
        path: str = "/",
        policies: Mapping[str, PolicyDocument] | None = None,
        boundary: PolicyDocument | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> LocalIdentity:
        """Make a role. Parameters and errors as of :meth:`create_user`.

        There is no trust policy: :meth:`assume_role` is for whoever holds the store.
        """
        return self._create(IdentityKind.ROLE, name, path, policies, boundary, tags, ())

    @_called("GetIdentity")
    def get(self, arn: str) -> LocalIdentity:
        """Return a user, group or role.

        Raises:
            KmsServiceError: NoSuchEntity.
        """
        with self._store.read() as look:
            return _shown(self._existing(look, arn))

    def list(self, kind: str | None = None) -> Sequence[LocalIdentity]:
        """Return all of the account, or those of one kind, in the order of their ARNs."""
        with self._store.read() as look:
            found = [_shown(identity) for identity in look.identities(self._account)]
        return [identity for identity in found if kind in (None, identity.kind)]

    @_called("DeleteIdentity")
    def delete(self, arn: str) -> None:
        """Remove a user, group or role, its access keys, and who is in it.

        Key policies and grants that name it stay as they are.

        Raises:
            KmsServiceError: NoSuchEntity.
        """
        with self._store.write() as transaction:
            self._existing(transaction, arn)
            transaction.remove_identity(arn)
            # Another group of that name begins without users.
            for identity in transaction.identities(self._account):
                known = document_of(identity)
                if arn in known.groups:
                    left = tuple(group for group in known.groups if group != arn)
                    transaction.put_identity(replace(identity, document=replace(known, groups=left).text()))

    @_called("PutPolicy")
    def attach_policy(self, arn: str, name: str, document: PolicyDocument) -> None:
        """Give a user, group or role a policy, or replace the one of that name. Errors as of :meth:`create_user`."""
        text = _checked(document, PolicyKind.IDENTITY)
        self._change(arn, lambda known: replace(known, policies={**known.policies, name: text}))

    @_called("DeletePolicy")
    def detach_policy(self, arn: str, name: str) -> None:
        """Take a policy away.

        Raises:
            KmsServiceError: NoSuchEntity: there is no such identity, or no policy of that name.
        """

        def without(known: IdentityDocument) -> IdentityDocument:
            if name not in known.policies:
                raise faults.no_such_entity(f"The policy {name} of {arn} cannot be found.")
            return replace(known, policies={each: text for each, text in known.policies.items() if each != name})

        self._change(arn, without)

    @_called("PutPermissionsBoundary")
    def set_boundary(self, arn: str, document: PolicyDocument | None) -> None:
        """Set, or with ``None`` remove, the permissions boundary of a user or role."""
        text = None if document is None else _checked(document, PolicyKind.BOUNDARY)
        self._change(arn, lambda known: replace(known, boundary=text))

    @_called("TagIdentity")
    def set_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        """Replace the tags of a user or role: ``aws:PrincipalTag/...`` in policies."""
        self._change(arn, lambda known: replace(known, tags=dict(tags)))

    @_called("AddUserToGroup")
    def set_groups(self, arn: str, groups: Iterable[str]) -> None:
        """Say which groups, by ARN, a user is in.

        Raises:
            KmsServiceError: NoSuchEntity: the user or a group.
        """
        wanted = tuple(groups)
        with self._store.write() as transaction:
            identity = self._existing(transaction, arn)
            for group in wanted:
                self._existing(transaction, group, IdentityKind.GROUP)
            transaction.put_identity(replace(identity, document=replace(document_of(identity), groups=wanted).text()))

    @_called("CreateAccessKey")
    def create_access_key(
        self, arn: str, *, access_key_id: str | None = None, secret_access_key: str | None = None
    ) -> IssuedKey:
        """Make an access key for a user, or for the account's root user; its secret is shown this once.

        Args:
            arn: of the user or root user.
            access_key_id: one that is known beforehand; one that is there already is replaced.
            secret_access_key: likewise.

        Raises:
            KmsServiceError: NoSuchEntity.
            UsageError: roles have no access keys of their own: see :meth:`assume_role`.
        """
        caller = self.caller(arn)
        if caller.kind not in (CallerKind.USER, CallerKind.ROOT):
            raise UsageError(f"only users have access keys: {arn}")
        if caller.kind is CallerKind.USER:
            self.get(arn)
        return self._keys.issue(caller, access_key_id, secret_access_key)

    def list_access_keys(self, arn: str) -> Sequence[str]:
        """Return the ids of a principal's access keys."""
        return self._keys.ids(arn)

    @_called("UpdateAccessKey")
    def set_access_key_active(self, access_key_id: str, active: bool) -> None:
        """Let an access key be used or not.

        Raises:
            KmsServiceError: NoSuchEntity.
        """
        self._keys.set_active(access_key_id, active)

    @_called("DeleteAccessKey")
    def delete_access_key(self, access_key_id: str) -> None:
        """Remove an access key.

        Raises:
            KmsServiceError: NoSuchEntity.
        """
        self._keys.delete(access_key_id)

    @_called("AssumeRole")
    def assume_role(
        self,
        arn: str,
        session_name: str,
        *,
        policies: Iterable[PolicyDocument] = (),
        tags: Mapping[str, str] | None = None,
        duration: timedelta = DEFAULT_SESSION,
    ) -> SessionCredentials:
        """Begin a session of a role.

        Args:
            arn: of the role.
            session_name: the last part of the session's ARN.
            policies: session policies: the session may do no more than they allow.
            tags: of the session; they come before those of the role.
            duration: until the credentials expire.

        Raises:
            KmsServiceError: NoSuchEntity, MalformedPolicyDocumentException.
            UsageError: the session's name cannot be one, or ``arn`` is no role's.
        """
        role = self.get(arn)
        if role.kind != IdentityKind.ROLE.value or not _SESSION_NAME.fullmatch(session_name):
            raise UsageError(f"a session is of a role, with a name of 2 to 64 letters and digits: {session_name!r}")
        session = f"{self._prefix}:sts::{self._account}:assumed-role/{role.name}/{session_name}"
        texts = [_checked(document, PolicyKind.SESSION) for document in policies]
        caller = Caller.parse(session, role_path=role.path, unique_id=role.unique_id, tags=tags, session_policies=texts)
        return self._keys.begin_session(caller, duration)

    @_called("GetCallerIdentity")
    def caller(self, arn: str, session_policies: Iterable[PolicyDocument] = ()) -> Caller:
        """Return a principal as the one who calls. It need not be known here: key policies may name it all the same.

        Args:
            arn: of an account's root, user, role, session or federated user; or the name of an AWS service.
            session_policies: those of the session.

        Raises:
            UsageError: it is none of these.
            KmsServiceError: MalformedPolicyDocumentException.
        """
        if ":" not in arn and "." in arn:
            return Caller.service(arn)
        texts = [_checked(document, PolicyKind.SESSION) for document in session_policies]
        caller = Caller.parse(arn, session_policies=texts)
        if ":assumed-role/" not in arn:
            return caller
        name = caller.role_arn.rpartition("/")[2]
        with self._store.read() as look:
            known = [document_of(identity) for identity in look.identities(caller.account)]
        path = next((each.path for each in known if (each.kind, each.name) == (IdentityKind.ROLE, name)), "/")
        return Caller.parse(arn, role_path=path, session_policies=texts)

    def _create(
        self,
        kind: IdentityKind,
        name: str,
        path: str,
        policies: Mapping[str, PolicyDocument] | None,
        boundary: PolicyDocument | None,
        tags: Mapping[str, str] | None,
        groups: tuple[str, ...],
    ) -> LocalIdentity:
        if not _NAME.fullmatch(name) or not _PATH.fullmatch(path) or len(path) > _MAX_PATH:
            raise UsageError(f"a {kind} cannot be called {name!r} under the path {path!r}")
        document = IdentityDocument(
            kind=kind,
            name=name,
            path=path,
            unique_id=self._keys.new_id(_ID_PREFIXES[kind], 17),
            policies={each: _checked(text, PolicyKind.IDENTITY) for each, text in (policies or {}).items()},
            boundary=None if boundary is None else _checked(boundary, PolicyKind.BOUNDARY),
            tags=dict(tags or {}),
            groups=groups,
        )
        arn = f"{self._prefix}:iam::{self._account}:{kind}{path}{name}"
        identity = Identity(self._account, arn, self._keys.now(), document.text())
        with self._store.write() as transaction:
            for group in groups:
                self._existing(transaction, group, IdentityKind.GROUP)
            for other in map(document_of, transaction.identities(self._account)):
                if other.kind is kind and other.name.lower() == name.lower():
                    raise faults.entity_exists(f"{kind.capitalize()} with name {name} already exists.")
            transaction.put_identity(identity)
        return _shown(identity)

    def _existing(self, look: ReadTransaction, arn: str, kind: IdentityKind | None = None) -> Identity:
        identity = look.identity(arn)
        if identity is None or identity.account != self._account or kind not in (None, document_of(identity).kind):
            raise faults.no_such_entity(f"{arn} cannot be found.")
        return identity

    def _change(self, arn: str, change: Callable[[IdentityDocument], IdentityDocument]) -> None:
        with self._store.write() as transaction:
            identity = self._existing(transaction, arn)
            transaction.put_identity(replace(identity, document=change(document_of(identity)).text()))


def _checked(document: PolicyDocument, kind: PolicyKind) -> str:
    text = document if isinstance(document, str) else json.dumps(document)
    Policy.parse(text, kind)
    return text


def _shown(identity: Identity) -> LocalIdentity:
    known = document_of(identity)
    return LocalIdentity(
        identity.arn,
        known.kind.value,
        known.name,
        known.path,
        known.unique_id,
        identity.created,
        known.policies,
        known.boundary,
        known.tags,
        known.groups,
    )
