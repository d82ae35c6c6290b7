"""The hierarchical keyring by URI: where its branch keys are, and which KMS key wraps them."""

from __future__ import annotations

import pytest

from envelope_sdk import Client
from envelope_sdk.errors import KeyringError, KmsServiceError, UsageError
from envelope_sdk.keyrings import KeyringUri, keyring_from_uri
from envelope_sdk.keyrings.schemes.hierarchical import branch_key_store, create_table
from envelope_sdk.local_kms import LocalKms

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

REGION = "eu-west-1"
PLAINTEXT = b"plaintext"


class Door:
    """Opens one KMS in memory, whatever is asked for, and notes that."""

    def __init__(self, kms):
        self._kms = kms
        self.asked = []

    def path(self, store):
        return "memory"

    def kms(self, store):
        self.asked.append(store)
        return self._kms


@pytest.fixture
def door():
    """The door to a local KMS with the key alias/a."""
    with LocalKms.in_memory() as kms:
        kms.create_alias(AliasName="alias/a", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        yield Door(kms)


@pytest.fixture
def aws(monkeypatch, tmp_path):
    """A mocked account; the ARN of a key in it."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with moto.mock_aws():
        yield boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]


def made(uri, door=None):
    """Return the URI of a new branch key in the store that a URI names."""
    parsed = KeyringUri.parse(uri)
    return str(parsed._replace(rest=branch_key_store(parsed, door).create_key()))


def test_branch_keys_in_a_file_under_a_key_of_the_local_kms(door, tmp_path):
    store = f"file={tmp_path / 'b.db'}&kms-key=local-kms://alias/a%3Fstore=x"
    uri = made(f"hierarchical://?{store}", door)

    client = Client(keyring_from_uri(uri, local_kms=door))

    assert client.decrypt(client.encrypt(PLAINTEXT).ciphertext).plaintext == PLAINTEXT
    assert set(door.asked) == {"x"}


@pytest.mark.parametrize("prefix", ["", "aws-kms://", "aws-kms-mrk://"])
def test_branch_keys_in_a_table_under_a_key_of_aws_kms(prefix, aws):
    region = f"&region={REGION}" if prefix else ""
    store = f"table=branch-keys&kms-key={prefix}{aws}{region}"
    create_table(KeyringUri.parse(f"hierarchical://?{store}"))

    client = Client(keyring_from_uri(made(f"hierarchical://?{store}")))

    assert client.decrypt(client.encrypt(PLAINTEXT).ciphertext).plaintext == PLAINTEXT


def test_a_store_is_called_as_its_table_or_file_unless_it_has_a_name(door, tmp_path):
    for named, name in (("", "b"), ("&logical-name=mine", "mine")):
        uri = KeyringUri.parse(f"hierarchical://?file={tmp_path / 'b.db'}&kms-key=local-kms://alias/a{named}")
        assert branch_key_store(uri, door).logical_name == name


def test_with_no_time_to_live_every_message_asks(door, tmp_path):
    uri = made(f"hierarchical://?file={tmp_path / 'b.db'}&kms-key=local-kms://alias/a&ttl=0", door)
    client = Client(keyring_from_uri(uri, local_kms=door))
    message = client.encrypt(PLAINTEXT).ciphertext
    key = door.kms(None).list_keys()["Keys"][0]["KeyId"]

    door.kms(None).disable_key(KeyId=key)

    with pytest.raises(Exception, match="disabled"):
        client.decrypt(message)


def test_relative_files_are_in_the_folder_that_the_uri_comes_from(door, tmp_path):
    uri = KeyringUri.parse("hierarchical://x?file=b.db&kms-key=local-kms://alias/a%3Fstore=kms.db", str(tmp_path))

    branch_key_store(uri, door)

    assert (tmp_path / "b.db").exists()
    assert door.asked == [str(tmp_path / "kms.db")]


REFUSED = {
    "neither a table nor a file": ("kms-key=local-kms://alias/a", "either table= or file="),
    "a table and a file": ("table=a&file=FILE&kms-key=local-kms://alias/a", "either table= or file="),
    "a time that is none": (
        "file=FILE&ttl=soon&kms-key=local-kms://alias/a",
        "ttl= is a number of seconds, not 'so",
    ),
    "a time before now": ("file=FILE&ttl=-1&kms-key=local-kms://alias/a", "ttl_seconds is 0 or more"),
    "no time at all": ("file=FILE&ttl=nan&kms-key=local-kms://alias/a", "ttl_seconds is 0 or more"),
    "no KMS key": ("file=FILE", "needs kms-key="),
    "a key file": ("file=FILE&kms-key=a.key", "kms-key= is an ARN"),
    "discovery": ("file=FILE&kms-key=aws-kms-discovery://", "kms-key= is an ARN"),
    "an alias of AWS": ("file=FILE&kms-key=aws-kms://alias/a%3Fregion=eu-west-1", "alias/a"),
    "a parameter of the KMS key's that is unknown": ("file=FILE&kms-key=local-kms://alias/a%3Fx=y", "no parameter 'x'"),
    "no Region for the table": ("table=a&kms-key=local-kms://alias/a", "boto3 makes no DynamoDB client"),
}


@pytest.mark.parametrize(("parameters", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_followed_is_told(parameters, why, door, aws, tmp_path):
    (tmp_path / "b.db").touch()

    with pytest.raises(UsageError) as caught:
        keyring_from_uri(f"hierarchical://x?{parameters.replace('FILE', str(tmp_path / 'b.db'))}", local_kms=door)
    assert why in str(caught.value)


def test_a_file_that_is_not_there_is_not_made(door, tmp_path):
    with pytest.raises(KeyringError, match="there are no branch keys in"):
        keyring_from_uri(f"hierarchical://x?file={tmp_path / 'b.db'}&kms-key=local-kms://alias/a", local_kms=door)
    assert not (tmp_path / "b.db").exists()


def test_a_kms_key_that_is_not_there_is_told(door, tmp_path):
    (tmp_path / "b.db").touch()

    with pytest.raises(KmsServiceError, match="NotFoundException"):
        keyring_from_uri(f"hierarchical://x?file={tmp_path / 'b.db'}&kms-key=local-kms://alias/b", local_kms=door)


def test_only_a_table_that_is_named_is_made():
    with pytest.raises(UsageError, match="names no table="):
        create_table(KeyringUri.parse("hierarchical://?file=b.db"))
