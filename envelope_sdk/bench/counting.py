"""Who counts calls: a KMS in process, and what botocore sends and repeats."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from envelope_sdk.bench.tally import Calls
from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms

__all__ = ["CountedKms", "SentRequests"]

_THROTTLED = "ThrottlingException"


class CountedKms:
    """A local KMS in process, with a count of its answers. Safe to share between threads.

    It has the methods that keyrings and stores of branch keys call.
    """

    def __init__(self, kms: LocalKms) -> None:
        """Take the KMS."""
        self._kms = kms
        self._lock = threading.Lock()
        self._calls = Calls()

    def generate_data_key(self, **parameters: Any) -> Mapping[str, Any]:
        """Call the KMS (API_GenerateDataKey)."""
        return self._counted("GenerateDataKey", self._kms.generate_data_key, parameters)

    def generate_data_key_without_plaintext(self, **parameters: Any) -> Mapping[str, Any]:
        """Call the KMS (API_GenerateDataKeyWithoutPlaintext)."""
        method = self._kms.generate_data_key_without_plaintext
        return self._counted("GenerateDataKeyWithoutPlaintext", method, parameters)

    def encrypt(self, **parameters: Any) -> Mapping[str, Any]:
        """Call the KMS (API_Encrypt)."""
        return self._counted("Encrypt", self._kms.encrypt, parameters)

    def decrypt(self, **parameters: Any) -> Mapping[str, Any]:
        """Call the KMS (API_Decrypt)."""
        return self._counted("Decrypt", self._kms.decrypt, parameters)

    def re_encrypt(self, **parameters: Any) -> Mapping[str, Any]:
        """Call the KMS (API_ReEncrypt)."""
        return self._counted("ReEncrypt", self._kms.re_encrypt, parameters)

    def calls(self) -> Calls:
        """Return how many calls there have been so far."""
        with self._lock:
            return Calls(Counter(self._calls.by_operation), Counter(self._calls.throttles))

    def _counted(
        self, operation: str, method: Callable[..., Mapping[str, Any]], parameters: dict[str, Any]
    ) -> Mapping[str, Any]:
        throttled = False
        try:
            return method(**parameters)
        except KmsServiceError as error:
            throttled = error.code == _THROTTLED
            raise
        finally:
            with self._lock:
                self._calls.by_operation[operation] += 1
                self._calls.throttles[operation] += throttled


class SentRequests:
    """What a boto3 client sends, counted as it leaves, and what it says that it repeated. Safe to share by threads.

    botocore tells of each request just before it is sent (``before-send``), and with an answer, or an error's, how
    often the request was repeated (``RetryAttempts``). That are two counts, made apart.
    """

    def __init__(self, client: Any) -> None:
        """Begin to count what a client sends."""
        self._lock = threading.Lock()
        self._sent: Counter[str] = Counter()
        self._retries: Counter[str] = Counter()
        events = client.meta.events
        events.register_first("before-send.kms", self._sending)
        events.register("after-call.kms", self._answered)

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """Return the requests sent so far, and those of them that were repeated, by operation."""
        with self._lock:
            return Counter(self._sent), +self._retries

    def _sending(self, event_name: str, **_: object) -> None:
        with self._lock:
            self._sent[event_name.rpartition(".")[2]] += 1

    def _answered(self, event_name: str, parsed: Any, **_: object) -> None:
        with self._lock:
            self._retries[event_name.rpartition(".")[2]] += parsed["ResponseMetadata"].get("RetryAttempts", 0)
