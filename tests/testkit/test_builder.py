"""The two writers of the format, the library and the testkit, agree byte for byte."""

from __future__ import annotations

from dataclasses import replace

import pytest
from testkit.builder import SIGNED, SUITES, UNSIGNED, Message, Signer, sample_bytes, suite_name
from testkit.entry_points import one_call, reader_of
from testkit.keyrings import StaticDataKeyring
from testkit.machines import client_for

from envelope_sdk import AlgorithmSuite
from envelope_sdk.primitives.digest import MessageDigest
from envelope_sdk.primitives.signing import VerificationKey

LENGTHS = (0, 1, 15, 16, 17, 32, 40)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("suite", UNSIGNED, ids=suite_name)
def test_unsigned_messages_are_the_same_bytes(suite: AlgorithmSuite, length: int):
    plaintext = sample_bytes(length)
    client = client_for(suite, frame_length=16)

    assert (
        Message(suite).whole(plaintext) == client.encrypt(plaintext, encryption_context={"purpose": "test"}).ciphertext
    )


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_signed_messages_are_the_same_bytes_but_for_what_depends_on_the_signing_key(suite: AlgorithmSuite, length: int):
    plaintext = sample_bytes(length)
    result = client_for(suite, frame_length=16).encrypt(plaintext, encryption_context={"purpose": "test"})
    order = Message(suite)
    own = replace(order, public_key=result.header.encryption_context["aws-crypto-public-key"])

    covered = own.header() + own.body(plaintext)

    assert result.ciphertext[: len(covered)] == covered
    assert len(result.ciphertext) == len(order.whole(plaintext))


@pytest.mark.parametrize("suite", SUITES, ids=suite_name)
def test_what_the_builder_writes_is_read(suite: AlgorithmSuite):
    outcome = one_call(reader_of(StaticDataKeyring(Message(suite).data_key)), Message(suite).whole(sample_bytes(100)))

    assert (outcome.released, outcome.error) == (sample_bytes(100), None)


@pytest.mark.parametrize("suite", SIGNED, ids=suite_name)
def test_the_builders_signatures_are_ecdsa(suite: AlgorithmSuite):
    assert suite.signature is not None
    signer = Signer(suite.signature)
    digest = MessageDigest(suite.signature)
    digest.update(b"data")

    VerificationKey(suite.signature, signer.public_key).verify(signer.sign(b"data"), digest.finalize())
