"""Where calls of KMS go: each with a count of what it was asked, and the processor time of its process."""

from __future__ import annotations

import http.client
import json
import re
from collections import Counter
from typing import Final, Self
from urllib.parse import urlsplit

from envelope_sdk.bench.children import Child
from envelope_sdk.bench.machine import cpu_seconds_of
from envelope_sdk.bench.result import IN_PROCESS, SERVED, Scenario
from envelope_sdk.bench.tally import Calls
from envelope_sdk.local_kms.quotas.figures import SYMMETRIC
from envelope_sdk.local_kms.server.settings import Settings

__all__ = ["KmsService", "parse_metrics"]

_REQUESTS: Final = re.compile(
    r'^envelope_kms_requests_total\{operation="([^"]*)",outcome="([^"]*)"\} (\S+)$', re.MULTILINE
)
_THROTTLED: Final = "ThrottlingException"
_SECONDS: Final = 30.0


class KmsService:
    """A KMS that scenarios of the same kind, latency and quota share. As a context manager it is closed with the block.

    In process there is none to share: each scenario has one of its own.

    Attributes:
        url: where it is; empty in process.
    """

    def __init__(self, scenario: Scenario) -> None:
        """Start what a scenario calls.

        Raises:
            ChildProcessError: it does not start.
            UsageError: there is no interpreter to start it with.
        """
        self.url = ""
        self._counts = scenario.kms == SERVED
        self._process: Child | None = None
        if scenario.kms == IN_PROCESS:
            return
        module, words = "envelope_sdk.bench.moto_process", json.dumps("begin")
        if self._counts:
            rates = {} if scenario.quota is None else {SYMMETRIC: scenario.quota}
            latency = scenario.latency_seconds
            settings = Settings(port=0, log_format="off", stop_seconds=1, quota_rates=rates, latency_seconds=latency)
            module, words = "envelope_sdk.bench.kms_process", settings.to_json()
        self._process = Child(module)
        try:
            self.url = self._process.ask(words)["url"]
        except BaseException:
            self._process.close()
            raise

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._process is not None:
            self._process.close()

    def calls(self) -> Calls | None:
        """Return what it has counted so far; ``None`` where it does not count, or is in process.

        Raises:
            ChildProcessError: it does not say.
        """
        if not self._counts:
            return None
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_SECONDS)
        try:
            connection.request("GET", "/metrics")
            return parse_metrics(connection.getresponse().read().decode())
        except (OSError, http.client.HTTPException) as error:
            raise ChildProcessError(f"the KMS does not answer: {error}") from None
        finally:
            connection.close()

    def cpu_seconds(self) -> float | None:
        """Return the processor time of its process; ``None`` in process, and where the system does not tell."""
        return None if self._process is None else cpu_seconds_of(self._process.pid)


def parse_metrics(text: str) -> Calls:
    """Return the calls that a local KMS's server tells Prometheus of."""
    by_operation, throttles = Counter[str](), Counter[str]()
    for operation, outcome, count in _REQUESTS.findall(text):
        by_operation[operation] += int(float(count))
        if outcome == _THROTTLED:
            throttles[operation] += int(float(count))
    return Calls(by_operation, throttles)
