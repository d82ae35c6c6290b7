"""Sign and Verify: with every kind of key, checked by ``cryptography`` outside."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit.kms_kinds import available

from envelope_sdk.local_kms import LocalKms

_HASHES: dict[str, HashAlgorithm] = {"SHA_256": SHA256(), "SHA_384": SHA384(), "SHA_512": SHA512()}
_RSA = [f"RSASSA_{scheme}_{digest}" for scheme in ("PSS", "PKCS1_V1_5") for digest in _HASHES]
_ECDSA = [
    ("ECC_NIST_P256", "ECDSA_SHA_256"),
    ("ECC_NIST_P384", "ECDSA_SHA_384"),
    ("ECC_NIST_P521", "ECDSA_SHA_512"),
    ("ECC_SECG_P256K1", "ECDSA_SHA_256"),
]
_HASHING = [("RSA_2048", algorithm) for algorithm in _RSA] + _ECDSA
_ED25519 = ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512")
_ML_DSA = [
    pytest.param(spec, "ML_DSA_SHAKE_256", marks=pytest.mark.skipif(not available(spec), reason=f"no {spec} here"))
    for spec in ("ML_DSA_44", "ML_DSA_65", "ML_DSA_87")
]
_each = pytest.mark.parametrize(("spec", "algorithm"), [*_HASHING, _ED25519, *_ML_DSA])
_each_hashing = pytest.mark.parametrize(("spec", "algorithm"), _HASHING)
_each_ml_dsa = pytest.mark.parametrize(("spec", "algorithm"), _ML_DSA)
_MESSAGE = b"what is signed"


class Signer:
    """A KMS with one signing key of each spec, made when first asked for: RSA keys take a while."""

    def __init__(self, kms: LocalKms) -> None:
        self.kms = kms
        self._keys: dict[str, str] = {}

    def key(self, spec: str) -> str:
        if spec not in self._keys:
            made = self.kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
            self._keys[spec] = made["KeyMetadata"]["Arn"]
        return self._keys[spec]

    def public(self, spec: str) -> Any:
        return load_der_public_key(self.kms.get_public_key(KeyId=self.key(spec))["PublicKey"])

    def sign(self, spec: str, algorithm: str, message: bytes = _MESSAGE, kind: str | None = None) -> bytes:
        answer = self.kms.sign(KeyId=self.key(spec), Message=message, SigningAlgorithm=algorithm, MessageType=kind)
        signature: bytes = answer["Signature"]
        return signature

    def verify(
        self, spec: str, algorithm: str, signature: bytes, message: bytes = _MESSAGE, kind: str | None = None
    ) -> dict[str, Any]:
        return self.kms.verify(
            KeyId=self.key(spec),
            Message=message,
            Signature=signature,
            SigningAlgorithm=algorithm,
            MessageType=kind,
        )


@pytest.fixture(scope="module")
def signer() -> Generator[Signer]:
    with LocalKms.in_memory() as kms:
        yield Signer(kms)


def _digest(algorithm: str, message: bytes = _MESSAGE) -> bytes:
    return hashlib.new(algorithm[-7:].replace("_", "").lower(), message).digest()


def _verify_outside(public: Any, algorithm: str, signature: bytes, message: bytes = _MESSAGE) -> None:
    """Verify as the standards have it: PSS with a salt as long as the digest."""
    if isinstance(public, rsa.RSAPublicKey):
        digest = _HASHES[algorithm[-7:]]
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        public.verify(signature, message, pss if "PSS" in algorithm else padding.PKCS1v15(), digest)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, message, ec.ECDSA(_HASHES[algorithm[-7:]]))
    else:
        public.verify(signature, message)


# --- signatures that hold --------------------------------------------------------------------------------------------


@_each
def test_a_signature_holds_here_and_outside(signer: Signer, spec: str, algorithm: str) -> None:
    signature = signer.sign(spec, algorithm)
    answer = signer.verify(spec, algorithm, signature)
    _verify_outside(signer.public(spec), algorithm, signature)
    del answer["ResponseMetadata"]

    assert answer == {"KeyId": signer.key(spec), "SignatureValid": True, "SigningAlgorithm": algorithm}


def test_sign_answers_key_signature_and_algorithm(signer: Signer) -> None:
    answer = signer.kms.sign(KeyId=signer.key("ECC_NIST_P256"), Message=b"x", SigningAlgorithm="ECDSA_SHA_256")
    del answer["Signature"], answer["ResponseMetadata"]
    assert answer == {"KeyId": signer.key("ECC_NIST_P256"), "SigningAlgorithm": "ECDSA_SHA_256"}


@_each_hashing
def test_a_digest_is_signed_as_it_is_and_not_hashed_again(signer: Signer, spec: str, algorithm: str) -> None:
    digest = _digest(algorithm)
    signature = signer.sign(spec, algorithm, digest, "DIGEST")
    _verify_outside(signer.public(spec), algorithm, signature)

    assert signer.verify(spec, algorithm, signature)["SignatureValid"]
    assert signer.verify(spec, algorithm, signer.sign(spec, algorithm), digest, "DIGEST")["SignatureValid"]


@pytest.mark.parametrize("digest", _HASHES)
def test_the_salt_of_pss_is_as_long_as_the_digest_and_no_other_is_taken(
    kms: LocalKms, secret_of: Callable[[str], bytes], refused: Any, digest: str
) -> None:
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    private = load_der_private_key(secret_of(key), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    given = {"KeyId": key, "Message": _MESSAGE, "SigningAlgorithm": f"RSASSA_PSS_{digest}"}
    algorithm = _HASHES[digest]

    def signed(salt_length: int) -> bytes:
        return private.sign(_MESSAGE, padding.PSS(padding.MGF1(algorithm), salt_length), algorithm)

    assert kms.verify(**given, Signature=signed(algorithm.digest_size))["SignatureValid"]
    longest = 256 - algorithm.digest_size - 2
    for salt_length in (0, algorithm.digest_size - 1, longest):
        with refused("KMSInvalidSignatureException", ""):
            kms.verify(**given, Signature=signed(salt_length))


def test_an_ed25519_signature_is_the_one_that_the_standard_gives(
    kms: LocalKms, secret_of: Callable[[str], bytes]
) -> None:
    key = kms.create_key(KeySpec=_ED25519[0], KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    private = load_der_private_key(secret_of(key), None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)

    answer = kms.sign(KeyId=key, Message=_MESSAGE, SigningAlgorithm=_ED25519[1], MessageType="RAW")
    assert answer["Signature"] == private.sign(_MESSAGE)


@_each_ml_dsa
def test_the_representative_of_a_message_is_signed_in_its_place(signer: Signer, spec: str, algorithm: str) -> None:
    # FIPS 204, algorithm 7 line 6 and algorithm 2: mu is SHAKE256 of the public key's hash and the message, behind two
    # bytes for the pure form and an empty context.
    public = signer.public(spec)
    public_hash = hashlib.shake_256(public.public_bytes_raw()).digest(64)
    representative = hashlib.shake_256(public_hash + b"\0\0" + _MESSAGE).digest(64)
    signature = signer.sign(spec, algorithm, representative, "EXTERNAL_MU")
    _verify_outside(public, algorithm, signature)

    assert signer.verify(spec, algorithm, signature)["SignatureValid"]
    assert signer.verify(spec, algorithm, signature, representative, "EXTERNAL_MU")["SignatureValid"]


@settings(max_examples=30)
@given(message=st.binary(min_size=1, max_size=4096), key=st.sampled_from([_ECDSA[0], _ECDSA[3], _ED25519]))
def test_a_signature_of_any_message_holds(signer: Signer, message: bytes, key: tuple[str, str]) -> None:
    signature = signer.sign(*key, message)
    _verify_outside(signer.public(key[0]), key[1], signature, message)

    assert signer.verify(*key, signature, message)["SignatureValid"]


@pytest.mark.parametrize("length", [1, 4096])
def test_the_shortest_and_the_longest_message_are_signed(signer: Signer, length: int) -> None:
    signature = signer.sign("ECC_NIST_P256", "ECDSA_SHA_256", bytes(length))
    assert signer.verify("ECC_NIST_P256", "ECDSA_SHA_256", signature, bytes(length))["SignatureValid"]


# --- signatures that do not ------------------------------------------------------------------------------------------


@_each
def test_a_signature_of_something_else_is_an_error_and_no_answer(
    signer: Signer, refused: Any, spec: str, algorithm: str
) -> None:
    signature = signer.sign(spec, algorithm)
    with refused("KMSInvalidSignatureException", ""):
        signer.verify(spec, algorithm, signature, b"something else")


@_each
def test_what_is_no_signature_is_the_same_error(signer: Signer, refused: Any, spec: str, algorithm: str) -> None:
    signature = signer.sign(spec, algorithm)
    for wrong in (b"x", signature[:-1], signature + b"\0", bytes(len(signature)), bytes(6144)):
        with refused("KMSInvalidSignatureException", ""):
            signer.verify(spec, algorithm, wrong)


@settings(max_examples=50)
@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_signature_with_any_bit_changed_does_not_hold(signer: Signer, refused: Any, place: int, bit: int) -> None:
    altered = bytearray(signer.sign(*_ED25519))
    altered[place % len(altered)] ^= 1 << bit
    with refused("KMSInvalidSignatureException", ""):
        signer.verify(*_ED25519, bytes(altered))


def test_another_keys_signature_does_not_hold(signer: Signer, refused: Any) -> None:
    other = signer.kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    signature = signer.kms.sign(KeyId=other, Message=_MESSAGE, SigningAlgorithm="ECDSA_SHA_256")["Signature"]
    with refused("KMSInvalidSignatureException", ""):
        signer.verify("ECC_NIST_P256", "ECDSA_SHA_256", signature)
    with pytest.raises(InvalidSignature):
        _verify_outside(signer.public("ECC_NIST_P256"), "ECDSA_SHA_256", signature)


def test_a_signature_of_another_scheme_does_not_hold(signer: Signer, refused: Any) -> None:
    signature = signer.sign("RSA_2048", "RSASSA_PSS_SHA_256")
    for algorithm in _RSA:
        if algorithm != "RSASSA_PSS_SHA_256":
            with refused("KMSInvalidSignatureException", ""):
                signer.verify("RSA_2048", algorithm, signature)


# --- what is refused -------------------------------------------------------------------------------------------------


@_each_hashing
def test_a_digest_of_another_length_is_refused(signer: Signer, refused: Any, spec: str, algorithm: str) -> None:
    right = len(_digest(algorithm))
    for length in {1, 20, 32, 48, 64, right - 1, right + 1} - {right}:
        with refused("ValidationException", f"Digest is invalid length for algorithm {algorithm}."):
            signer.sign(spec, algorithm, bytes(length), "DIGEST")
        with refused("ValidationException", f"Digest is invalid length for algorithm {algorithm}."):
            signer.verify(spec, algorithm, b"signature", bytes(length), "DIGEST")


@_each_ml_dsa
def test_a_representative_of_another_length_is_refused(signer: Signer, refused: Any, spec: str, algorithm: str) -> None:
    with refused("ValidationException", "Digest is invalid length for algorithm ML_DSA_SHAKE_256."):
        signer.sign(spec, algorithm, bytes(63), "EXTERNAL_MU")


_WRONG_TYPES = [
    ("ECC_NIST_P256", "ECDSA_SHA_256", "EXTERNAL_MU"),
    ("RSA_2048", "RSASSA_PSS_SHA_512", "EXTERNAL_MU"),
    (*_ED25519, "DIGEST"),
    (*_ED25519, "EXTERNAL_MU"),
    ("ECC_NIST_EDWARDS25519", "ED25519_PH_SHA_512", "RAW"),
    *(pytest.param(*parameter.values, "DIGEST", marks=parameter.marks) for parameter in _ML_DSA),
]


@pytest.mark.parametrize(("spec", "algorithm", "kind"), _WRONG_TYPES)
def test_a_type_of_message_that_the_algorithm_does_not_have_is_refused(
    signer: Signer, refused: Any, spec: str, algorithm: str, kind: str
) -> None:
    culprit = f"key spec {spec}" if spec.startswith("ML_DSA") else f"algorithm {algorithm}"
    with refused("ValidationException", f"Message type {kind} is incompatible with {culprit}."):
        signer.sign(spec, algorithm, bytes(64), kind)


def test_prehashed_ed25519_is_refused_as_not_supported(signer: Signer, refused: Any) -> None:
    with refused("UnsupportedOperationException"):
        signer.sign("ECC_NIST_EDWARDS25519", "ED25519_PH_SHA_512", bytes(64), "DIGEST")


_WRONG_ALGORITHMS = [
    ("ECC_NIST_P256", "ECDSA_SHA_384"),
    ("ECC_NIST_P256", "RSASSA_PSS_SHA_256"),
    ("ECC_NIST_P521", "ECDSA_SHA_256"),
    ("ECC_SECG_P256K1", "ECDSA_SHA_512"),
    ("ECC_NIST_EDWARDS25519", "ECDSA_SHA_256"),
    ("RSA_2048", "ECDSA_SHA_256"),
    ("RSA_2048", "SM2DSA"),
    ("RSA_2048", "ML_DSA_SHAKE_256"),
]


@pytest.mark.parametrize(("spec", "algorithm"), _WRONG_ALGORITHMS)
def test_an_algorithm_that_the_key_does_not_have_is_refused(
    signer: Signer, refused: Any, spec: str, algorithm: str
) -> None:
    text = f"Algorithm {algorithm} is incompatible with key spec {spec}."
    with refused("InvalidKeyUsageException", text):
        signer.sign(spec, algorithm)
    with refused("InvalidKeyUsageException", text):
        signer.verify(spec, algorithm, b"signature")


_OTHER_KEYS = [
    ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "RSASSA_PSS_SHA_256"),
    ("RSA_2048", "ENCRYPT_DECRYPT", "RSASSA_PSS_SHA_256"),
    ("ECC_NIST_P256", "KEY_AGREEMENT", "ECDSA_SHA_256"),
    ("HMAC_256", "GENERATE_VERIFY_MAC", "ECDSA_SHA_256"),
]


@pytest.mark.parametrize(("spec", "usage", "algorithm"), _OTHER_KEYS)
def test_a_key_for_something_else_does_not_sign(
    kms: LocalKms, refused: Any, spec: str, usage: str, algorithm: str
) -> None:
    arn = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]
    with refused("InvalidKeyUsageException", f"{arn} key usage is {usage} which is not valid for Sign."):
        kms.sign(KeyId=arn, Message=b"x", SigningAlgorithm=algorithm)
    with refused("InvalidKeyUsageException", f"{arn} key usage is {usage} which is not valid for Verify."):
        kms.verify(KeyId=arn, Message=b"x", Signature=b"x", SigningAlgorithm=algorithm)


def test_no_message_and_one_too_long_are_refused_and_not_repeated(signer: Signer, refused: Any) -> None:
    start = "1 validation error detected: Value at 'message' failed to satisfy constraint: Member must have length"
    with refused("ValidationException", f"{start} greater than or equal to 1"):
        signer.sign("ECC_NIST_P256", "ECDSA_SHA_256", b"")
    with refused("ValidationException", f"{start} less than or equal to 4096"):
        signer.sign("ECC_NIST_P256", "ECDSA_SHA_256", bytes(4097))


def test_an_unknown_algorithm_or_type_is_refused_with_those_there_are(signer: Signer, refused: Any) -> None:
    with refused("ValidationException"):
        signer.sign("ECC_NIST_P256", "ECDSA_SHA_1")
    with refused("ValidationException"):
        signer.sign("ECC_NIST_P256", "ECDSA_SHA_256", kind="raw")


def test_a_dry_run_signs_nothing(signer: Signer, refused: Any) -> None:
    signature = signer.sign("ECC_NIST_P256", "ECDSA_SHA_256")
    given = {"KeyId": signer.key("ECC_NIST_P256"), "Message": _MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}
    for dry_run in (
        lambda: signer.kms.sign(**given, DryRun=True),
        lambda: signer.kms.verify(**given, Signature=signature, DryRun=True),
    ):
        with refused("DryRunOperationException"):
            dry_run()


def test_a_dry_run_of_what_would_fail_fails_as_that(signer: Signer, refused: Any) -> None:
    given = {"KeyId": signer.key("ECC_NIST_P256"), "SigningAlgorithm": "ECDSA_SHA_256", "DryRun": True}
    with refused("ValidationException"):
        signer.kms.sign(**given, Message=bytes(31), MessageType="DIGEST")
    with refused("KMSInvalidSignatureException"):
        signer.kms.verify(**given, Message=_MESSAGE, Signature=b"x")


def test_a_key_signs_under_its_alias_and_with_grant_tokens(signer: Signer) -> None:
    key_id = signer.key("ECC_NIST_P256").rpartition("/")[2]
    signer.kms.create_alias(AliasName="alias/signer", TargetKeyId=key_id)
    grant = {"KeyId": key_id, "GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Sign"]}
    token = signer.kms.create_grant(**grant)["GrantToken"]
    answer = signer.kms.sign(KeyId="alias/signer", Message=b"x", SigningAlgorithm="ECDSA_SHA_256", GrantTokens=[token])
    assert answer["KeyId"] == signer.key("ECC_NIST_P256")
