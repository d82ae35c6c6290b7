"""Local users, groups and roles, their access keys and sessions."""

from __future__ import annotations

import copy
import pickle
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit.policies import ALICE, APP, APP_ROLE, OURS, ROOT, THEIR_ROOT, allow, deny, text

from envelope_sdk.errors import KeyStoreError, KmsServiceError, UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.access.stored_credentials import StoredCredentials
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

STAFF = f"arn:aws:iam::{OURS}:group/staff"


# --- users, groups and roles -----------------------------------------------------------------------------------------


def test_a_user_is_kept_as_it_was_made(kms: LocalKms, clock: Any) -> None:
    made = kms.identities.create_user(
        "bob",
        path="/team/",
        policies={"use": {"Version": "2012-10-17", "Statement": [allow()]}},
        boundary=text(allow("kms:Decrypt")),
        tags={"team": "blue"},
    )

    assert made == kms.identities.get(f"arn:aws:iam::{OURS}:user/team/bob")
    assert (made.kind, made.name, made.path, made.tags) == ("user", "bob", "/team/", {"team": "blue"})
    assert (made.unique_id[:4], len(made.unique_id)) == ("AIDA", 21)
    assert made.created == clock.now.replace(microsecond=123000)
    assert made.boundary == text(allow("kms:Decrypt"))
    assert list(made.policies) == ["use"]


def test_identities_are_listed_by_kind(kms: LocalKms) -> None:
    identities = kms.identities
    made = [identities.create_group("staff"), identities.create_role("app"), identities.create_user("alice")]

    assert identities.list() == made
    assert identities.list("role") == [made[1]]
    assert kms.acting_as(THEIR_ROOT).identities.list() == []


def test_a_name_is_taken_once_whatever_its_case_and_path(kms: LocalKms) -> None:
    kms.identities.create_user("alice")
    for name, path in (("alice", "/"), ("Alice", "/"), ("alice", "/team/")):
        with pytest.raises(KmsServiceError) as caught:
            kms.identities.create_user(name, path=path)
        assert caught.value.code == "EntityAlreadyExists"
        assert caught.value.operation_name == "CreateUser"
    kms.identities.create_role("alice")
    kms.acting_as(THEIR_ROOT).identities.create_user("alice")


@pytest.mark.parametrize(
    ("name", "path"), [("", "/"), ("a b", "/"), ("a" * 65, "/"), ("a", "x"), ("a", "/x"), ("a/b", "/")]
)
def test_names_and_paths_have_a_form(kms: LocalKms, name: str, path: str) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        kms.identities.create_user(name, path=path)


@pytest.mark.parametrize("document", ["{", text(allow(to=ALICE)), text(allow(), version="2008-10-17")])
def test_identity_policies_are_checked(kms: LocalKms, document: str) -> None:
    identities = kms.identities
    identities.create_user("alice")
    for call in (
        lambda: identities.create_user("bob", policies={"p": document}),
        lambda: identities.create_user("bob", boundary=document),
        lambda: identities.attach_policy(ALICE, "p", document),
        lambda: identities.set_boundary(ALICE, document),
    ):
        with pytest.raises(KmsServiceError) as caught:
            call()
        assert caught.value.code == "MalformedPolicyDocumentException"
    assert [identity.name for identity in identities.list()] == ["alice"]


def test_what_is_not_there_is_said_to_be_missing(kms: LocalKms) -> None:
    identities = kms.identities
    identities.create_user("alice")
    for call in (
        lambda: identities.get(STAFF),
        lambda: identities.delete(STAFF),
        lambda: identities.attach_policy(STAFF, "p", text(allow())),
        lambda: identities.detach_policy(ALICE, "p"),
        lambda: identities.set_groups(ALICE, [STAFF]),
        lambda: identities.create_user("bob", groups=[STAFF]),
        lambda: identities.create_user("bob", groups=[ALICE]),
        lambda: identities.set_groups(ALICE, [ALICE]),
        lambda: identities.create_access_key(f"arn:aws:iam::{OURS}:user/bob"),
        lambda: identities.set_access_key_active("AKIAX", False),
        lambda: identities.delete_access_key("AKIAX"),
        lambda: identities.assume_role(APP_ROLE, "one"),
        lambda: kms.acting_as(THEIR_ROOT).identities.get(ALICE),
    ):
        with pytest.raises(KmsServiceError) as caught:
            call()
        assert caught.value.code == "NoSuchEntity"


def test_a_user_has_the_policies_of_its_groups(kms: LocalKms, key_id: str, refused: Any) -> None:
    identities = kms.identities
    identities.create_group("staff", policies={"use": text(allow("kms:Encrypt"))})
    identities.create_user("alice", groups=[STAFF])
    alice = kms.acting_as(ALICE)
    alice.encrypt(KeyId=key_id, Plaintext=b"x")
    identities.attach_policy(STAFF, "no", text(deny("kms:Encrypt")))
    with refused("AccessDeniedException"):
        alice.encrypt(KeyId=key_id, Plaintext=b"x")
    identities.set_groups(ALICE, [])
    identities.attach_policy(ALICE, "own", text(allow("kms:Encrypt")))
    alice.encrypt(KeyId=key_id, Plaintext=b"x")
    identities.set_groups(ALICE, [STAFF])
    identities.delete(STAFF)
    alice.encrypt(KeyId=key_id, Plaintext=b"x")


def test_another_group_of_that_name_begins_without_users(kms: LocalKms) -> None:
    kms.identities.create_group("staff")
    kms.identities.create_group("guests")
    guests = f"arn:aws:iam::{OURS}:group/guests"
    alice = kms.identities.create_user("alice", groups=[STAFF, guests])
    kms.identities.delete(STAFF)
    kms.identities.create_group("staff", policies={"all": text(allow())})

    assert kms.identities.get(alice.arn).groups == (guests,)


def test_a_boundary_caps_what_policies_give(kms: LocalKms, key_id: str, refused: Any) -> None:
    kms.identities.create_user("alice", policies={"all": text(allow())}, boundary=text(allow("kms:Describe*")))
    alice = kms.acting_as(ALICE)
    alice.describe_key(KeyId=key_id)
    with refused("AccessDeniedException"):
        alice.encrypt(KeyId=key_id, Plaintext=b"x")


def test_a_user_that_was_deleted_has_no_policies(kms: LocalKms, key_id: str, refused: Any) -> None:
    kms.identities.create_user("alice", policies={"all": text(allow())})
    alice = kms.acting_as(ALICE)
    alice.describe_key(KeyId=key_id)
    kms.identities.delete(ALICE)
    with refused("AccessDeniedException"):
        alice.describe_key(KeyId=key_id)


def test_a_unique_id_in_a_key_policy_means_its_user(kms: LocalKms, put_policy: Any, key_id: str, refused: Any) -> None:
    user = kms.identities.create_user("alice")
    put_policy(allow(to=ROOT), allow(to=user.unique_id))
    kms.acting_as(ALICE).encrypt(KeyId=key_id, Plaintext=b"x")
    kms.identities.delete(ALICE)
    kms.identities.create_user("alice")
    with refused("AccessDeniedException"):
        kms.acting_as(ALICE).encrypt(KeyId=key_id, Plaintext=b"x")


# --- sessions --------------------------------------------------------------------------------------------------------


def test_a_session_has_the_policies_of_its_role(kms: LocalKms, key_id: str, refused: Any) -> None:
    kms.identities.create_role("app", path="/service/", policies={"use": text(allow(["kms:Encrypt", "kms:Decrypt"]))})
    for app in (
        kms.acting_as(f"arn:aws:iam::{OURS}:role/service/app"),
        kms.acting_as(APP),
        kms.acting_as(kms.identities.assume_role(f"arn:aws:iam::{OURS}:role/service/app", "run-7").caller),
    ):
        app.encrypt(KeyId=key_id, Plaintext=b"x")
    limited = kms.acting_as(APP, session_policies=[text(allow("kms:Decrypt"))])
    with refused("AccessDeniedException"):
        limited.encrypt(KeyId=key_id, Plaintext=b"x")


def test_the_tags_of_a_session_come_before_those_of_its_role(kms: LocalKms, key_id: str, refused: Any) -> None:
    tagged = allow(Condition={"StringEquals": {"aws:PrincipalTag/team": "blue", "aws:PrincipalTag/site": "x"}})
    kms.identities.create_role("app", tags={"team": "red", "site": "x"}, policies={"use": text(tagged)})
    blue = kms.identities.assume_role(APP_ROLE, "one", tags={"team": "blue"})
    kms.acting_as(blue.caller).encrypt(KeyId=key_id, Plaintext=b"x")
    with refused("AccessDeniedException"):
        kms.acting_as(kms.identities.assume_role(APP_ROLE, "two").caller).encrypt(KeyId=key_id, Plaintext=b"x")


@pytest.mark.parametrize(
    "wrong",
    [{"session_name": "x"}, {"session_name": "a b"}, {"duration": timedelta(0)}, {"duration": timedelta(days=2)}],
)
def test_a_session_has_a_name_and_an_end(kms: LocalKms, wrong: dict[str, Any]) -> None:
    kms.identities.create_role("app")
    with pytest.raises(UsageError):
        kms.identities.assume_role(APP_ROLE, **({"session_name": "one"} | wrong))


def test_a_session_ends_before_the_calendar_does(kms: LocalKms, clock: Any) -> None:
    kms.identities.create_role("app")
    clock.now = datetime(9999, 12, 31, 23, 30, tzinfo=UTC)
    with pytest.raises(UsageError, match="there is no date"):
        kms.identities.assume_role(APP_ROLE, "one")


def test_only_roles_have_sessions_and_only_users_keys(kms: LocalKms) -> None:
    kms.identities.create_user("alice")
    kms.identities.create_role("app")
    with pytest.raises(UsageError, match="of a role"):
        kms.identities.assume_role(ALICE, "one")
    with pytest.raises(UsageError, match="only users"):
        kms.identities.create_access_key(APP_ROLE)


@pytest.mark.parametrize("principal", ["alice", f"arn:aws:iam::{OURS}:group/staff", "arn:aws:s3:::bucket", ""])
def test_nobody_acts_as_what_is_no_principal(kms: LocalKms, principal: str) -> None:
    with pytest.raises(UsageError, match="not the ARN"):
        kms.acting_as(principal)


def test_a_caller_has_its_session_policies_already(kms: LocalKms) -> None:
    with pytest.raises(UsageError, match="already"):
        kms.acting_as(Caller.parse(ALICE), session_policies=[text(allow())])


@pytest.mark.parametrize("policy", [text(allow("kms:Decrypt")), text(allow(), deny("kms:Encrypt"))])
def test_session_policies_limit_the_root_user_too(kms: LocalKms, key_id: str, policy: str, refused: Any) -> None:
    kms.encrypt(KeyId=key_id, Plaintext=b"x")

    with refused("AccessDeniedException"):
        kms.acting_as(ROOT, session_policies=[policy]).encrypt(KeyId=key_id, Plaintext=b"x")
    assert not kms.simulate(ROOT, "kms:Encrypt", key_id, session_policies=[policy]).allowed


def test_closing_a_view_closes_nothing(kms: LocalKms, key_id: str) -> None:
    with kms.acting_as(ROOT) as view:
        view.describe_key(KeyId=key_id)
    kms.describe_key(KeyId=key_id)
    assert repr(view) == repr(kms)


def test_a_boto3_client_acts_as_its_principal_does(kms: LocalKms, key_id: str) -> None:
    alice = kms.acting_as(ALICE).boto3_client()
    with pytest.raises(Exception, match="AccessDenied"):
        alice.describe_key(KeyId=key_id)
    kms.identities.create_user("alice", policies={"all": text(allow())})
    assert alice.describe_key(KeyId=key_id)["KeyMetadata"]["KeyId"] == key_id


# --- access keys -----------------------------------------------------------------------------------------------------


@pytest.fixture
def credentials(store: SqliteStore) -> StoredCredentials:
    return StoredCredentials(store)


def test_an_access_key_is_found_with_its_user(kms: LocalKms, credentials: StoredCredentials) -> None:
    kms.identities.create_user("alice")
    issued = kms.identities.create_access_key(ALICE)
    found = credentials.find(issued.access_key_id)

    assert found is not None
    assert (found.secret, found.session_token, found.expires) == (issued.secret_access_key, None, None)
    assert found.caller.arn == ALICE
    assert (len(issued.access_key_id), len(issued.secret_access_key)) == (20, 40)
    assert kms.identities.list_access_keys(ALICE) == [issued.access_key_id]
    assert credentials.find(issued.access_key_id) is found


def test_the_root_user_may_have_an_access_key(kms: LocalKms, credentials: StoredCredentials) -> None:
    found = credentials.find(kms.identities.create_access_key(ROOT).access_key_id)

    assert found is not None
    assert found.caller.arn == ROOT


def test_credentials_of_a_session_are_found_with_all_that_limits_it(
    kms: LocalKms, credentials: StoredCredentials, clock: Any, key_id: str, refused: Any
) -> None:
    role = kms.identities.create_role("app", path="/a/b/", policies={"all": text(allow())})
    issued = kms.identities.assume_role(
        role.arn, "run-7", policies=[text(allow("kms:DescribeKey"))], tags={"team": "blue"}
    )
    found = credentials.find(issued.access_key_id)

    assert found is not None
    assert (found.secret, found.session_token) == (issued.secret_access_key, issued.session_token)
    assert found.expires == issued.expiry == clock.now.replace(microsecond=123000) + timedelta(hours=1)
    caller = found.caller
    assert (caller.arn, caller.role_arn, caller.tags) == (APP, role.arn, {"team": "blue"})
    kms.acting_as(caller).describe_key(KeyId=key_id)
    with refused("AccessDeniedException"):
        kms.acting_as(caller).encrypt(KeyId=key_id, Plaintext=b"x")


def test_an_access_key_can_be_suspended_and_removed(kms: LocalKms, credentials: StoredCredentials) -> None:
    identities = kms.identities
    identities.create_user("alice")
    key_id = identities.create_access_key(ALICE).access_key_id
    identities.set_access_key_active(key_id, False)
    assert credentials.find(key_id) is None
    identities.set_access_key_active(key_id, True)
    assert credentials.find(key_id) is not None
    identities.delete_access_key(key_id)
    assert credentials.find(key_id) is None


def test_credentials_end_with_the_user_or_role(kms: LocalKms, credentials: StoredCredentials) -> None:
    kms.identities.create_user("alice")
    kms.identities.create_role("app")
    keys = [
        kms.identities.create_access_key(ALICE).access_key_id,
        kms.identities.assume_role(APP_ROLE, "one").access_key_id,
    ]
    assert all(credentials.find(key) for key in keys)
    kms.identities.delete(ALICE)
    kms.identities.delete(APP_ROLE)
    assert [credentials.find(key) for key in keys] == [None, None]


def test_a_session_is_not_one_of_another_role_of_that_name(kms: LocalKms, credentials: StoredCredentials) -> None:
    kms.identities.create_role("app")
    session = kms.identities.assume_role(APP_ROLE, "session")
    kms.identities.delete(APP_ROLE)
    kms.identities.create_role("app", policies={"all": text(allow())})

    assert credentials.find(session.access_key_id) is None
    another = kms.identities.assume_role(APP_ROLE, "session")
    assert credentials.find(another.access_key_id) is not None


def test_an_unknown_access_key_is_nobody_s(credentials: StoredCredentials) -> None:
    assert credentials.find("AKIAUNKNOWNUNKNOWN00") is None


def test_secrets_are_in_no_repr_and_no_pickle(kms: LocalKms, credentials: StoredCredentials) -> None:
    kms.identities.create_user("alice")
    kms.identities.create_role("app")
    key, session = kms.identities.create_access_key(ALICE), kms.identities.assume_role(APP_ROLE, "one")
    for held in (key, session):
        assert held.secret_access_key not in repr(held)
        for carry in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError, match="pickled or copied"):
                carry(held)
    assert session.session_token not in repr(session)
    credentials.find(key.access_key_id)
    assert key.secret_access_key not in repr(credentials)


def test_secrets_are_wrapped_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    with LocalKms.open(path, account=OURS) as kms:
        kms.identities.create_user("alice")
        issued = kms.identities.create_access_key(ALICE)
    for file in tmp_path.iterdir():
        assert issued.secret_access_key.encode() not in file.read_bytes()
    with closing(SqliteStore.open(path, None, system_random)) as store:
        found = StoredCredentials(store).find(issued.access_key_id)
        assert found is not None
        assert found.secret == issued.secret_access_key


@pytest.mark.parametrize(
    "document", ["", "[]", "{}", '{"kind": "robot", "groups": []}', '{"kind": "user", "groups": []}']
)
def test_a_damaged_identity_is_an_error_of_the_store(
    kms: LocalKms, store: SqliteStore, key_id: str, document: str
) -> None:
    kms.identities.create_user("alice")
    with store.write() as transaction:
        identity = transaction.identity(ALICE)
        assert identity is not None
        transaction.put_identity(replace(identity, document=document))
    with pytest.raises(KeyStoreError, match="damaged"):
        kms.acting_as(ALICE).describe_key(KeyId=key_id)
    with pytest.raises(KeyStoreError, match="damaged"):
        kms.identities.get(ALICE)


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"active": true}'])
def test_a_damaged_access_key_is_an_error_of_the_store(
    kms: LocalKms, store: SqliteStore, credentials: StoredCredentials, document: str
) -> None:
    kms.identities.create_user("alice")
    issued = kms.identities.create_access_key(ALICE)
    with store.write() as transaction:
        key = transaction.access_key(issued.access_key_id)
        assert key is not None
        transaction.put_access_key(replace(key, document=document))
    with pytest.raises(KeyStoreError, match="damaged") as caught:
        credentials.find(issued.access_key_id)
    assert issued.secret_access_key not in str(caught.value)


def test_a_damaged_grant_is_an_error_of_the_store(kms: LocalKms, tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    with LocalKms.open(path, account=OURS) as filed:
        key_id = filed.create_key()["KeyMetadata"]["KeyId"]
        filed.create_grant(KeyId=key_id, GranteePrincipal=ALICE, Operations=["Encrypt"])
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE grants SET document = '{\"operations\": 5}'")
        with pytest.raises(KeyStoreError, match="damaged"):
            filed.acting_as(ALICE).encrypt(KeyId=key_id, Plaintext=b"x")
        filed.encrypt(KeyId=key_id, Plaintext=b"x")


def test_a_caller_of_one_s_own_making_will_do(kms: LocalKms, put_policy: Any, key_id: str) -> None:
    put_policy(allow(to=ROOT), allow(to="*", Condition={"StringEquals": {"aws:PrincipalTag/team": "blue"}}))
    federated = Caller.parse(f"arn:aws:sts::{OURS}:federated-user/carol", tags={"team": "blue"})

    kms.acting_as(federated).encrypt(KeyId=key_id, Plaintext=b"x")


def test_times_are_kept_in_utc(store: SqliteStore) -> None:
    zone = datetime(2026, 1, 1, 12, tzinfo=UTC).astimezone()
    with LocalKms(store, clock=lambda: zone) as kms:
        assert kms.identities.create_user("alice").created == datetime(2026, 1, 1, 12, tzinfo=UTC)
