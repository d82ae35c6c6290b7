"""The pacer: how many calls it lets through, in which order, and what becomes of those it does not."""

from __future__ import annotations

import copy
import itertools
import math
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.asymmetric_kms import AsymmetricKms
from testkit.interrupts import handled_at
from testkit.kms_regions import World
from testkit.processes import in_child
from testkit.simulated import Interrupted, Simulation

from envelope_sdk import Client
from envelope_sdk.errors import KmsPacingError, KmsUnavailableError, UsageError
from envelope_sdk.keyrings import (
    Boto3ClientSupplier,
    KmsDiscoveryKeyring,
    KmsKeyring,
    MultiKeyring,
    PacedClientSupplier,
    Pacer,
    RawAesKeyring,
    kms_discovery_multi_keyring,
)
from envelope_sdk.keyrings.kms import pacing
from envelope_sdk.keyrings.kms.any_region import KmsAnyRegionDiscoveryKeyring
from envelope_sdk.keyrings.kms.calls import counted_calls
from envelope_sdk.local_kms import LocalKms

SECOND = 1_000_000_000


@pytest.fixture
def time() -> Simulation:
    return Simulation()


def paced(time: Simulation, rate: float, burst: int = 1, wait: float = math.inf) -> Pacer:
    return Pacer(rate, burst=burst, max_wait_seconds=wait, clock=time.clock, wait=time.wait)


class Passed:
    """Takes turns, and remembers who was let through and when."""

    def __init__(self, time: Simulation, pacer: Pacer) -> None:
        self.order: list[str] = []
        self.at: list[int] = []
        self._time = time
        self._pacer = pacer

    def __call__(self, name: str = "") -> Callable[[], None]:
        def go() -> None:
            self._pacer.take_turn(name or "Decrypt")
            self.order.append(name)
            self.at.append(self._time.now)

        return go

    @property
    def seconds(self) -> list[float]:
        return [at / SECOND for at in self.at]


# --- how many ---------------------------------------------------------------------------------------------------------


def test_a_burst_goes_at_once_and_the_others_at_the_rate(time: Simulation) -> None:
    passed = Passed(time, paced(time, 10, burst=3))
    for _ in range(6):
        time.at(0, passed())
    time.run()

    assert passed.seconds == [0, 0, 0, 0.1, 0.2, 0.3]


def test_after_a_pause_there_is_a_burst_again_and_no_more(time: Simulation) -> None:
    passed = Passed(time, paced(time, 10, burst=2))
    for start in (0, 0, 60, 60, 60):
        time.at(start, passed())
    time.run()

    assert passed.seconds == [0, 0, 60, 60, 60.1]


def test_unless_told_otherwise_a_burst_is_a_tenth_of_a_second_s_calls() -> None:
    assert repr(Pacer(500)) == "Pacer(500, burst=50, max_wait_seconds=5.0)"
    assert repr(Pacer(0.5)) == "Pacer(0.5, burst=1, max_wait_seconds=5.0)"


ARRIVALS = st.lists(st.tuples(st.floats(0, 5), st.one_of(st.none(), st.floats(0, 5))), min_size=1, max_size=16)
RATES = st.floats(0.5, 50)


@given(arrivals=ARRIVALS, rate=RATES, burst=st.integers(1, 5), wait=st.floats(0, 3))
def test_no_window_of_time_sees_more_calls_than_the_rate_and_the_burst_allow(
    arrivals: list[tuple[float, float | None]], rate: float, burst: int, wait: float
) -> None:
    time = Simulation()
    passed = Passed(time, paced(time, rate, burst, wait))
    for start, later in arrivals:
        time.at(start, passed(), interrupted_at=None if later is None else start + later)
    time.run()

    # Exactly, in nanoseconds.
    for first, since in enumerate(passed.at):
        for calls, until in enumerate(passed.at[first:], 1):
            assert calls <= burst + Fraction(rate) * (until - since) / SECOND


@given(arrivals=ARRIVALS, rate=RATES, burst=st.integers(1, 5))
def test_each_is_let_through_as_early_as_a_model_of_the_bucket_says_and_in_the_order_of_arrival(
    arrivals: list[tuple[float, float | None]], rate: float, burst: int
) -> None:
    time = Simulation()
    passed = Passed(time, paced(time, rate, burst))
    starts = sorted(start for start, _ in arrivals)
    for number, start in enumerate(starts):
        time.at(start, passed(str(number)))
    time.run()

    assert passed.order == [str(number) for number in range(len(starts))]
    tokens, at = float(burst), 0.0
    for start, seconds in zip(starts, passed.seconds, strict=True):
        tokens, at = min(burst, tokens + max(0, start - at) * rate), max(at, start)
        if tokens < 1:
            at, tokens = at + (1 - tokens) / rate, 1
        tokens -= 1
        assert seconds == pytest.approx(at, abs=1e-6)


@given(
    left=st.lists(st.floats(0.01, 3), min_size=1, max_size=6),
    stay=st.integers(1, 6),
    rate=st.floats(1, 5),
)
def test_those_behind_whoever_leaves_move_up_so_that_no_turn_is_lost(left: list[float], stay: int, rate: float) -> None:
    time = Simulation()
    passed = Passed(time, paced(time, rate))
    time.at(0, passed())
    for seconds in left:
        time.at(0, passed(), interrupted_at=seconds)
    for _ in range(stay):
        time.at(0, passed())
    errors = time.run()

    gaps = [after - before for before, after in zip(passed.seconds, passed.seconds[1:], strict=False)]
    assert gaps == pytest.approx([1 / rate] * len(gaps), abs=1e-6)
    assert len(passed.seconds) + sum(isinstance(error, Interrupted) for error in errors) == len(left) + stay + 1


def test_nobody_looks_again_and_again_while_waiting(time: Simulation) -> None:
    passed = Passed(time, paced(time, 1))
    for _ in range(10):
        time.at(0, passed())
    time.run()

    # The first goes at once, the second waits for its time, the others for theirs to come and then for their time.
    assert time.waits == 1 + 2 * 8


# --- waiting for too long ---------------------------------------------------------------------------------------------


def test_who_would_wait_for_too_long_is_refused_at_once(time: Simulation) -> None:
    passed = Passed(time, paced(time, 2, wait=1))
    for start in (0, 0, 0, 0, 0.5):
        time.at(start, passed("GenerateDataKey"))
    errors = time.run()

    assert passed.seconds == [0, 0.5, 1, 1.5]
    (refused,) = [error for error in errors if error is not None]
    assert isinstance(refused, KmsPacingError)
    assert str(refused) == (
        "KMS GenerateDataKey was not sent: at 2 calls a second, with 2 before it, it would have waited for 1.5 s, "
        "longer than 1 s"
    )
    assert (refused.operation, refused.code, refused.retryable) == ("GenerateDataKey", "KmsPacingError", True)


def test_with_no_time_to_wait_what_goes_goes_at_once(time: Simulation) -> None:
    passed = Passed(time, paced(time, 2, burst=2, wait=0))
    for start in (0, 0, 0.4, 0.5):
        time.at(start, passed())
    errors = time.run()

    assert passed.seconds == [0, 0, 0.5]
    assert [error is None for error in errors] == [True, True, False, True]


@given(count=st.integers(1, 30), rate=RATES, burst=st.integers(1, 5), wait=st.floats(0, 2))
def test_nobody_waits_for_longer_than_allowed_and_nobody_is_refused_who_would_not(
    count: int, rate: float, burst: int, wait: float
) -> None:
    time = Simulation()
    passed = Passed(time, paced(time, rate, burst, wait))
    for _ in range(count):
        time.at(0, passed())
    errors = time.run()

    refused = sum(error is not None for error in errors)
    assert max(passed.seconds) <= wait + 1e-6
    # As many as go within the time.
    assert count - refused in {min(count, burst + math.floor(wait * rate + slack)) for slack in (-1e-6, 1e-6)}


# --- interrupts -------------------------------------------------------------------------------------------------------


def test_whoever_is_interrupted_leaves_and_the_next_goes_in_its_place(time: Simulation) -> None:
    pacer = paced(time, 1)
    passed = Passed(time, pacer)
    time.at(0, passed("first"))
    time.at(0.1, passed("second"), interrupted_at=0.5)
    time.at(0.2, passed("third"))
    errors = time.run()

    assert (passed.order, passed.seconds) == (["first", "third"], [0, 1])
    assert isinstance(errors[1], Interrupted)
    assert pacer.waiting == 0


def test_a_signal_handler_that_calls_does_not_wait_for_the_call_it_interrupts(time: Simulation) -> None:
    handled: list[float] = []
    interrupted = threading.Event()

    def wait(gate: threading.Lock, seconds: float | None) -> None:
        if not interrupted.is_set():
            # As a handler would, inside the wait of the thread that it interrupts.
            interrupted.set()
            pacer.take_turn("Encrypt")
            handled.append(time.now / SECOND)
        time.wait(gate, seconds)

    pacer = Pacer(1, burst=1, max_wait_seconds=math.inf, clock=time.clock, wait=wait)
    passed = Passed(time, pacer)
    for name in ("first", "interrupted", "behind"):
        time.at(0, passed(name))
    time.run()

    assert (handled, passed.order, passed.seconds) == ([1], ["first", "interrupted", "behind"], [0, 2, 3])


@pytest.mark.parametrize("reading", [1, 2, 3])
def test_a_signal_handler_that_calls_while_another_call_looks_at_the_clock_makes_none_too_many(reading: int) -> None:
    time = Simulation()
    readings = itertools.count(0)
    at: list[int] = []

    def take_turn() -> None:
        pacer.take_turn("Encrypt")
        at.append(time.now)

    def clock() -> int:
        now = time.now
        if next(readings) == reading:
            take_turn()
        return now

    def wait(_gate: threading.Lock, seconds: float | None) -> None:
        assert seconds is not None
        time.now += math.ceil(seconds * SECOND)

    pacer = Pacer(1, burst=1, max_wait_seconds=math.inf, clock=clock, wait=wait)
    for _ in range(2):
        take_turn()

    assert at == [0, SECOND, 2 * SECOND]


class Queue:
    """Three threads that queue up, one behind the other; the second is handed what it does. Waiting takes no time."""

    def __init__(self) -> None:
        self._now = 0
        self._names: dict[int, str] = {}
        self.pacer = Pacer(1, burst=1, max_wait_seconds=math.inf, clock=lambda: self._now, wait=self._wait)
        self.pacer.take_turn("Decrypt")
        self.errors: list[BaseException] = []
        self._ended = False

    def run(self, second: Callable[[], object]) -> bool:
        """Return whether all came through; they are left behind where they wait for ever."""
        self._third = self._thread("third", lambda: self.pacer.take_turn("Decrypt"))
        first, middle = self._thread("first", lambda: self.pacer.take_turn("Decrypt")), self._thread("second", second)
        first.start()
        while not self.pacer.waiting:
            os.sched_yield()
        middle.start()
        for thread in (first, middle, self._third):
            thread.join(20)
            if thread.is_alive():
                return False
        return True

    def _thread(self, name: str, work: Callable[[], object]) -> threading.Thread:
        def body() -> None:
            self._names[threading.get_ident()] = name
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                self.errors.append(error)
            finally:
                self._ended = self._ended or name == "second"

        return threading.Thread(target=body, daemon=True)

    def _wait(self, gate: threading.Lock, seconds: float | None) -> None:
        if seconds is None:
            gate.acquire()
            return
        if self._names[threading.get_ident()] == "first":
            self._wait_for(2)
            self._third.start()
            self._wait_for(3)
        self._now += math.ceil(seconds * SECOND)

    def _wait_for(self, waiting: int) -> None:
        while self.pacer.waiting < waiting and not self._ended:
            os.sched_yield()


def test_a_signal_handler_that_calls_at_any_place_of_a_call_comes_through_and_so_do_those_who_queue() -> None:
    for position in itertools.count(1):
        queue = Queue()
        reached: list[bool] = []

        def second(queue: Queue = queue, position: int = position, reached: list[bool] = reached) -> None:
            def call() -> None:
                queue.pacer.take_turn("Encrypt")

            reached.append(handled_at(position, call, call, code=pacing.__file__))

        assert queue.run(second), f"at place {position} all wait for ever"
        assert (queue.errors, queue.pacer.waiting) == ([], 0)
        if reached != [True]:
            assert position > 100
            break


def test_an_interrupt_at_any_place_of_a_call_leaves_nobody_waiting() -> None:
    for position in itertools.count(1):
        queue = Queue()
        reached: list[bool] = []

        def interrupt() -> None:
            raise Interrupted

        def second(queue: Queue = queue, position: int = position, reached: list[bool] = reached) -> None:
            reached.append(
                handled_at(position, interrupt, lambda: queue.pacer.take_turn("Encrypt"), "call", code=pacing.__file__)
            )

        assert queue.run(second), f"after an interrupt at place {position} all wait for ever"
        assert queue.pacer.waiting == 0
        if reached:
            assert reached == [False]
            assert position > 8
            break
        (error,) = queue.errors
        assert isinstance(error, Interrupted)


def test_a_real_interrupt_ends_a_real_wait() -> None:
    pacer = Pacer(0.001, burst=1, max_wait_seconds=math.inf)
    pacer.take_turn("Decrypt")
    main = threading.get_ident()

    def interrupt() -> None:
        while not pacer.waiting:
            os.sched_yield()
        signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            pacer.take_turn("Decrypt")
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert pacer.waiting == 0


def test_real_threads_all_come_through_and_none_is_left() -> None:
    pacer = Pacer(100_000, burst=1, max_wait_seconds=math.inf)
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda _: [pacer.take_turn("Decrypt") for _ in range(20)], range(64)))

    assert pacer.waiting == 0


def test_a_child_of_a_fork_waits_for_none_of_its_parent_s_threads() -> None:
    release = threading.Event()

    def wait(_gate: threading.Lock, _seconds: float | None) -> None:
        release.wait(60)
        raise Interrupted

    held = Pacer(0.001, burst=1, max_wait_seconds=math.inf, wait=wait)
    held.take_turn("Decrypt")

    def give_up() -> None:
        with pytest.raises(Interrupted):
            held.take_turn("Decrypt")

    thread = threading.Thread(target=give_up)
    thread.start()
    while not held.waiting:
        os.sched_yield()
    try:
        assert in_child(lambda: held.waiting == 0) == 0
    finally:
        release.set()
        thread.join()


def test_a_child_that_a_signal_handler_forks_keeps_the_place_of_the_thread_it_interrupts() -> None:
    ended: list[int] = []

    def wait(_gate: threading.Lock, _seconds: float | None) -> None:
        # As a handler would, inside the wait.
        ended.append(in_child(lambda: pacer.waiting == 1))
        raise Interrupted

    pacer = Pacer(0.001, burst=1, max_wait_seconds=math.inf, wait=wait)
    pacer.take_turn("Decrypt")
    with pytest.raises(Interrupted):
        pacer.take_turn("Decrypt")

    assert ended == [0]


# --- clients ----------------------------------------------------------------------------------------------------------


class Counting:
    """Stands for a pacer that lets all through and takes down what asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pacer(self) -> Pacer:
        asked = self.asked

        class Noting(Pacer):
            def take_turn(self, operation: str) -> None:
                asked.append(operation)

        return Noting(1)


def test_the_calls_of_keyrings_are_paced_and_what_else_a_client_has_goes_through() -> None:
    noted = Counting()
    with LocalKms.in_memory() as kms:
        client = noted.pacer().paced(kms)
        arn = client.create_key()["KeyMetadata"]["Arn"]
        rsa = client.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
        agreeing = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["KeyId"]
        made = client.generate_data_key(KeyId=arn, NumberOfBytes=32)
        wrapped = client.encrypt(KeyId=arn, Plaintext=b"x")["CiphertextBlob"]
        client.decrypt(CiphertextBlob=made["CiphertextBlob"], KeyId=arn)
        client.generate_data_key_without_plaintext(KeyId=arn, NumberOfBytes=32)
        client.re_encrypt(CiphertextBlob=wrapped, DestinationKeyId=arn)
        client.get_public_key(KeyId=rsa)
        public = client.get_public_key(KeyId=agreeing)["PublicKey"]
        client.derive_shared_secret(KeyId=agreeing, KeyAgreementAlgorithm="ECDH", PublicKey=public)

        assert (client.region, client.account) == (kms.region, kms.account)
    assert noted.asked == [
        "GenerateDataKey",
        "Encrypt",
        "Decrypt",
        "GenerateDataKeyWithoutPlaintext",
        "ReEncrypt",
        "GetPublicKey",
        "GetPublicKey",
        "DeriveSharedSecret",
    ]


def test_a_client_that_cannot_do_everything_still_cannot_when_it_is_paced() -> None:
    client = Pacer(1).paced(AsymmetricKms())

    assert not hasattr(client, "generate_data_key")
    with pytest.raises(TypeError, match="a KMS client is an object with boto3's methods, not object"):
        Pacer(1).paced(object())


def test_clients_that_share_a_pacer_share_its_rate(time: Simulation) -> None:
    pacer = paced(time, 1, burst=2, wait=0)
    with LocalKms.in_memory() as one, LocalKms.in_memory() as other:
        clients = [pacer.paced(kms) for kms in (one, other)]
        arns = [kms.create_key()["KeyMetadata"]["Arn"] for kms in clients]
        for kms, arn in zip(clients, arns, strict=True):
            kms.generate_data_key(KeyId=arn, NumberOfBytes=32)

        with pytest.raises(KmsPacingError):
            clients[0].generate_data_key(KeyId=arns[0], NumberOfBytes=32)


def test_each_region_of_a_paced_supplier_goes_at_its_own_pace(time: Simulation) -> None:
    world = World()
    pacers = {region: paced(time, 1, wait=0) for region in ("eu-west-1", "us-east-1")}
    supplier = PacedClientSupplier(world.client, pacers.__getitem__)
    keys = [KmsKeyring(supplier(region), world.create_key(region)) for region in pacers]
    for keyring in keys:
        Client(keyring).encrypt(b"text")
    for keyring in keys:
        with pytest.raises(KmsPacingError):
            Client(keyring).encrypt(b"text")
    with pytest.raises(UsageError, match="no client for the Region 'eu-north-1'"):
        kms_discovery_multi_keyring(["eu-north-1"], client_supplier=supplier)
    assert repr(PacedClientSupplier(Boto3ClientSupplier(), pacers.__getitem__)) == (
        "PacedClientSupplier(Boto3ClientSupplier())"
    )


@pytest.mark.parametrize("what", ["pacer", "client"])
def test_it_stays_in_its_process(what: str) -> None:
    with LocalKms.in_memory() as kms:
        pacer = Pacer(5)
        subject: Any = {"pacer": pacer, "client": pacer.paced(kms)}[what]
        for move in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled or copied"):
                move(subject)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no rate": ({"calls_per_second": 0}, "calls_per_second is a number above 0, not 0"),
    "a negative rate": ({"calls_per_second": -1}, "not -1"),
    "an infinite rate": ({"calls_per_second": math.inf}, "not inf"),
    "a rate that is no number": ({"calls_per_second": math.nan}, "not nan"),
    "a rate next to nothing": ({"calls_per_second": 5e-324}, "not 5e-324"),
    "no burst": ({"calls_per_second": 1, "burst": 0}, "burst is 1 or more, not 0"),
    "a negative wait": ({"calls_per_second": 1, "max_wait_seconds": -1}, "max_wait_seconds is 0 or more, not -1"),
    "a wait that is no number": ({"calls_per_second": 1, "max_wait_seconds": math.nan}, "not nan"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_a_figure_that_cannot_be_is_told(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Pacer(**arguments)


def test_a_burst_is_a_whole_number() -> None:
    with pytest.raises(TypeError):
        Pacer(1, burst=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- what a refusal means to who asked --------------------------------------------------------------------------------


def exhausted(time: Simulation) -> Pacer:
    """Return a pacer that lets nothing through before a thousand seconds are over."""
    pacer = paced(time, 0.001, wait=0)
    pacer.take_turn("Encrypt")
    return pacer


def notes(error: BaseException) -> str:
    return " ".join(getattr(error, "__notes__", ()))


def test_an_encryption_that_is_refused_says_which_key_and_what_to_do(time: Simulation) -> None:
    world = World()
    arn = world.create_key("eu-west-1")
    client = Client(KmsKeyring(exhausted(time).paced(world.client("eu-west-1")), arn))
    with counted_calls() as calls, pytest.raises(KmsPacingError) as caught:
        client.encrypt(b"text")

    assert str(caught.value).endswith(f"it would have waited for 1000 s, longer than 0 s (asked for {arn})")
    assert "cache data keys" in notes(caught.value)
    assert notes(pickle.loads(pickle.dumps(caught.value))) == notes(caught.value)
    # Nothing was sent, so nothing is counted, on either side.
    assert (calls, world.asked()) == ({}, [])


def test_a_decryption_that_is_refused_takes_no_other_way(time: Simulation) -> None:
    world = World()
    arns = [world.create_key(region) for region in ("eu-west-1", "us-east-1")]
    raw = RawAesKeyring("test", "key-1", bytes(32))
    clients = [world.client(region) for region in ("eu-west-1", "us-east-1")]
    message = Client(MultiKeyring(KmsKeyring(clients[0], arns[0]), [KmsKeyring(clients[1], arns[1]), raw])).encrypt(
        b"x"
    )
    world.calls.clear()
    first = exhausted(time).paced(clients[0])
    pacers = {"eu-west-1": exhausted(time), "us-east-1": paced(time, 5)}
    supplier = PacedClientSupplier(world.client, pacers.__getitem__)
    for keyring in (
        MultiKeyring(KmsKeyring(first, arns[0]), [KmsKeyring(clients[1], arns[1]), raw]),
        KmsDiscoveryKeyring(first),
        kms_discovery_multi_keyring(list(pacers), client_supplier=supplier),
        KmsAnyRegionDiscoveryKeyring(supplier),
    ):
        with counted_calls() as calls, pytest.raises(KmsPacingError) as caught:
            Client(keyring).decrypt(message.ciphertext)

        assert isinstance(caught.value, KmsUnavailableError)
        assert (caught.value.operation, calls, world.asked()) == ("Decrypt", {}, [])
        assert "cache data keys" in notes(caught.value)
