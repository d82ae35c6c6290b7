"""The other side's KMS RSA and KMS ECDH keyrings over the local KMS, in the place of AWS's."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from testkit.boto3_shaped import Boto3Shaped

from envelope_sdk import AlgorithmSuite, Client
from envelope_sdk.keyrings import KmsEcdhKeyring, KmsRsaKeyring
from envelope_sdk.local_kms import LocalKms

pytest.importorskip("aws_encryption_sdk")
pytestmark = pytest.mark.interop

PLAINTEXT = b"the same to both"
UNSIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
CONTEXT = {"purpose": "interop", "größe": "ñandú 😀"}


@pytest.fixture(scope="module")
def kms():
    with LocalKms.in_memory(region="eu-west-1") as opened:
        yield opened


def new_key(kms, spec, usage):
    return kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"])
def test_rsa_goes_both_ways(algorithm, peer, kms):
    key = new_key(kms, "RSA_2048", "ENCRYPT_DECRYPT")
    public = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    theirs = peer.mpl.create_aws_kms_rsa_keyring(
        peer.models.CreateAwsKmsRsaKeyringInput(
            kms_key_id=key,
            encryption_algorithm=algorithm,
            public_key=public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            kms_client=Boto3Shaped(kms),
        )
    )
    ours = Client(KmsRsaKeyring(kms, key, algorithm, public_key=public), algorithm_suite=UNSIGNED)

    assert peer.decrypt(ours.encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext, keyring=theirs) == PLAINTEXT
    assert ours.decrypt(peer.encrypt(PLAINTEXT, UNSIGNED, context=CONTEXT, keyring=theirs)).plaintext == PLAINTEXT


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"])
def test_ecdh_goes_both_ways(spec, peer, kms):
    mine, other = new_key(kms, spec, "KEY_AGREEMENT"), new_key(kms, spec, "KEY_AGREEMENT")
    public = {key: kms.get_public_key(KeyId=key)["PublicKey"] for key in (mine, other)}
    models = peer.models
    theirs = peer.mpl.create_aws_kms_ecdh_keyring(
        models.CreateAwsKmsEcdhKeyringInput(
            key_agreement_scheme=models.KmsEcdhStaticConfigurationsKmsPrivateKeyToStaticPublicKey(
                models.KmsPrivateKeyToStaticPublicKeyInput(
                    sender_kms_identifier=other, recipient_public_key=public[mine], sender_public_key=public[other]
                )
            ),
            curve_spec=spec,
            kms_client=Boto3Shaped(kms),
        )
    )
    ours = Client(KmsEcdhKeyring.static(kms, mine, public[other]), algorithm_suite=UNSIGNED)

    assert peer.decrypt(ours.encrypt(PLAINTEXT, encryption_context=CONTEXT).ciphertext, keyring=theirs) == PLAINTEXT
    assert ours.decrypt(peer.encrypt(PLAINTEXT, UNSIGNED, context=CONTEXT, keyring=theirs)).plaintext == PLAINTEXT
