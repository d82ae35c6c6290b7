"""A cache while KMS throttles: values replaced ahead of time, and loads of many keys at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from testkit.throttling import Switch, together

from envelope_sdk import Client
from envelope_sdk.cache.local import LocalCache
from envelope_sdk.cache.settings import InFlight, Refresh
from envelope_sdk.errors import KmsUnavailableError
from envelope_sdk.keyrings import KmsKeyring
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.quotas import RequestQuotas
from envelope_sdk.managers import CachingMaterialsManager


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_replacement_that_is_throttled_leaves_the_old_key_in_use_until_its_time_is_up() -> None:
    clock, throttle = Clock(), Switch()
    with LocalKms.in_memory(quotas=RequestQuotas(buckets=throttle)) as kms:
        cache = LocalCache(refresh=Refresh(grace_seconds=10, interval_seconds=2), clock=clock)
        keyring = KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"])
        with CachingMaterialsManager(keyring, max_age_seconds=100, cache=cache) as manager:
            client = Client(materials_manager=manager)
            first = client.encrypt(b"text").header.encrypted_data_keys
            throttle.on = True
            before = throttle.asked
            for age, tries in ((89, 0), (90, 1), (91.9, 1), (92, 2), (99.999, 3)):
                clock.now = 1000 + age
                for _ in range(5):
                    assert client.encrypt(b"text").header.encrypted_data_keys == first
                assert throttle.asked - before == tries
            clock.now = 1100
            with pytest.raises(KmsUnavailableError):
                client.encrypt(b"text")
            throttle.on = False
            assert client.encrypt(b"text").header.encrypted_data_keys != first


class Watched:
    """A KMS client that counts the calls under way at one time, and holds them until others had time to come."""

    def __init__(self, kms: LocalKms) -> None:
        self.most = 0
        self._kms = kms
        self._now = 0
        self._lock = threading.Lock()

    def generate_data_key(self, **parameters: Any) -> Any:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        for _ in range(200):
            os.sched_yield()
        try:
            return self._kms.generate_data_key(**parameters)
        finally:
            with self._lock:
                self._now -= 1

    encrypt: Callable[..., Any]
    decrypt: Callable[..., Any]


@pytest.mark.parametrize("loads", [1, 4])
def test_however_many_keys_are_wanted_only_so_many_calls_are_under_way(loads: int) -> None:
    throttle = Switch()
    with LocalKms.in_memory(quotas=RequestQuotas(buckets=throttle)) as kms:
        arn = kms.create_key()["KeyMetadata"]["Arn"]
        throttle.on = True
        before = throttle.asked
        watched = Watched(kms)
        cache = LocalCache(in_flight=InFlight(loads=loads))
        with CachingMaterialsManager(KmsKeyring(watched, arn), max_age_seconds=60, cache=cache) as manager:
            client = Client(materials_manager=manager)
            works = [partial(client.encrypt, b"text", encryption_context={"team": str(n)}) for n in range(64)]

            assert {type(failure) for failure in together(works)} == {KmsUnavailableError}
            assert (watched.most <= loads, throttle.asked - before) == (True, 64)
            throttle.on = False
            assert not any(isinstance(result, Exception) for result in together(works))
            assert (watched.most <= loads, throttle.asked - before) == (True, 128)
