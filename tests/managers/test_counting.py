"""The manager that counts without a cache."""

from __future__ import annotations

import pytest

from envelope_sdk import Client
from envelope_sdk.errors import KmsAccessError, NoMatchingKeyError
from envelope_sdk.keyrings import KmsKeyring
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import RequiredContextMaterialsManager
from envelope_sdk.managers.counting import CountingMaterialsManager
from envelope_sdk.managers.usage import MaterialsEvent, ScopeUsage


def test_every_message_has_made_its_own_calls_and_saved_none() -> None:
    kms = LocalKms.in_memory()
    manager = CountingMaterialsManager(KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"]))
    client = Client(materials_manager=manager)
    messages = [client.encrypt(b"text").ciphertext for _ in range(3)]
    client.decrypt(messages[0])

    usage = manager.usage()
    assert (usage.encrypt, usage.decrypt) == (ScopeUsage(bypassed=3), ScopeUsage(bypassed=1))
    assert (usage.kms_calls, usage.kms_calls_saved) == ({"Decrypt": 1, "GenerateDataKey": 3}, {})
    assert usage.cache is None


def test_messages_that_fail_count_with_their_calls() -> None:
    kms = LocalKms.in_memory()
    key = kms.create_key()["KeyMetadata"]["Arn"]
    events: list[MaterialsEvent] = []
    manager = CountingMaterialsManager(KmsKeyring(kms, key), on_event=events.append)
    client = Client(materials_manager=manager)
    message = client.encrypt(b"text").ciphertext
    kms.disable_key(KeyId=key)
    with pytest.raises(KmsAccessError):
        client.encrypt(b"text")
    with pytest.raises(NoMatchingKeyError):
        client.decrypt(message)

    usage = manager.usage()
    assert (usage.encrypt, usage.decrypt) == (ScopeUsage(bypassed=1, failed=1), ScopeUsage(failed=1))
    assert usage.kms_calls == {"Decrypt": 1, "GenerateDataKey": 2}
    assert [(event.scope, event.kind.value) for event in events] == [
        ("encrypt", "bypassed"),
        ("encrypt", "failed"),
        ("decrypt", "failed"),
    ]


def test_it_goes_over_other_managers() -> None:
    kms = LocalKms.in_memory()
    keyring = KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"])
    manager = CountingMaterialsManager(RequiredContextMaterialsManager(keyring, ["tenant"]))
    message = Client(materials_manager=manager).encrypt(b"text", encryption_context={"tenant": "acme"})

    assert b"acme" not in message.ciphertext
    assert repr(manager).startswith("CountingMaterialsManager(RequiredContextMaterialsManager(")
    assert manager.usage().encrypt.messages == 1
