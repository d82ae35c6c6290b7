"""Keyrings by URI: the built-in schemes, and what is told where one cannot be opened."""

from __future__ import annotations

import doctest
import threading
from pathlib import Path

import pytest
from testkit.asymmetric_kms import AsymmetricKms
from testkit.processes import in_child

import envelope_sdk.keyrings.registry
from envelope_sdk import Client
from envelope_sdk.errors import (
    KeyringError,
    KeyStoreError,
    KmsServiceError,
    KmsUnavailableError,
    NoMatchingKeyError,
    UsageError,
)
from envelope_sdk.integrations.local_keys import SharedStores
from envelope_sdk.keyrings import KeyringUri, MultiKeyring, keyring_from_uri, keyrings_from_uris, known_schemes
from envelope_sdk.keyrings.key_files import encode_aes_key_file
from envelope_sdk.keyrings.registry import files_named_by
from envelope_sdk.keyrings.schemes import BUILT_IN
from envelope_sdk.local_kms import LocalKms

ROOT = Path(__file__).resolve().parents[2]
ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
MRK = "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
PLAINTEXT = b"plaintext"


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "a.key"
    path.write_bytes(encode_aes_key_file("test", "a", bytes(32)))
    path.chmod(0o600)
    return path


@pytest.fixture(autouse=True)
def aws(monkeypatch, tmp_path):
    """No account, no network and no home of anybody's."""
    nowhere = str(tmp_path / "nowhere")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, nowhere)
    for name in (
        "ENVELOPE_CONFIG",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
        "ENVELOPE_KMS_STORE",
        "ENVELOPE_KEY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", nowhere)
    monkeypatch.setenv("XDG_CONFIG_HOME", nowhere)
    monkeypatch.setenv("XDG_DATA_HOME", nowhere)


def test_the_example_at_the_head_of_the_module_works():
    results = doctest.testmod(envelope_sdk.keyrings.registry, optionflags=doctest.ELLIPSIS)

    assert (results.attempted, results.failed) == (2, 0)


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_documented_table_is_that_of_the_registry():
    page = (ROOT / "docs" / "keyring-uris.md").read_text("utf-8")
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| `")]

    assert [tuple(cell.strip() for cell in row) for row in rows] == [
        (f"`{spec.form}`", spec.opens, ", ".join(f"`{name}`" for name in spec.parameters.split(", ") if name))
        for spec in BUILT_IN.values()
    ]


def test_the_table_s_forms_are_of_their_schemes():
    assert [spec.form.partition(":")[0] for spec in BUILT_IN.values()] == list(BUILT_IN)
    for spec in BUILT_IN.values():
        assert set(spec.files) <= set(spec.single)


def test_all_schemes_are_known():
    own = [known for known in known_schemes() if known.distribution is None]

    assert [known.scheme for known in own] == list(BUILT_IN)
    assert all(known.clash is None for known in own)


def test_parameters_are_checked_before_anything_is_opened():
    for scheme, spec in BUILT_IN.items():
        if spec.rest != "own":
            with pytest.raises(UsageError, match=f"{scheme}:// has no parameter 'nosuch'"):
                keyring_from_uri(f"{scheme}://nosuch?nosuch=1")


@pytest.mark.parametrize("scheme", [name for name, spec in BUILT_IN.items() if spec.rest in ("name", "file")])
def test_a_uri_that_names_nothing_is_told_how_to_write_it(scheme):
    with pytest.raises(UsageError, match=f"{scheme}:// names nothing: write {scheme}://"):
        keyring_from_uri(f"{scheme}://")


@pytest.mark.parametrize("scheme", ["local-kms-discovery", "aws-kms-discovery"])
def test_discovery_names_no_key(scheme):
    with pytest.raises(UsageError, match="nothing stands between"):
        keyring_from_uri(f"{scheme}://alias/a")


def test_an_unknown_scheme_is_told_with_the_known_ones_and_those_like_it():
    with pytest.raises(UsageError) as caught:
        keyring_from_uri("aws-kms-mkr://hunter2")

    assert "did you mean 'aws-kms-mrk'" in str(caught.value)
    assert all(scheme in str(caught.value) for scheme in BUILT_IN)
    assert "hunter2" not in str(caught.value)


# --- several ---------------------------------------------------------------------------------------------------------


def test_the_first_of_several_makes_the_data_key_and_any_opens(tmp_path, key_file):
    other = tmp_path / "b.key"
    other.write_bytes(encode_aes_key_file("test", "b", bytes(32)))
    other.chmod(0o600)
    both = keyrings_from_uris([f"raw-aes://{key_file}", str(other)])

    message = Client(both).encrypt(PLAINTEXT)

    assert isinstance(both, MultiKeyring)
    assert [key.provider_info[:1] for key in message.header.encrypted_data_keys] == [b"a", b"b"]
    for path in (key_file, other):
        assert Client(keyring_from_uri(str(path))).decrypt(message.ciphertext).plaintext == PLAINTEXT


def test_no_uri_is_no_keyring():
    with pytest.raises(UsageError, match="there is no URI"):
        keyrings_from_uris([])


def test_one_text_is_not_several_uris(key_file):
    for one in (str(key_file), KeyringUri("key-file", str(key_file))):
        with pytest.raises(TypeError, match="a collection of URIs"):
            keyrings_from_uris(one)


@pytest.mark.parametrize("name", [Path("a.key"), b"a.key", None])
def test_what_is_no_text_names_no_key(name):
    with pytest.raises(TypeError, match=r"a key is named by a URI or a path as text, not (PosixPath|bytes|NoneType)"):
        keyring_from_uri(name)


# --- key files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["", "key-file://", "raw-aes://"])
def test_a_key_file_is_opened(scheme, key_file):
    assert repr(keyring_from_uri(f"{scheme}{key_file}")) == "RawAesKeyring('test', 'a', 256 bits)"


def test_a_key_file_of_another_kind_is_told(key_file):
    with pytest.raises(UsageError, match="is a raw-aes key file, not raw-rsa"):
        keyring_from_uri(f"raw-rsa://{key_file}")


def test_a_key_file_that_others_can_read_is_warned_of(key_file):
    key_file.chmod(0o644)

    with pytest.warns(UserWarning, match="can be read by others"):
        keyring_from_uri(str(key_file))


def test_a_key_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(KeyringError, match="cannot be read: no such file or directory"):
        keyring_from_uri(str(tmp_path / "nosuch"))


def test_a_uri_without_its_slashes_is_told_how_to_write_it():
    with pytest.raises(KeyringError, match=r"no such file or directory \(write aws-kms://KEY\)"):
        keyring_from_uri("aws-kms:alias/a")


# --- the local KMS ---------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    """A store with two keys, one of them called alias/a."""
    path = tmp_path / "my keys.db"
    with LocalKms.open(path) as kms:
        kms.create_key()
        made = kms.create_key()["KeyMetadata"]
        kms.create_alias(AliasName="alias/a", TargetKeyId=made["KeyId"])
    return path


def test_a_key_of_the_local_kms_is_opened_in_python_too(store):
    keyring = keyring_from_uri(f"local-kms://alias/a?store={store}")

    message = Client(keyring).encrypt(PLAINTEXT).ciphertext

    assert Client(keyring).decrypt(message).plaintext == PLAINTEXT
    everything = keyring_from_uri(f"local-kms-discovery://?store={store}")
    assert Client(everything).decrypt(message).plaintext == PLAINTEXT
    with pytest.raises(UsageError, match="name one as local-kms://KEY"):
        Client(everything).encrypt(PLAINTEXT)


@pytest.mark.parametrize("how", ["variable", "usual place"])
def test_the_usual_store_is_used_where_none_is_named(how, store, monkeypatch, tmp_path):
    if how == "variable":
        monkeypatch.setenv("ENVELOPE_KMS_STORE", str(store))
    else:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        (tmp_path / "data" / "envelope").mkdir(parents=True)
        with LocalKms.open(tmp_path / "data" / "envelope" / "kms.db") as kms:
            made = kms.create_key()["KeyMetadata"]
            kms.create_alias(AliasName="alias/a", TargetKeyId=made["KeyId"])
    client = Client(keyring_from_uri("local-kms://alias/a"))

    assert client.decrypt(client.encrypt(PLAINTEXT).ciphertext).plaintext == PLAINTEXT


def test_a_child_of_a_fork_opens_stores_while_a_thread_of_its_parent_does(store):
    opening, forked = threading.Event(), threading.Event()

    def opened(path):
        if threading.current_thread() is thread:
            opening.set()
            forked.wait(60)
        return LocalKms.open(path)

    stores = SharedStores(opened)
    thread = threading.Thread(target=stores.kms, args=(str(store),))
    thread.start()
    opening.wait(60)
    try:
        assert in_child(lambda: stores.kms(str(store)).region == "us-east-1") == 0
    finally:
        forked.set()
        thread.join()


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    for scheme in ("local-kms://alias/a", "local-kms-discovery://"):
        with pytest.raises(KeyStoreError, match="there is no local KMS in"):
            keyring_from_uri(f"{scheme}?store={tmp_path / 'new.db'}")
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("name", ["/", "x" * 300], ids=["the root folder", "a name that is too long"])
def test_a_store_that_cannot_be_one_is_told(name):
    for scheme in ("local-kms://alias/a", "local-kms-discovery://"):
        with pytest.raises(KeyStoreError, match=r"the key store .* cannot be used"):
            keyring_from_uri(f"{scheme}?store={name}")


def test_branch_keys_that_cannot_be_looked_at_are_told():
    with pytest.raises(KeyringError, match=r"the branch keys in 'x+' cannot be read: file name too long"):
        keyring_from_uri(f"hierarchical://a?file={'x' * 300}&kms-key={ARN}")


def test_a_key_that_the_local_kms_does_not_have_is_told(store):
    with pytest.raises(KmsServiceError, match="NotFoundException"):
        keyring_from_uri(f"local-kms://alias/nosuch?store={store}")


class Door:
    """Opens what it is given, whatever is asked for, and notes that."""

    def __init__(self, kms):
        self._kms = kms
        self.asked = []

    def path(self, store):
        return f"memory {store}"

    def kms(self, store):
        self.asked.append(store)
        return self._kms


def test_the_caller_may_bring_the_local_kms(tmp_path):
    with LocalKms.in_memory() as kms:
        door = Door(kms)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        message = Client(keyring_from_uri(f"local-kms://{key}?store=x", local_kms=door)).encrypt(PLAINTEXT).ciphertext
        everything = keyring_from_uri("local-kms-discovery://", local_kms=door)

        assert Client(everything).decrypt(message).plaintext == PLAINTEXT
        assert (door.asked, repr(everything)) == (["x", None], "the local KMS in memory None")


# --- AWS KMS ---------------------------------------------------------------------------------------------------------

REPRS = {
    f"aws-kms://{ARN}": f"KmsKeyring('{ARN}')",
    "aws-kms://alias/a?region=eu-west-1": "KmsKeyring('alias/a')",
    f"aws-kms://{ARN}?region=eu-west-1&grant-token=a&grant-token=b": f"KmsKeyring('{ARN}')",
    f"aws-kms-mrk://{MRK}": f"KmsMrkKeyring('{MRK}')",
    "aws-kms-discovery://": "KmsAnyRegionDiscoveryKeyring()",
    "aws-kms-discovery://?region=eu-west-1": "KmsDiscoveryKeyring()",
    "aws-kms-discovery://?partition=aws&account=111122223333&account=444455556666": (
        "KmsAnyRegionDiscoveryKeyring(discovery_filter=DiscoveryFilter('aws', ['111122223333', '444455556666']))"
    ),
    "aws-kms-discovery://?region=eu-west-1&region=us-east-1": (
        "MultiKeyring(None, [KmsDiscoveryKeyring(), KmsDiscoveryKeyring()])"
    ),
    "aws-kms-mrk-discovery://eu-west-1": "KmsMrkDiscoveryKeyring('eu-west-1')",
    f"aws-kms-rsa://{ARN}?algorithm=RSAES_OAEP_SHA_1": f"KmsRsaKeyring('{ARN}', RSAES_OAEP_SHA_1, client)",
}


@pytest.mark.parametrize(("uri", "shown"), REPRS.items(), ids=REPRS)
def test_each_scheme_of_aws_makes_its_keyring(uri, shown):
    assert repr(keyring_from_uri(uri)) == shown


REFUSED = {
    "another Region than the ARN's": (
        f"aws-kms://{ARN}?region=us-east-1",
        "Region eu-west-1, and region=us-east-1 another",
    ),
    "no Region": ("aws-kms://alias/a", "You must specify a region"),
    "a Region that cannot be": ("aws-kms://alias/a?region=a/b", "Regions are named like"),
    "a profile that is not there": (f"aws-kms://{ARN}?profile=nosuch", "cannot use the profile 'nosuch'"),
    "an address that is none": (f"aws-kms://{ARN}?endpoint-url=nowhere", "boto3 makes no KMS client"),
    "an ARN of something else": ("aws-kms://arn:aws:s3:eu-west-1:1:key/x", "an ARN of 's3'"),
    "two Regions": ("aws-kms://alias/a?region=eu-west-1&region=us-east-1", "takes region= once"),
    "a Region twice": ("aws-kms-discovery://?region=eu-west-1&region=eu-west-1", "each Region is given once"),
    "half a filter": (
        "aws-kms-discovery://?account=111122223333",
        "partition= and account= of aws-kms-discovery:// go",
    ),
    "the other half": ("aws-kms-mrk-discovery://eu-west-1?partition=aws", "go together"),
    "an algorithm nobody knows": (f"aws-kms-rsa://{ARN}?algorithm=ROT13", "'ROT13' is none of"),
    "an RSA key by its alias": ("aws-kms-rsa://arn:aws:kms:eu-west-1:111122223333:alias/a", "needs the ARN of a key"),
    "too many grant tokens": (f"aws-kms://{ARN}?" + "&".join(["grant-token=a"] * 11), "at most 10 grant tokens"),
}


@pytest.mark.parametrize(("uri", "why"), REFUSED.values(), ids=REFUSED)
def test_what_aws_cannot_be_asked_is_told(uri, why):
    with pytest.raises(UsageError) as caught:
        keyring_from_uri(uri)

    assert why in str(caught.value)


@pytest.mark.parametrize("uri", [f"aws-kms://{ARN}?", f"hierarchical://a?table=b&kms-key={ARN}&"])
@pytest.mark.parametrize("place", ["in the URI", "in the environment"])
@pytest.mark.parametrize(
    ("url", "why"),
    [("http://a:hunter2@127.0.0.1:9", "a user name or password is in"), ("http://hunter2:99999", "its port is none")],
)
def test_an_address_that_nobody_can_be_asked_at_is_told_and_not_repeated(uri, place, url, why, monkeypatch):
    if place == "in the environment":
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    else:
        uri = f"{uri}endpoint-url={url}"

    with pytest.raises(UsageError, match=why) as caught:
        keyring_from_uri(uri.removesuffix("?").removesuffix("&"))
    assert "hunter2" not in str(caught.value)


def test_a_public_key_encrypts_for_an_rsa_key_without_asking_aws(tmp_path):
    kms = AsymmetricKms()
    arn = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]
    (tmp_path / "rsa.der").write_bytes(kms.public_key(arn))

    message = Client(keyring_from_uri(f"aws-kms-rsa://{arn}?public-key={tmp_path / 'rsa.der'}")).encrypt(PLAINTEXT)

    assert [key.provider_id for key in message.header.encrypted_data_keys] == ["aws-kms-rsa"]


@pytest.mark.parametrize("parameter", ["recipient", "public-key"])
def test_a_public_key_that_cannot_be_used_is_told(parameter, tmp_path):
    (tmp_path / "no.pem").write_bytes(b"hunter2")
    (tmp_path / "long.pem").write_bytes(bytes(2**16 + 1))
    for name, kind in (("nosuch", KeyringError), ("no.pem", UsageError), ("long.pem", UsageError)):
        with pytest.raises(kind) as caught:
            keyring_from_uri(f"aws-kms-ecdh://{ARN}?{parameter}={tmp_path / name}")
        assert "hunter2" not in str(caught.value)


def test_discovery_without_regions_asks_where_messages_say(monkeypatch):
    """Nothing answers there; what matters is who would have been asked."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with LocalKms.in_memory(region="eu-west-1", account="111122223333") as kms:
        door = Door(kms)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        message = Client(keyring_from_uri(f"local-kms://{key}", local_kms=door)).encrypt(PLAINTEXT).ciphertext
    anywhere = Client(keyring_from_uri("aws-kms-discovery://?endpoint-url=http://127.0.0.1:9"))
    elsewhere = Client(
        keyring_from_uri("aws-kms-discovery://?partition=aws&account=444455556666&endpoint-url=http://127.0.0.1:9")
    )

    with pytest.raises(KmsUnavailableError, match=r"127\.0\.0\.1:9"):
        anywhere.decrypt(message)
    with pytest.raises(NoMatchingKeyError, match="none of the message's data keys"):
        elsewhere.decrypt(message)


# --- files -----------------------------------------------------------------------------------------------------------

NAMED = {
    "raw-aes://a.key": ["a.key"],
    "key-file://a%20b": ["a b"],
    "local-kms://alias/a?store=my.db": ["my.db", "my.db-journal", "my.db-shm", "my.db-wal"],
    f"hierarchical://a?file=my.db&kms-key={ARN}": ["my.db", "my.db-journal", "my.db-shm", "my.db-wal"],
    f"aws-kms://{ARN}?profile=a": [],
    f"aws-kms-ecdh://{ARN}?recipient=a.pem&public-key=b.pem": ["a.pem", "b.pem"],
    "pkcs11:token=a?module-path=/lib/p.so&pin-source=file:/run/pin": ["/run/pin", "/lib/p.so"],
    "pkcs11:token=a": [],
    "pkcs11:token=a?module-path=/lib/%00p.so": [],
}


@pytest.mark.parametrize(("uri", "files"), NAMED.items(), ids=NAMED)
def test_the_files_that_a_uri_names_are_known(uri, files):
    assert sorted(files_named_by(KeyringUri.parse(uri))) == sorted(files)


def test_files_are_those_of_the_uri_s_folder():
    assert files_named_by(KeyringUri.parse("raw-aes://a.key", "/etc")) == ["/etc/a.key"]


def test_of_a_plug_in_s_uri_whatever_is_a_file_counts(tmp_path):
    (tmp_path / "token").write_bytes(b"")
    uri = KeyringUri.parse("vault://x?token-file=token&mount=y", str(tmp_path))

    assert files_named_by(uri) == [str(tmp_path / "token")]
