"""The KMS ECDH keyring over a KMS with real key agreement: what it asks, what it checks, and who opens what."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)
from hypothesis import given
from hypothesis import strategies as st
from testkit.asymmetric_kms import AsymmetricKms
from testkit.materials import DATA_KEY, to_open, to_wrap

from envelope_sdk import Client, EncryptedDataKey, EncryptionContext
from envelope_sdk.errors import (
    AuthenticationError,
    KeyringError,
    KmsAccessError,
    KmsError,
    KmsUnavailableError,
    MessageError,
    NoMatchingKeyError,
    UsageError,
)
from envelope_sdk.keyrings import KmsEcdhKeyring, MultiKeyring, RawAesKeyring, RawEcdhKeyring
from envelope_sdk.materials import Keyring

SPECS = {"p256": "ECC_NIST_P256", "p384": "ECC_NIST_P384", "p521": "ECC_NIST_P521"}
CURVES = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
each_curve = pytest.mark.parametrize("curve", SPECS)
PARTNER = ec.generate_private_key(CURVES["p256"])


@pytest.fixture
def kms() -> AsymmetricKms:
    return AsymmetricKms()


def new_key(kms: AsymmetricKms, curve: str = "p256", usage: str = "KEY_AGREEMENT") -> str:
    return kms.create_key(KeySpec=SPECS[curve], KeyUsage=usage)["KeyMetadata"]["Arn"]


@pytest.fixture
def key(kms: AsymmetricKms) -> str:
    return new_key(kms)


def static(kms: AsymmetricKms, key: str, partner: ec.EllipticCurvePrivateKey = PARTNER) -> KmsEcdhKeyring:
    """Return a keyring that needs no call to be made."""
    return KmsEcdhKeyring.static(kms, key, partner.public_key(), sender_public_key=kms.public_key(key))


def discovery(kms: AsymmetricKms, key: str) -> KmsEcdhKeyring:
    return KmsEcdhKeyring.discovery(kms, key, recipient_public_key=kms.public_key(key))


def wrapped(by: Keyring, data_key: bytes = DATA_KEY) -> EncryptedDataKey:
    (edk,) = by.on_encrypt(to_wrap(data_key)).encrypted_data_keys
    return edk


def opened(by: Keyring, *edks: EncryptedDataKey) -> bytes | None:
    return by.on_decrypt(to_open(), edks).plaintext_data_key


def failures_of(by: Keyring, *edks: EncryptedDataKey) -> list[Exception]:
    with pytest.raises(NoMatchingKeyError) as error:
        by.on_decrypt(to_open(), edks)
    return [failure.error for failure in error.value.failures]


def test_it_is_a_keyring(kms, key):
    assert isinstance(static(kms, key), Keyring)


# --- who opens what --------------------------------------------------------------------------------------------------


@each_curve
def test_a_kms_key_and_a_raw_key_correspond(curve, kms):
    key, partner = new_key(kms, curve), ec.generate_private_key(CURVES[curve])
    here = static(kms, key, partner)
    there = RawEcdhKeyring.static(partner, kms.public_key(key))

    for writer in (here, there):
        for reader in (here, there):
            assert opened(reader, wrapped(writer)) == DATA_KEY


@each_curve
def test_two_kms_keys_correspond(curve, kms):
    one, other = new_key(kms, curve), new_key(kms, curve)
    here = KmsEcdhKeyring.static(kms, one, kms.public_key(other))
    there = KmsEcdhKeyring.static(kms, other, kms.public_key(one))

    for writer in (here, there):
        for reader in (here, there):
            assert opened(reader, wrapped(writer)) == DATA_KEY


@each_curve
def test_discovery_opens_what_anybody_wrapped_for_the_kms_key(curve, kms):
    key, other = new_key(kms, curve), new_key(kms, curve)
    public = load_der_public_key(kms.public_key(key))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    reader = KmsEcdhKeyring.discovery(kms, key)

    for writer in (
        RawEcdhKeyring.ephemeral(public),
        RawEcdhKeyring.static(ec.generate_private_key(CURVES[curve]), public),
        KmsEcdhKeyring.static(kms, other, public),
    ):
        assert opened(reader, wrapped(writer)) == DATA_KEY


def test_raw_discovery_opens_what_a_kms_key_wrapped(kms, key):
    assert opened(RawEcdhKeyring.discovery(PARTNER), wrapped(static(kms, key))) == DATA_KEY


def test_kms_is_not_asked_about_what_is_wrapped_for_others(kms, key):
    edk = wrapped(RawEcdhKeyring.ephemeral(ec.generate_private_key(CURVES["p256"]).public_key()))

    for ring in (static(kms, key), discovery(kms, key)):
        (error,) = failures_of(ring, edk)
        assert "none of the message's data keys is wrapped for this key" in str(error)
    assert kms.called() == []


def test_discovery_does_not_encrypt(kms, key):
    with pytest.raises(KeyringError, match="knows no recipient's public key and so cannot encrypt"):
        discovery(kms, key).on_encrypt(to_wrap())


def test_it_makes_a_data_key_where_there_is_none(kms, key):
    materials = static(kms, key).on_encrypt(to_wrap(None))

    assert len(materials.plaintext_data_key or b"") == 32
    assert opened(static(kms, key), *materials.encrypted_data_keys) == materials.plaintext_data_key


def test_another_context_does_not_open_it(kms, key):
    ring = static(kms, key)

    with pytest.raises(NoMatchingKeyError, match="wrong encryption context"):
        ring.on_decrypt(to_open(context=EncryptionContext({"purpose": "other"})), [wrapped(ring)])


def test_whole_messages_among_several_keyrings_round_trip(kms, key):
    raw = RawAesKeyring("test", "key", bytes(32))
    message = Client(MultiKeyring(raw, [static(kms, key)])).encrypt(b"plaintext", encryption_context={"a": "b"})

    assert Client(RawEcdhKeyring.discovery(PARTNER)).decrypt(message.ciphertext).plaintext == b"plaintext"
    assert Client(static(kms, key)).decrypt(message.ciphertext).plaintext == b"plaintext"


# --- what KMS is asked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["static", "discovery"])
def test_a_public_key_that_is_not_given_is_asked_for_once(scheme, kms, key):
    if scheme == "static":
        ring = KmsEcdhKeyring.static(kms, key, PARTNER.public_key())
    else:
        ring = KmsEcdhKeyring.discovery(kms, key)
    assert kms.calls == [("get_public_key", {"KeyId": key})]

    opened(ring, wrapped(RawEcdhKeyring.static(PARTNER, kms.public_key(key))))

    assert kms.called() == ["get_public_key", "derive_shared_secret"]


def test_a_public_key_that_is_given_is_not_asked_for(kms, key):
    static(kms, key)
    discovery(kms, key)

    assert kms.calls == []


def test_every_message_takes_one_call(kms, key):
    ring = static(kms, key)

    opened(ring, wrapped(ring))

    public = PARTNER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    request = {"KeyId": key, "KeyAgreementAlgorithm": "ECDH", "PublicKey": public}
    assert kms.calls == [("derive_shared_secret", request)] * 2


def test_every_data_key_takes_a_call_until_one_opens(kms, key):
    ring = static(kms, key)
    good = wrapped(ring)
    bad = good._replace(ciphertext=bytes(len(good.ciphertext)))
    kms.calls.clear()

    assert opened(ring, bad, bad, good, good) == DATA_KEY
    assert kms.called() == ["derive_shared_secret"] * 3


def test_discovery_asks_with_the_sender_s_public_key(kms, key):
    opened(discovery(kms, key), wrapped(RawEcdhKeyring.static(PARTNER, kms.public_key(key))))

    ((_, request),) = kms.calls
    assert request["PublicKey"] == PARTNER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_grant_tokens_go_with_every_call(kms, key):
    ring = KmsEcdhKeyring.static(kms, key, PARTNER.public_key(), grant_tokens=["token"])
    opened(ring, wrapped(ring))
    KmsEcdhKeyring.discovery(kms, key, grant_tokens=["token"])

    assert [parameters.get("GrantTokens") for _, parameters in kms.calls] == [["token"]] * 4


@pytest.mark.parametrize("tokens", [["t"] * 11, [""], ["t" * 8193]])
def test_grant_tokens_that_kms_would_refuse_are_refused(tokens, kms, key):
    with pytest.raises(UsageError, match="grant token"):
        KmsEcdhKeyring.discovery(kms, key, grant_tokens=tokens)


# --- what KMS answers ------------------------------------------------------------------------------------------------


ODD_SECRETS = {
    "another key": ({"KeyId": "arn:aws:kms:eu-west-1:111122223333:key/other"}, "the key 'arn:.*other' where"),
    "no key": ({"KeyId": None}, "the key None where"),
    "no secret": ({"SharedSecret": None}, "no SharedSecret"),
    "a secret that is text": ({"SharedSecret": "x" * 32}, "no SharedSecret"),
    "a short secret": ({"SharedSecret": bytes(31)}, "a secret of 31 bytes, which is not one of p256"),
    "a long secret": ({"SharedSecret": bytes(48)}, "a secret of 48 bytes"),
}


@pytest.mark.parametrize(("answer", "reason"), ODD_SECRETS.values(), ids=ODD_SECRETS)
def test_an_answer_that_is_not_one_to_the_question_is_refused(answer, reason, kms, key):
    ring = static(kms, key)
    edk = wrapped(ring)
    kms.answers["derive_shared_secret"] = answer

    with pytest.raises(KmsError, match=reason) as error:
        ring.on_encrypt(to_wrap())
    (failure,) = failures_of(ring, edk)

    assert (error.value.operation, error.value.code) == ("DeriveSharedSecret", "UnexpectedAnswer")
    assert isinstance(failure, KmsError)


def test_a_secret_of_other_bytes_does_not_open_it(kms, key):
    ring = static(kms, key)
    edk = wrapped(ring)
    kms.answers["derive_shared_secret"] = {"SharedSecret": bytes(32)}

    (failure,) = failures_of(ring, edk)

    assert isinstance(failure, AuthenticationError)


ODD_PUBLIC_KEYS = {
    "another key": ({"KeyId": "other"}, KmsError, "the key 'other' where"),
    "no public key": ({"PublicKey": None}, KmsError, "no PublicKey"),
    "for signing": ({"KeyUsage": "SIGN_VERIFY"}, UsageError, "is 'SIGN_VERIFY'; ECDH takes 'KEY_AGREEMENT'"),
    "for nothing": ({"KeyUsage": None}, UsageError, "is None; ECDH takes"),
    "of another spec": ({"PublicKey": b"?", "KeySpec": "SM2"}, UsageError, "of the spec SM2, is neither PEM nor DER"),
}


@pytest.mark.parametrize(("answer", "kind", "reason"), ODD_PUBLIC_KEYS.values(), ids=ODD_PUBLIC_KEYS)
def test_a_public_key_that_does_not_do_is_refused(answer, kind, reason, kms, key):
    kms.answers["get_public_key"] = answer

    for make in (
        lambda: KmsEcdhKeyring.static(kms, key, PARTNER.public_key()),
        lambda: KmsEcdhKeyring.discovery(kms, key),
    ):
        with pytest.raises(kind, match=reason):
            make()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDeniedException", KmsAccessError),
        ("KMSInvalidStateException", KmsAccessError),
        ("InvalidKeyUsageException", KmsError),
        ("ThrottlingException", KmsUnavailableError),
    ],
)
def test_a_refusal_means_what_it_means_everywhere(code, kind, kms, key):
    ring = static(kms, key)
    edk = wrapped(ring)
    kms.errors = {"derive_shared_secret": code, "get_public_key": code}

    with pytest.raises(kind) as wrapping:
        ring.on_encrypt(to_wrap())
    with pytest.raises(kind) as making:
        KmsEcdhKeyring.discovery(kms, key)
    (failure,) = failures_of(ring, edk)

    assert type(failure) is kind
    assert [error.value.operation for error in (wrapping, making)] == ["DeriveSharedSecret", "GetPublicKey"]
    assert wrapping.value.code == making.value.code == code


def test_what_fails_for_now_is_told_from_what_fails_for_good(kms, key):
    message = Client(static(kms, key)).encrypt(b"plaintext").ciphertext
    kms.errors["derive_shared_secret"] = "ThrottlingException"

    with pytest.raises(KmsUnavailableError, match="ThrottlingException"):
        Client(static(kms, key)).decrypt(message)


# --- damage ----------------------------------------------------------------------------------------------------------

KMS = AsymmetricKms()
KEY = new_key(KMS)
READERS = {"static": static(KMS, KEY), "discovery": discovery(KMS, KEY)}
EDK = wrapped(RawEcdhKeyring.static(PARTNER, KMS.public_key(KEY)))


@given(
    reader=st.sampled_from(sorted(READERS)),
    in_info=st.booleans(),
    place=st.integers(0, 2**16),
    change=st.integers(1, 255),
)
def test_any_altered_byte_is_noticed(reader, in_info, place, change):
    altered = bytearray(EDK.provider_info if in_info else EDK.ciphertext)
    altered[place % len(altered)] ^= change
    fields = (bytes(altered), EDK.ciphertext) if in_info else (EDK.provider_info, bytes(altered))

    failures_of(READERS[reader], EncryptedDataKey("aws-kms-ecdh", *fields))


def test_what_is_malformed_is_reported_without_asking_kms(kms, key):
    good = wrapped(RawEcdhKeyring.static(PARTNER, kms.public_key(key)))
    edks = [
        EncryptedDataKey("aws-kms-ecdh", b"\2" + good.provider_info[1:], good.ciphertext),
        EncryptedDataKey("aws-kms-ecdh", good.provider_info, good.ciphertext[:79]),
    ]

    assert [type(error) for error in failures_of(discovery(kms, key), *edks)] == [MessageError, MessageError]
    assert kms.calls == []


# --- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "alias/test",
        "arn:aws:kms:eu-west-1:111122223333:alias/test",
        "arn:aws:s3:::bucket",
        "",
    ],
)
def test_a_key_is_named_by_its_arn_and_by_nothing_else(name, kms):
    public = PARTNER.public_key()
    for make in (
        lambda: KmsEcdhKeyring.static(kms, name, public, sender_public_key=public),
        lambda: KmsEcdhKeyring.discovery(kms, name),
    ):
        with pytest.raises(UsageError):
            make()
    assert kms.calls == []


@pytest.mark.parametrize("given", [True, False], ids=["given", "fetched"])
def test_keys_of_two_curves_do_not_go_together(given, kms, key):
    recipient = ec.generate_private_key(CURVES["p384"]).public_key()

    with pytest.raises(UsageError, match="recipient's public key is on p384, not on p256"):
        KmsEcdhKeyring.static(kms, key, recipient, sender_public_key=kms.public_key(key) if given else None)


@pytest.mark.parametrize("junk", [b"", b"junk"])
def test_a_public_key_that_cannot_be_read_is_refused_and_not_replaced(junk, kms, key):
    for make in (
        lambda: KmsEcdhKeyring.static(kms, key, junk),
        lambda: KmsEcdhKeyring.static(kms, key, PARTNER.public_key(), sender_public_key=junk),
        lambda: KmsEcdhKeyring.discovery(kms, key, recipient_public_key=junk),
    ):
        with pytest.raises(UsageError, match="neither PEM nor DER of a public key"):
            make()
    assert kms.calls == []


def test_a_private_key_in_place_of_a_public_one_is_refused(kms, key):
    private = PARTNER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    with pytest.raises(UsageError, match="neither PEM nor DER of a public key"):
        KmsEcdhKeyring.static(kms, key, private)


# --- what it tells, and who may hold it ------------------------------------------------------------------------------


def test_its_repr_names_the_key_and_the_other_party(kms, key):
    point = PARTNER.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)[:8].hex()

    assert repr(static(kms, key)) == f"KmsEcdhKeyring({key!r}, static, to p256 {point}...)"
    assert repr(discovery(kms, key)) == f"KmsEcdhKeyring({key!r}, discovery)"


def test_no_text_holds_a_secret(kms, key):
    ring = static(kms, key)
    secret = PARTNER.exchange(ec.ECDH(), load_der_public_key(kms.public_key(key)))
    edks = [wrapped(ring, b"\x42" * 9), EncryptedDataKey("raw-ecdh", wrapped(ring).provider_info, bytes(112))]

    with pytest.raises(NoMatchingKeyError) as error:
        ring.on_decrypt(to_open(), edks)

    for text in (repr(ring), str(error.value), repr(error.value.failures)):
        assert secret.hex()[:16] not in text
        assert "BBBB" not in text


def test_threads_may_share_it(kms, key):
    ring = static(kms, key)

    def there_and_back(number: int) -> bool:
        data_key = number.to_bytes(32, "big")
        return opened(ring, wrapped(ring, data_key)) == data_key

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(there_and_back, range(60)))
