"""``envelope kms users``, ``groups``, ``roles``, ``access-keys`` and ``simulate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk.local_kms import LocalKms

ACCOUNT = "000000000000"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
USE = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"}}


@pytest.fixture
def policy(envelope: Any) -> Path:
    """A file with a policy that allows to encrypt."""
    path: Path = envelope.home / "use.json"
    path.write_text(json.dumps(USE))
    return path


@pytest.fixture
def key_id(envelope: Any) -> str:
    return str(envelope.ok("kms", "create-key", "--alias", "one").json["KeyId"])


def local_kms(envelope: Any) -> LocalKms:
    return LocalKms.open(envelope.home / ".local/share/envelope/kms.db")


# --- users, groups and roles -----------------------------------------------------------------------------------------


def test_the_life_of_a_user(envelope: Any, policy: Path) -> None:
    envelope.ok("kms", "groups", "create", "staff", "--policy", f"use={policy}")
    made = envelope.ok(
        *("kms", "users", "create", "alice", "--group", "staff", "--tag", "team=blue"),
        *("--boundary", str(policy), "--policy", f"own={policy}"),
    ).json

    assert (made["arn"], made["tags"], made["groups"]) == (
        ALICE,
        {"team": "blue"},
        [f"arn:aws:iam::{ACCOUNT}:group/staff"],
    )
    assert json.loads(made["boundary"]) == json.loads(made["policies"]["own"]) == USE
    assert envelope.ok("kms", "users", "show", "alice").json == made
    assert envelope.ok("kms", "users", "list").text == f"{ALICE}  own\n"
    assert envelope.ok("kms", "users", "list", "--json").json == {"users": [made]}
    envelope.ok("kms", "users", "attach-policy", "alice", "more", policy)
    envelope.ok("kms", "users", "detach-policy", ALICE, "own")
    assert list(envelope.ok("kms", "users", "show", "alice").json["policies"]) == ["more"]
    envelope.ok("kms", "users", "delete", "alice")
    assert envelope.ok("kms", "users", "list").text == ""
    assert envelope.ok("kms", "groups", "list").text == f"arn:aws:iam::{ACCOUNT}:group/staff  use\n"


def test_a_role_is_assumed_with_credentials_as_the_aws_cli_takes_them(envelope: Any, policy: Path) -> None:
    envelope.ok("kms", "roles", "create", "app", "--path", "/team/", "--policy", f"use={policy}")
    issued = envelope.ok("kms", "roles", "assume", "app", "run-7", "--session-policy", policy, "--seconds", "60").json

    assert set(issued) == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert (issued["Version"], issued["AccessKeyId"][:4]) == (1, "ASIA")


def test_users_of_another_account(envelope: Any) -> None:
    other = "444455556666"
    envelope.ok("kms", "users", "create", "bob", "--account", other)

    assert envelope.ok("kms", "users", "list").text == ""
    assert envelope.ok("kms", "users", "list", "--account", other).text == f"arn:aws:iam::{other}:user/bob\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("users", "show", "nobody"), 2, "there is no user called 'nobody'"),
        (("users", "show", f"arn:aws:iam::{ACCOUNT}:user/nobody"), 2, "NoSuchEntity"),
        (("users", "create", "alice"), 2, "EntityAlreadyExists"),
        (("users", "create", "a b"), 2, "cannot be called"),
        (("users", "create", "bob", "--policy", "use.json"), 2, "policies are NAME=VALUE"),
        (("users", "create", "bob", "--tag", "x"), 2, "tags are NAME=VALUE"),
        (("users", "create", "bob", "--group", "none"), 2, "there is no group called 'none'"),
        (("users", "create", "bob", "--account", "12"), 2, "not the ARN"),
        (("users", "attach-policy", "alice", "p", "bad.json"), 2, "MalformedPolicyDocumentException"),
        (("users", "attach-policy", "alice", "p", "binary"), 2, "it is not text"),
        (("users", "detach-policy", "alice", "p"), 2, "NoSuchEntity"),
        (("roles", "assume", "app", "x"), 2, "there is no role called 'app'"),
        (("access-keys", "delete", "AKIAUNKNOWN"), 2, "NoSuchEntity"),
        (("access-keys", "create", "nobody"), 2, "there is no user called 'nobody'"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(envelope: Any, arguments: tuple[str, ...], code: int, said: str) -> None:
    envelope.ok("kms", "users", "create", "alice")
    (envelope.home / "bad.json").write_text("{")
    (envelope.home / "binary").write_bytes(b"\xff\xfe")
    ran = envelope("kms", *arguments)

    assert (ran.code, ran.out) == (code, b"")
    assert said in ran.lines[0]


def test_there_is_nobody_where_there_is_no_store(envelope: Any) -> None:
    assert envelope("kms", "users", "list").code == 4


# --- access keys -----------------------------------------------------------------------------------------------------


def test_the_life_of_an_access_key(envelope: Any) -> None:
    envelope.ok("kms", "users", "create", "alice")
    ran = envelope.ok("kms", "access-keys", "create", "alice")
    access_key_id = ran.json["AccessKeyId"]

    assert set(ran.json) == {"Version", "AccessKeyId", "SecretAccessKey"}
    assert "not shown again" in ran.err
    assert envelope.ok("kms", "access-keys", "list", "alice").text == f"{access_key_id}\n"
    envelope.ok("kms", "access-keys", "deactivate", access_key_id)
    envelope.ok("kms", "access-keys", "activate", access_key_id)
    envelope.ok("kms", "access-keys", "delete", access_key_id)
    assert envelope.ok("kms", "access-keys", "list", "alice").text == ""


# --- simulate --------------------------------------------------------------------------------------------------------


def test_a_denial_is_explained_and_ends_in_four(envelope: Any, key_id: str, policy: Path) -> None:
    envelope.ok("kms", "users", "create", "alice", "--policy", f"use={policy}")
    simulate = ("kms", "simulate", "--principal", ALICE, "--key", "alias/one", "--action")
    allowed = envelope(*simulate, "kms:Encrypt")
    denied = envelope(*simulate, "kms:Decrypt")

    assert (allowed.code, allowed.text.splitlines()[-1]) == (0, "allowed")
    assert denied.code == 4
    assert denied.text.splitlines() == [
        "resource-based policy, statement Enable IAM User Permissions: Allow applies: "
        "names the caller's account, which leaves it to identity policies",
        "identity-based policy use of user alice, statement 1: Allow does not apply: the action is not kms:Decrypt",
        "denied: no identity-based policy allows it",
    ]
    found = envelope(*simulate, "kms:Decrypt", "--json").json
    assert (found["allowed"], found["resource"].rpartition("/")[2]) == (False, key_id)


def test_the_request_is_described_by_options(envelope: Any, key_id: str, policy: Path) -> None:
    condition = {
        "StringEquals": {"kms:EncryptionContext:team": "blue", "kms:ViaService": "s3.us-east-1.amazonaws.com"},
        "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]},
        "Bool": {"aws:MultiFactorAuthPresent": "true"},
    }
    statement = {**USE["Statement"], "Principal": {"AWS": ALICE}, "Condition": condition}  # type: ignore[dict-item]
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    with local_kms(envelope) as kms:
        kms.put_key_policy(KeyId=key_id, Policy=document, BypassPolicyLockoutSafetyCheck=True)
    simulate = ["kms", "simulate", "--principal", ALICE, "--key", key_id, "--action", "kms:Encrypt"]
    request = [
        *("--context", "team=blue", "--via-service", "s3.us-east-1.amazonaws.com", "--source-ip", "10.0.0.1"),
        *("--condition", "aws:TagKeys=a", "--condition", "aws:TagKeys=b"),
        *("--condition", "aws:MultiFactorAuthPresent=true", "--session-policy", str(policy)),
    ]

    assert envelope(*simulate, *request).code == 0
    assert envelope(*simulate, *request, "--condition", "aws:TagKeys=c").code == 4
    assert envelope(*simulate, *request, "--region", "eu-west-1").code == 4
    for number in (0, 2, 4):
        assert envelope(*simulate, *request[:number], *request[number + 2 :]).code == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--principal", "alice", "--action", "kms:Decrypt", "--key", "alias/one"), "not the ARN"),
        (("--principal", ALICE, "--action", "kms:Brew", "--key", "alias/one"), "there is no permission"),
        (("--principal", ALICE, "--action", "kms:Decrypt"), "name one"),
        (("--principal", ALICE, "--action", "kms:CreateKey", "--condition", "x"), "conditions are KEY=VALUE"),
        (("--principal", ALICE, "--action", "kms:Decrypt", "--key", "alias/one", "--context", "x"), "key=value"),
    ],
)
def test_what_cannot_be_simulated(envelope: Any, key_id: str, arguments: tuple[str, ...], said: str) -> None:
    ran = envelope("kms", "simulate", *arguments)

    assert (ran.code, ran.out) == (2, b"")
    assert said in ran.lines[0], key_id
