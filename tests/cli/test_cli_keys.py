"""Keys: their files, AWS KMS, and the exit codes that go with what becomes of them."""

from __future__ import annotations

import base64
import json
import resource
from collections.abc import Callable
from typing import Any

import pytest

# --- key files -------------------------------------------------------------------------------------------------------


KINDS = ["aes-128", "aes-192", "aes-256", "rsa-2048", "rsa-3072", "ecdh-p256", "ecdh-p384", "ecdh-p521"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_each_kind_opens_what_it_closed(envelope: Any, kind: str) -> None:
    key = envelope.key("k", "--type", kind)

    message = envelope.ok("encrypt", "-k", key, "-", stdin=b"hello").out

    assert envelope.ok("decrypt", "-k", key, "-", stdin=message).out == b"hello"


def test_a_key_that_only_looks_like_one_for_ecdh_is_shown_by_its_name(envelope: Any) -> None:
    key = envelope.key("k", "--namespace", "raw-ecdh", "--name", "mine")

    message = envelope.ok("encrypt", "-k", key, "-", stdin=b"hello").out

    assert "raw-ecdh  mine" in envelope.ok("inspect", "-", stdin=message).text


def test_two_keys_have_different_names(envelope: Any) -> None:
    names = {json.loads(envelope.read(envelope.key(name)))["name"] for name in ("a", "b", "c")}

    assert len(names) == 3


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_can_read_is_warned_of(envelope: Any, mode: int) -> None:
    (envelope.home / envelope.key()).chmod(mode)

    ran = envelope.ok("encrypt", "-k", "a.key", "-", stdin=b"x")

    assert ran.err == "warning: the key file a.key can be read by others; 'chmod 600' it\n"


@pytest.mark.parametrize("kind", ["rsa-2048", "ecdh-p384"])
def test_a_public_key_may_be_read_by_others(envelope: Any, kind: str) -> None:
    envelope.key("me", "--type", kind)
    (envelope.home / "me.pub").chmod(0o644)

    assert envelope.ok("encrypt", "-k", "me.pub", "-", stdin=b"x").err == ""


def test_a_key_may_come_through_a_pipe(envelope: Any, fifo: str, ended: Any) -> None:
    """As a shell's ``--key <(...)`` does."""
    envelope.key()
    process = envelope.start("encrypt", "-k", fifo, "/dev/null", "-o", "-")
    (envelope.home / fifo).write_bytes(envelope.read("a.key"))

    message = ended(process)

    assert (message.code, message.err) == (0, "")
    assert envelope.ok("decrypt", "-k", "a.key", "-", stdin=message.out).out == b""


def replaced(**fields: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda key: json.dumps(key | fields).encode()


SECRET = "c2VjcmV0c2VjcmV0c2VjcmV0"
BROKEN_KEYS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "nothing": lambda key: b"",
    "no JSON": lambda key: SECRET.encode(),
    "half of it": lambda key: json.dumps(key).encode()[:-10],
    "a list": lambda key: json.dumps([SECRET]).encode(),
    "other JSON": lambda key: json.dumps({"wrapping_key": SECRET}).encode(),
    "a number too long": lambda key: b'{"envelope-key-file": ' + b"1" * 5000 + b"}",
    "too deep": lambda key: b"[" * 60000,
    "too long": lambda key: json.dumps(key).encode() + b" " * 2**16,
    "not UTF-8": lambda key: b'{"wrapping_key": "\xff' + SECRET.encode() + b'"}',
    "another version": replaced(**{"envelope-key-file": SECRET}),
    "another type": replaced(type=SECRET),
    "no type": replaced(type=None),
    "a key of another length": replaced(wrapping_key=SECRET),
    "a key that is not base64": replaced(wrapping_key=SECRET + "!"),
    "a key that is not ASCII": replaced(wrapping_key=SECRET + "é"),
    "a key that is no text": replaced(wrapping_key=[SECRET]),
    "no key": replaced(wrapping_key=None),
    "no name": replaced(name=None),
    "a name that is no Unicode": replaced(name="\ud800"),
    "a public key that is no Unicode": replaced(type="raw-rsa", padding="OAEP_SHA256", public_key="\ud800"),
    "a private key that is no Unicode": replaced(type="raw-rsa", padding="OAEP_SHA256", private_key="\ud800"),
    "a namespace of AWS": replaced(namespace="aws-kms"),
    "an RSA key without its parts": replaced(type="raw-rsa"),
    "an RSA padding nobody knows": replaced(type="raw-rsa", padding=SECRET),
    "an RSA key without halves": replaced(type="raw-rsa", padding="OAEP_SHA256"),
    "a private key that is not PEM": replaced(type="raw-rsa", padding="OAEP_SHA256", private_key=SECRET),
    "a public key that is not PEM": replaced(type="raw-rsa", padding="OAEP_SHA256", public_key=SECRET),
    "an ECDH key without a scheme": replaced(type="raw-ecdh"),
    "an ECDH scheme nobody knows": replaced(type="raw-ecdh", scheme=SECRET),
    "an ECDH scheme that is no text": replaced(type="raw-ecdh", scheme=[SECRET]),
    "an ECDH pair without its key": replaced(type="raw-ecdh", scheme="pair", recipient_public_key=SECRET),
    "an ECDH pair that is not PEM": replaced(type="raw-ecdh", scheme="pair", private_key=SECRET),
    "an ECDH discovery without its key": replaced(type="raw-ecdh", scheme="discovery"),
    "an ECDH recipient that is not PEM": replaced(type="raw-ecdh", scheme="ephemeral", recipient_public_key=SECRET),
    "an ECDH recipient that is no Unicode": replaced(
        type="raw-ecdh", scheme="ephemeral", recipient_public_key="\ud800"
    ),
    "an ECDH party without the other": replaced(type="raw-ecdh", scheme="static", private_key=SECRET),
    "a private key that is broken PEM": replaced(
        type="raw-rsa",
        padding="OAEP_SHA256",
        private_key=f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
    ),
}


@pytest.mark.parametrize("broken", BROKEN_KEYS.values(), ids=BROKEN_KEYS)
def test_a_broken_key_file_is_named_and_not_repeated(envelope: Any, broken: Callable[[dict[str, Any]], bytes]) -> None:
    key = json.loads(envelope.read(envelope.key()))
    envelope.write("k", broken(key))

    ran = envelope("encrypt", "-k", "k", "-", stdin=b"x")

    assert (ran.code, ran.out) == (2, b"")
    assert len(ran.lines) == 1
    assert ran.lines[0].startswith("envelope: 'k'")
    assert SECRET not in ran.err
    assert key["wrapping_key"] not in ran.err


@pytest.mark.parametrize(("kind", "limit"), [("rsa-4096", 1024), ("rsa-2048", 1), ("aes-256", 100), ("ecdh-p384", 300)])
def test_a_key_that_does_not_fit_on_the_disk_is_not_made(envelope: Any, kind: str, limit: int) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ran = envelope.process("keygen", "--type", kind, "k", preexec_fn=limited)

    assert (ran.code, ran.err) == (1, "envelope: k: file too large\n")
    assert envelope.names() == set()


@pytest.mark.parametrize("kind", ["rsa-2048", "ecdh-p384"])
def test_half_a_pair_is_not_made(envelope: Any, kind: str) -> None:
    """The public half's name is too long, if only by its ending."""
    name = "k" * 253

    ran = envelope("keygen", "--type", kind, name)

    assert (ran.code, ran.lines) == (1, [f"envelope: {name}.pub: file name too long"])
    assert envelope.names() == set()


@pytest.mark.parametrize("name", ["nosuch", ".", "a.key/x"])
def test_a_key_file_that_cannot_be_read(envelope: Any, name: str) -> None:
    envelope.key()

    ran = envelope("encrypt", "-k", name, "-", stdin=b"x")

    assert ran.code == 4
    assert ran.lines[0].startswith(f"envelope: the key file {name!r} cannot be read: ")


# --- AWS KMS ---------------------------------------------------------------------------------------------------------

NOWHERE = {
    "AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "AWS_MAX_ATTEMPTS": "1",
}
ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def arn(envelope: Any, kms_server: Any) -> str:
    """A key of a KMS that the command reaches over HTTP."""
    envelope.env = dict(kms_server.environment())
    kms_server.kms.create_key()
    made = kms_server.kms.create_key()["KeyMetadata"]
    kms_server.kms.create_alias(AliasName="alias/backups", TargetKeyId=made["KeyId"])
    return str(made["Arn"])


def test_a_key_of_aws_kms_closes_and_opens(envelope: Any, arn: str) -> None:
    message = envelope.ok("encrypt", "-k", f"aws-kms://{arn}", "-c", "team=blue", "-", stdin=b"hello").out

    opened = envelope.ok("decrypt", "-k", f"aws-kms://{arn}", "-c", "team=blue", "-", stdin=message)

    assert opened.out == b"hello"
    assert arn in envelope.ok("inspect", "-", stdin=message).text
    assert not envelope.store.exists()


def test_an_alias_closes_but_opening_needs_the_arn(envelope: Any, arn: str) -> None:
    message = envelope.ok("encrypt", "-k", "aws-kms://alias/backups", "-", stdin=b"hello").out

    refused = envelope("decrypt", "-k", "aws-kms://alias/backups", "-", stdin=message)

    assert refused.code == 4
    assert "give the key's ARN" in refused.err
    assert envelope.ok("decrypt", "-k", f"aws-kms://{arn}", "-", stdin=message).out == b"hello"


def test_what_is_wrapped_for_several_opens_while_one_of_them_is_away(envelope: Any, arn: str, kms_server: Any) -> None:
    keys = ["-k", f"aws-kms://{arn}", "-k", envelope.key()]
    message = envelope.ok("encrypt", *keys, "-", stdin=b"hello").out
    kms_server.refusal = (503, "ServiceUnavailableException")

    assert envelope.ok("decrypt", *keys, "-", stdin=message).out == b"hello"


REFUSALS = {
    "not permitted": (400, "AccessDeniedException", 4),
    "unknown credentials": (400, "UnrecognizedClientException", 4),
    "no such key": (400, "NotFoundException", 4),
    "pending deletion": (400, "KMSInvalidStateException", 4),
    "an error of no known kind": (400, "SomethingNewException", 4),
    "throttled": (400, "ThrottlingException", 5),
    "unavailable": (503, "ServiceUnavailableException", 5),
    "failing": (500, "KMSInternalException", 5),
}


@pytest.mark.parametrize(("status", "error", "code"), REFUSALS.values(), ids=REFUSALS)
def test_what_aws_kms_answers_decides_the_code(
    envelope: Any, arn: str, kms_server: Any, status: int, error: str, code: int
) -> None:
    message = envelope.ok("encrypt", "-k", f"aws-kms://{arn}", "-", stdin=b"hello").out
    kms_server.refusal = (status, error)

    closed = envelope("encrypt", "-k", f"aws-kms://{arn}", "-", stdin=b"x")
    opened = envelope("decrypt", "-k", f"aws-kms://{arn}", "-", stdin=message)

    for ran in (closed, opened):
        assert (ran.code, ran.out) == (code, b"")
        assert error in ran.lines[0]
        assert ("try again later" in ran.err) is (code == 5)


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
def test_aws_kms_cannot_be_reached(envelope: Any, command: str) -> None:
    envelope.env = {"AWS_DEFAULT_REGION": "us-east-1"}
    message = envelope.ok("encrypt", "-", stdin=b"x").out
    (key,) = envelope.ok("inspect", "--json", "-", stdin=message).json["encrypted_data_keys"]
    envelope.env = NOWHERE

    ran = envelope(command, "-k", f"aws-kms://{key['provider_info']}", "-", stdin=message)

    assert (ran.code, ran.out) == (5, b"")
    assert "http://127.0.0.1:9" in ran.lines[0]
    assert ran.lines[1] == "hint: nothing was changed: try again later"


def test_nobody_said_who_is_asking_aws(envelope: Any) -> None:
    envelope.env = {"AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:9"}

    ran = envelope.process("encrypt", "-k", f"aws-kms://{ARN}", "-", stdin=b"x")

    assert (ran.code, ran.out) == (4, b"")
    assert "credentials" in ran.err


def test_nobody_said_where_aws_is(envelope: Any) -> None:
    ran = envelope("encrypt", "-k", "aws-kms://alias/backups", "-", stdin=b"x")

    assert (ran.code, len(ran.lines)) == (2, 1)
    assert ran.lines[0].startswith("envelope: boto3 makes no KMS client: You must specify a region: name keys by their")


@pytest.mark.parametrize("address", ["foo", "http://", "http://a b", "1:2:3"])
def test_an_address_of_aws_that_is_none(envelope: Any, address: str) -> None:
    envelope.env = NOWHERE | {"AWS_ENDPOINT_URL_KMS": address}

    ran = envelope("encrypt", "-k", f"aws-kms://{ARN}", "-", stdin=b"x")

    assert (ran.code, len(ran.lines)) == (2, 1)
    assert ran.lines[0].startswith("envelope: boto3 makes no KMS client: ")
    assert address in ran.lines[0]


@pytest.mark.parametrize("key", ["aws-kms://arn:aws:s3:::bucket", "aws-kms://arn:aws:kms", "aws-kms://"])
def test_what_is_no_key_of_aws_kms(envelope: Any, key: str) -> None:
    envelope.env = NOWHERE | {"AWS_DEFAULT_REGION": "us-east-1"}

    ran = envelope("encrypt", "-k", key, "-", stdin=b"x")

    assert (ran.code, len(ran.lines)) == (2, 1)


# --- secrets ---------------------------------------------------------------------------------------------------------


def forms(secret: bytes) -> list[str]:
    """Return what a secret may look like in a text."""
    text = base64.b64encode(secret).decode()
    return [text.rstrip("="), text.translate(str.maketrans("+/", "-_")).rstrip("="), secret.hex(), repr(secret)[2:-1]]


@pytest.mark.parametrize("details", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_failing_command_tells_a_key(envelope: Any, details: bool) -> None:
    """Neither key files nor the local KMS's root key come up in what is said, nor in the details for debugging."""
    plaintext = b"for nobody else's eyes"
    envelope.write("a", plaintext)
    envelope.key("k", "--name", "same")
    envelope.key("other", "--name", "same")
    envelope.key("rsa", "--type", "rsa-2048")
    envelope.key("ecdh", "--type", "ecdh-p384")
    for key in ("k", "rsa", "ecdh"):
        envelope.ok("encrypt", "-k", key, "--sign", "a", "-o", f"{key}.enc")
    envelope.ok("encrypt", "a", "-o", "kms.enc")
    for name in ("k", "rsa", "ecdh", "kms"):
        data = bytearray(envelope.read(f"{name}.enc"))
        data[-1] ^= 1
        envelope.write(f"{name}-altered", bytes(data))
        envelope.write(f"{name}-short", envelope.read(f"{name}.enc")[:-1])
    key_id = envelope.ok("kms", "list-keys", "--json").json["Keys"][0]["KeyId"]
    rsa = json.loads(envelope.read("rsa"))
    envelope.write("rsa-half", json.dumps(rsa | {"private_key": rsa["private_key"][:-100]}).encode())
    envelope.write("rsa-in-aes", json.dumps(rsa | {"type": "raw-aes", "wrapping_key": rsa["private_key"]}).encode())
    ecdh = json.loads(envelope.read("ecdh"))
    envelope.write("ecdh-half", json.dumps(ecdh | {"private_key": ecdh["private_key"][:-100]}).encode())
    commands = [
        *(["decrypt", "-k", "k", f"{name}{how}", "-o", "-"] for name in ("k", "rsa") for how in ("-altered", "-short")),
        *(["decrypt", "-k", "rsa", f"{name}{how}", "-o", "b"] for name in ("k", "rsa") for how in ("-altered", "")),
        *(["decrypt", "-k", "ecdh", f"ecdh{how}", "-o", "b"] for how in ("-altered", "-short")),
        ["decrypt", "-k", "ecdh", "rsa.enc", "-o", "b"],
        ["encrypt", "-k", "ecdh-half", "a", "-o", "b"],
        ["encrypt", "-k", "raw-rsa://ecdh", "a", "-o", "b"],
        ["decrypt", "kms-altered", "-o", "b"],
        ["decrypt", "-k", "other", "k.enc", "-o", "b"],
        ["decrypt", "-k", "k", "-c", "a=b", "k.enc", "-o", "b"],
        ["encrypt", "-k", "rsa-half", "a", "-o", "b"],
        ["encrypt", "-k", "rsa-in-aes", "a", "-o", "b"],
        ["encrypt", "-k", "raw-rsa://k", "a", "-o", "b"],
        ["encrypt", "k", "-k", "k", "-o", "k"],
        ["inspect", "k", "rsa", "k-altered", str(envelope.store), f"{envelope.store}.rootkey"],
        ["keygen", "k"],
        ["kms", "disable-key", key_id],
        ["encrypt", "a", "-o", "b"],
        ["decrypt", "kms.enc", "-o", "b"],
        ["kms", "--kms-store", f"{envelope.store}.rootkey", "list-keys"],
        ["encrypt", "-k", f"{envelope.store}.rootkey", "a", "-o", "b"],
    ]
    root_key = envelope.store.with_name("kms.db.rootkey").read_bytes()
    secrets = [plaintext, base64.b64decode(json.loads(envelope.read("k"))["wrapping_key"]), base64.b64decode(root_key)]
    rsa_pem, ecdh_pem = ("".join(key["private_key"].splitlines()[1:-1]) for key in (rsa, ecdh))
    needles = [form for secret in secrets for form in forms(secret)]
    needles += [rsa_pem[at : at + 24] for at in range(0, 1200, 24)]
    needles += [ecdh_pem[at : at + 24] for at in range(24, 120, 24)]
    for arguments in commands:
        envelope.env = {"ENVELOPE_DEBUG": "1"} if details else {}
        ran = (envelope.process if details else envelope)(*arguments)

        said = ran.err + ran.out.decode("latin-1")
        assert ran.code != 0 or arguments[:2] == ["kms", "disable-key"]
        assert [needle for needle in needles if needle in said] == [], arguments
