"""The caching manager: few data keys for many messages, none beyond its limits."""

from __future__ import annotations

from envelope_sdk import Client
from envelope_sdk.keyrings import KmsKeyring
from envelope_sdk.keyrings.kms.calls import counted_calls
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import CachingMaterialsManager


def test_messages_share_a_data_key_up_to_the_limit_of_messages() -> None:
    with LocalKms.in_memory() as kms:
        keyring = KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"])
        with CachingMaterialsManager(keyring, max_age_seconds=60, max_messages=3) as manager, counted_calls() as calls:
            client = Client(materials_manager=manager)
            messages = [client.encrypt(b"text").ciphertext for _ in range(7)]
            opened = [client.decrypt(message).plaintext for message in messages]

        assert opened == [b"text"] * 7
        assert calls == {"GenerateDataKey": 3, "Decrypt": 3}
