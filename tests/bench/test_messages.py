"""Rounds: how many messages, by how many threads, and what is counted of them."""

from __future__ import annotations

import itertools
import threading
from collections import Counter

import pytest
from botocore.exceptions import ClientError

from envelope_sdk.bench.counting import CountedKms
from envelope_sdk.bench.messages import WRONG_PLAINTEXT, Work, error_name, play_round
from envelope_sdk.bench.subjects import Subject
from envelope_sdk.client import Client
from envelope_sdk.errors import KmsUnavailableError, UsageError
from envelope_sdk.keyrings.kms.symmetric import KmsKeyring
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.quotas import RequestQuotas
from envelope_sdk.local_kms.quotas.figures import SYMMETRIC


def upside_down(data: bytes) -> bytes:
    return data[::-1]


BOTH = Subject(upside_down, upside_down)


@pytest.mark.parametrize("threads", [1, 3, 8])
@pytest.mark.parametrize("messages", [1, 2, 50])
def test_as_many_messages_as_are_wanted(threads: int, messages: int) -> None:
    done, samples = play_round(Work(BOTH, b"abc"), threads=threads, seconds=None, messages=messages)

    assert (done.attempts, len(done.latencies), done.failures) == (messages, messages, Counter())
    assert set(samples) == {b"cba"}
    assert done.ended >= done.began


def test_threads_work_at_once() -> None:
    together = threading.Barrier(4)

    def encrypt(plaintext: bytes) -> bytes:
        together.wait(60)
        return plaintext

    done, _ = play_round(Work(Subject(encrypt, encrypt), b"a"), threads=4, seconds=None, messages=4)

    assert done.failures == Counter()


def test_no_message_begins_when_the_time_is_over() -> None:
    ticks = itertools.count()

    done, _ = play_round(
        # Each message takes one tick of the clock, and so does what is between two.
        Work(BOTH, b"a"),
        threads=1,
        seconds=10.0,
        messages=None,
        clock=lambda: float(next(ticks)),
    )

    assert (done.attempts, done.began, done.ended) == (5, 0.0, 10.0)
    assert list(done.latencies) == [1.0] * 5


def test_failures_are_attempts_and_have_a_name() -> None:
    number = itertools.count()

    def encrypt(plaintext: bytes) -> bytes:
        if next(number) % 3 == 0:
            raise UsageError("no")
        return plaintext

    done, _ = play_round(Work(Subject(encrypt, encrypt), b"a"), threads=2, seconds=None, messages=9)

    assert (done.attempts, len(done.latencies), done.failures) == (9, 6, Counter(UsageError=3))


def test_messages_that_are_decrypted_come_in_turn_and_are_compared() -> None:
    seen: list[bytes] = []

    def decrypt(message: bytes) -> bytes:
        seen.append(message)
        return message[:1]

    work = Work(Subject(decrypt, decrypt), b"a", [b"a1", b"b2", b"a3"])
    done, samples = play_round(work, threads=1, seconds=None, messages=5)

    assert seen == [b"a1", b"b2", b"a3", b"a1", b"b2"]
    assert (len(done.latencies), done.failures) == (3, Counter({WRONG_PLAINTEXT: 2}))
    assert samples == []


def test_calls_are_reported_as_the_kms_counts_them() -> None:
    quotas = RequestQuotas(rates={SYMMETRIC: 20})
    with LocalKms.in_memory(quotas=quotas) as kms:
        counted = CountedKms(kms)
        client = Client(KmsKeyring(counted, kms.create_key()["KeyMetadata"]["Arn"]))
        work = Work(Subject(lambda plaintext: client.encrypt(plaintext).ciphertext, bytes), b"a")

        done, _ = play_round(work, threads=4, seconds=None, messages=200)

        calls = counted.calls()
    failed = sum(done.failures.values())
    assert done.reported == calls.by_operation == Counter(GenerateDataKey=200)
    assert calls.throttles == Counter(GenerateDataKey=failed)
    assert failed >= 1
    assert set(done.failures) == {"KmsUnavailableError (ThrottlingException)"}
    assert len(done.latencies) + failed == 200


NAMED = {
    "this package's": (UsageError("no"), "UsageError"),
    "a service's": (
        KmsUnavailableError("no", operation="Decrypt", code="ThrottlingException"),
        "KmsUnavailableError (ThrottlingException)",
    ),
    "botocore's": (
        ClientError({"Error": {"Code": "ThrottlingException"}}, "Decrypt"),
        "ClientError (ThrottlingException)",
    ),
    "another's": (KeyError("x"), "KeyError"),
}


@pytest.mark.parametrize(("error", "name"), NAMED.values(), ids=NAMED)
def test_the_names_of_failures(error: Exception, name: str) -> None:
    assert error_name(error) == name
