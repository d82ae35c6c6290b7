"""Recipes: what travels to workers in the stead of keys."""

from __future__ import annotations

import dataclasses
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from envelope_sdk import AlgorithmSuite, CommitmentPolicy, Limits, bulk
from envelope_sdk.bulk.clients import MOST_KEPT, borrowed_client, forget_clients
from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings import RawAesKeyring


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    forget_clients()
    yield
    forget_clients()


def test_a_recipe_is_the_same_after_pickling(key: str) -> None:
    recipe = bulk.ClientRecipe(
        [key],
        commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT,
        algorithm_suite=AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
        limits=Limits(max_encrypted_data_keys=3),
        required_context_keys=["tenant"],
        cache=bulk.CacheLimits(60, max_messages=5),
    )

    copy = pickle.loads(pickle.dumps(recipe))

    assert copy == recipe
    assert hash(copy) == hash(recipe)


def test_no_key_is_in_it(key: str) -> None:
    assert bytes(range(32)) not in pickle.dumps(bulk.ClientRecipe([key]))


@pytest.mark.parametrize(
    "key",
    [
        "local-kms://alias/a?store=postgresql://me:hunter2@host/db",
        "local-kms://alias/a?store=postgres%3A%2F%2Fhost%2Fdb%3Fpassword%3Dhunter2&max-wait=1",
        "aws-kms://alias/a?endpoint-url=https://me:hunter2@host&region=us-east-1",
        "hierarchical://b?kms-key=local-kms://alias/a%3Fstore%3Dpostgresql://me:hunter2@host/db&ttl=5",
    ],
)
def test_passwords_in_urls_are_not_shown(key: str) -> None:
    """What a journal holds is made of its words."""
    recipe = bulk.ClientRecipe([key])

    assert "hunter2" not in f"{recipe.words()} {recipe!r}"
    assert recipe.words() != bulk.ClientRecipe([key.replace("alias/a", "alias/c").replace("//b?", "//c?")]).words()


@pytest.mark.parametrize("key", ["keys/me@home.key", "aws-kms://alias/a@b?region=us-east-1"])
def test_other_uris_are_shown_as_they_are(key: str) -> None:
    assert bulk.ClientRecipe([key]).words()["keys"] == [key]


@pytest.mark.parametrize("keys", ["a.key", [RawAesKeyring("test", "key-1", bytes(32))], [b"a.key"]])
def test_keyrings_and_bytes_are_refused(keys: Any) -> None:
    with pytest.raises(TypeError, match=r"URI|collection"):
        bulk.ClientRecipe(keys)


def test_a_uri_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(UsageError):
        bulk.ClientRecipe(["arn:aws:kms:eu-west-1:111122223333:key/1"])


def test_a_recipe_without_keys_makes_no_client() -> None:
    with pytest.raises(UsageError, match="needs a key"):
        bulk.ClientRecipe([]).open()


def test_its_client_is_as_it_says(key: str) -> None:
    recipe = bulk.ClientRecipe([key], sign=True, frame_length=77, required_context_keys=["tenant"])

    message = recipe.open().client.encrypt(b"x" * 100, encryption_context={"tenant": "a"})

    assert message.header.algorithm_suite.signed
    assert message.header.frame_length == 77
    assert b"tenant" not in message.ciphertext[:60]
    assert recipe.open().client.decrypt(message.ciphertext, encryption_context={"tenant": "a"}).plaintext == b"x" * 100


def test_a_worker_makes_one_client_of_a_recipe(key: str) -> None:
    found = []
    ready = threading.Barrier(4)

    def ask() -> None:
        ready.wait(10)
        with borrowed_client(bulk.ClientRecipe([key])) as opened:
            found.append(opened)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(map(id, found))) == 1


def test_a_client_too_many_is_closed_when_nobody_uses_it(key: str) -> None:
    closed = []
    recipe = bulk.ClientRecipe([key], cache=bulk.CacheLimits(60))
    with borrowed_client(recipe) as first:
        for number in range(MOST_KEPT):
            with borrowed_client(dataclasses.replace(recipe, frame_length=100 + number)):
                pass
        # Its cache still serves.
        closed.append(first.client.encrypt(b"x").header.frame_length)
    with borrowed_client(recipe) as again:
        assert again is not first

    assert closed == [65536]
    with pytest.raises(Exception, match="closed"):
        first.client.encrypt(b"x")


def test_settings_that_change_nothing_of_messages_are_not_in_its_words(key: str) -> None:
    one = bulk.ClientRecipe([key], threads=1)

    assert one.words() == dataclasses.replace(one, threads=8, cache=bulk.CacheLimits(60)).words()
    assert one.words() != dataclasses.replace(one, frame_length=1).words()
