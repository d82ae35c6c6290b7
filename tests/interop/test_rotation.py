"""Rotated messages, opened by the peer; and the peer's messages, rotated."""

from __future__ import annotations

import pytest

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, Rotation
from envelope_sdk.keyrings import RawAesKeyring

pytest.importorskip("aws_encryption_sdk")
pytestmark = pytest.mark.interop

PLAINTEXT = bytes(range(256)) * 300
OLD_KEY, NEW_KEY = bytes(range(32)), bytes(32)
OLD, NEW = RawAesKeyring("interop", "old", OLD_KEY), RawAesKeyring("interop", "new", NEW_KEY)
CONTEXT = {"purpose": "interop", "tenant": "42"}


@pytest.mark.parametrize("sign", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("suite", AlgorithmSuite, ids=lambda suite: f"0x{suite.suite_id:04x}")
def test_a_message_of_the_peer_s_is_rotated_and_the_peer_opens_it(suite, sign, peer, tmp_path):
    path = tmp_path / "message"
    keyring = peer.aes_keyring(OLD_KEY, "old")
    path.write_bytes(peer.encrypt(PLAINTEXT, suite, context=CONTEXT, keyring=keyring, frame_length=1024))
    reader = Client(OLD, commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT)

    made = Rotation(reader, Client(NEW, sign=sign)).rotate_file(path)

    assert made.frame_length == 1024
    assert peer.decrypt(path.read_bytes(), keyring=peer.aes_keyring(NEW_KEY, "new")) == PLAINTEXT
