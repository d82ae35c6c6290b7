"""The process that one scenario is measured in: a program that does as it is told on its standard input.

The first line is an :class:`Order`. After it, ``"drain"`` uses up what a quota still allows, an object with the limits
of a round plays it, and ``"end"`` has samples of what was made decrypted and compared. When the standard input ends, so
does the process, whatever it is doing: that of a parent that was killed does.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final

from envelope_sdk.bench.counting import CountedKms, SentRequests
from envelope_sdk.bench.machine import peak_bytes
from envelope_sdk.bench.messages import Work, play_round
from envelope_sdk.bench.result import DECRYPT, HIERARCHICAL, MPL_HIERARCHICAL, OWN, Scenario
from envelope_sdk.bench.subjects import Subjects
from envelope_sdk.bench.tally import Round
from envelope_sdk.formats.header import parse_header
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.quotas import Latency, RequestQuotas
from envelope_sdk.local_kms.quotas.figures import SYMMETRIC

__all__ = ["PREPARED", "Order", "main"]

PREPARED: Final = 64
"""Different messages that are decrypted in turn."""

_WARM_UP: Final = 3
_PATIENCE: Final = 10
_DRAIN_SECONDS: Final = 1.0
_DRAINING: Final = 8
_REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a process is to measure, and where.

    Attributes:
        scenario: what.
        url: of the KMS's server; empty in process.
        account: twelve digits, in which the scenario has a quota of its own.
        folder: where files may be made.
    """

    scenario: Scenario
    url: str
    account: str
    folder: str

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Order:
        """Return what :meth:`to_json` wrote."""
        named: dict[str, Any] = json.loads(text)
        named["scenario"] = Scenario(**named["scenario"])
        return cls(**named)


class _Measured:
    """One scenario, ready to be measured: a key of its own, messages, an empty cache, and whoever counts."""

    def __init__(self, order: Order, owned: ExitStack) -> None:
        self._scenario = scenario = order.scenario
        self._local: CountedKms | None = None
        self._sent: SentRequests | None = None
        client = _client(order) if order.url else self._in_process(owned)
        self._impatient: Any = client
        if order.url and scenario.quota is not None:
            self._impatient = _client(order, attempts=1)
        # Those that make the key, and the messages, are not counted.
        self._key_arn = key_arn = self._patiently(lambda: client.create_key()["KeyMetadata"]["Arn"])
        if order.url:
            self._sent = SentRequests(client)
        kms = self._local or client
        subjects = Subjects(scenario, kms, key_arn, Path(order.folder), owned)
        self._again = subjects.new()
        plaintext = os.urandom(scenario.message_bytes)
        for _ in range(_WARM_UP):
            message = self._patiently(lambda: self._again.encrypt(plaintext))
            self._check(plaintext, message)
        messages: list[bytes] = []
        if scenario.operation == DECRYPT:
            maker = subjects.new()
            messages = [self._patiently(lambda: maker.encrypt(plaintext)) for _ in range(PREPARED)]
        self._work = Work(subjects.new(), plaintext, messages)
        self._samples: list[bytes] = []
        self._most = 0

    def drain(self) -> None:
        """Use up the calls that the quota has saved while others were measured, unless it allows too many for that.

        A round would live on them otherwise, and show more calls a second than are allowed.
        """
        until = time.monotonic() + _DRAIN_SECONDS

        def call() -> None:
            with suppress(Exception):
                while time.monotonic() < until:
                    self._impatient.generate_data_key(KeyId=self._key_arn, NumberOfBytes=32)

        if self._scenario.quota is not None:
            callers = [threading.Thread(target=call, daemon=True) for _ in range(_DRAINING)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()

    def play(self, seconds: float | None, messages: int | None) -> tuple[Round, dict[str, Any]]:
        """Play a round; return what came of it, and what a KMS in process counted."""
        sent, retries = self._sent_so_far()
        calls = None if self._local is None else self._local.calls()
        says = self._work.subject.reported
        said = Counter[str]() if says is None else Counter(says())
        done, samples = play_round(self._work, threads=self._scenario.threads, seconds=seconds, messages=messages)
        self._samples += samples
        self._most = max(self._most, done.attempts)
        if self._sent is not None:
            sent_now, retries_now = self._sent_so_far()
            done.sent, done.retries = sent_now - sent, retries_now - retries
        if says is not None:
            done.reported = Counter(says()) - said
        if self._scenario.subject not in (OWN, HIERARCHICAL):
            done.reported = None
        if self._local is None or calls is None:
            return done, {}
        new = self._local.calls().since(calls)
        return done, {"by_operation": new.by_operation, "throttles": new.throttles}

    def data_keys(self) -> int | None:
        """Return how many data keys there were to the messages that were decrypted; ``None`` where none was.

        Each round decrypts them in their order. A hierarchical keyring makes one for each message, and asks KMS for the
        branch key alone.
        """
        if self._scenario.subject in (HIERARCHICAL, MPL_HIERARCHICAL):
            return None
        messages = self._work.messages[: self._most]
        return len({parse_header(each).body.encrypted_data_keys for each in messages}) if messages else None

    def check_samples(self) -> None:
        """Decrypt some of the messages that were made.

        Raises:
            ValueError: other bytes come back than went in.
        """
        for message in self._samples:
            self._check(self._work.plaintext, message)

    def _in_process(self, owned: ExitStack) -> LocalKms:
        scenario = self._scenario
        quotas = None if scenario.quota is None else RequestQuotas(rates={SYMMETRIC: scenario.quota})
        latency = Latency(scenario.latency_seconds) if scenario.latency_seconds else None
        kms = owned.enter_context(LocalKms.in_memory(quotas=quotas, latency=latency))
        self._local = CountedKms(kms)
        return kms

    def _sent_so_far(self) -> tuple[Counter[str], Counter[str]]:
        return (Counter(), Counter()) if self._sent is None else self._sent.counts()

    def _check(self, plaintext: bytes, message: bytes) -> None:
        if self._patiently(lambda: self._again.decrypt(message)) != plaintext:
            raise ValueError("a message came back as other bytes than went in")

    def _patiently(self, work: Any) -> Any:
        """Do what is not measured; try again where a quota is in the way."""
        for _ in range(_PATIENCE if self._scenario.quota is not None else 0):
            with suppress(Exception):
                return work()
            time.sleep(0.5)
        return work()


def _client(order: Order, attempts: int | None = None) -> Any:
    boto3: Any = import_module("boto3")
    from botocore.config import Config

    scenario = order.scenario
    retries: Any = {
        "mode": scenario.retry_mode or "standard",
        "total_max_attempts": attempts or scenario.max_attempts or 1,
    }
    return boto3.client(
        "kms",
        _REGION,
        endpoint_url=order.url,
        aws_access_key_id=order.account,
        aws_secret_access_key="any",  # noqa: S106 - nobody compares it
        config=Config(
            retries=retries,
            connect_timeout=scenario.timeout_seconds or 60,
            read_timeout=scenario.timeout_seconds or 60,
            max_pool_connections=max(10, scenario.threads),
            proxies={},
        ),
    )


def _listen(commands: queue.SimpleQueue[str]) -> None:
    # Not through Python's buffer, whose lock would still be held when the interpreter ends: that aborts it.
    rest = b""
    while piece := os.read(0, 65_536):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            commands.put(line.decode())
    os._exit(1)


def _own_output() -> IO[str]:
    """Return what answers go to; whatever else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def main() -> None:
    """Measure as the standard input says, and answer each of its lines with one."""
    # Peers log each failure with its trace, to standard error where nobody has said otherwise.
    logging.disable()
    answers, commands = _own_output(), queue.SimpleQueue[str]()
    threading.Thread(target=_listen, args=(commands,), daemon=True).start()

    def answer(**named: Any) -> None:
        answers.write(json.dumps(named) + "\n")
        answers.flush()

    try:
        with ExitStack() as owned:
            measured = _Measured(Order.from_json(commands.get()), owned)
            answer(ready=True)
            while (command := json.loads(commands.get())) != "end":
                if command == "drain":
                    measured.drain()
                    answer(drained=True)
                    continue
                done, calls = measured.play(**command)
                answer(round=done.to_json(), calls=calls)
            peak = peak_bytes()
            measured.check_samples()
            answer(peak_bytes=peak, data_keys=measured.data_keys())
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent says so
        answer(error=f"{type(error).__name__}: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
