"""``-j``: several processes say, write and end as one does."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk import bulk
from envelope_sdk.bulk import Progress
from envelope_sdk.bulk.worker import Outcome, Report
from envelope_sdk.cli.progress import described
from envelope_sdk.cli.workers import most_in_flight

pytestmark = pytest.mark.slow

NAMES = [f"{number}.txt" for number in range(12)]


@pytest.fixture
def tree(envelope: Any) -> str:
    """A folder of files."""
    for name in NAMES:
        envelope.write(f"in/{name}", name.encode() * 500)
    return "in"


def same(envelope: Any, folder: str) -> bool:
    return all(envelope.read(f"{folder}/{name}") == name.encode() * 500 for name in NAMES)


def test_a_folder_goes_out_and_comes_back(envelope: Any, tree: str) -> None:
    key = envelope.key()

    out = envelope.ok("encrypt", "-k", key, "-r", tree, "-o", "out", "-j", "2", "-c", "a=b")
    back = envelope.ok("decrypt", "-k", key, "-r", "out", "-o", "back", "-j", "2", "-c", "a=b")

    assert out.lines == ["encrypted 12 of 12 files"]
    assert back.lines == ["decrypted 12 of 12 files"]
    assert same(envelope, "back")


def test_what_is_written_is_what_one_process_writes(envelope: Any, tree: str) -> None:
    key = envelope.key()
    options = ("encrypt", "-k", key, "-r", tree, "--metadata", "-", "--stats-json", "--sign", "--frame-length", "99")

    alone = envelope.ok(*options, "-o", "alone")
    shared = envelope.ok(*options, "-o", "shared", "-j", "2")

    def facts(ran: Any) -> list[Any]:
        found = [json.loads(line) for line in ran.text.splitlines()]
        for line in found:
            assert line["header"].pop("message_id")
            assert line["header"]["encryption_context"].pop("aws-crypto-public-key")
            # The raw AES keyring puts an IV there.
            assert line["header"]["encrypted_data_keys"][0].pop("provider_info_base64")
            line["output"] = Path(line["output"]).name
        return sorted(found, key=lambda line: str(line["input"]))

    assert facts(shared) == facts(alone)
    assert shared.lines == alone.lines


def test_one_that_fails_is_told_as_ever(envelope: Any, tree: str) -> None:
    key = envelope.key()
    envelope.ok("encrypt", "-k", key, "-r", tree, "-o", "out")
    envelope.write("out/3.txt.enc", b"not a message")
    envelope.write("out/4.txt.enc", envelope.read("out/4.txt.enc")[:-1])

    alone = envelope("decrypt", "-k", key, "-r", "out", "-o", "one")
    shared = envelope("decrypt", "-k", key, "-r", "out", "-o", "two", "-j", "2")

    assert shared.code == alone.code == 1
    assert sorted(shared.lines) == sorted(alone.lines)
    assert {path.name for path in (envelope.home / "two").iterdir()} == set(NAMES) - {"3.txt", "4.txt"}


def test_the_default_key_is_made_once(envelope: Any, tree: str) -> None:
    out = envelope.ok("encrypt", "-r", tree, "-o", "out", "-j", "2", "--stats-json")
    back = envelope.ok("decrypt", "-r", "out", "-o", "back", "-j", "2")

    assert [line.split(" ")[0] for line in out.lines[:2]] == ["created", "hint:"]
    assert len(out.lines) == 4
    assert json.loads(out.lines[-1])["kms_calls"] == {"GenerateDataKey": 12}
    assert back.lines == ["decrypted 12 of 12 files"]
    assert same(envelope, "back")


def test_calls_of_kms_are_added_up(envelope: Any, kms_server: Any, tree: str) -> None:
    envelope.env = dict(kms_server.environment())
    key = f"aws-kms://{kms_server.kms.create_key()['KeyMetadata']['Arn']}"

    ran = envelope.ok("encrypt", "-k", key, "-r", tree, "-o", "out", "-j", "2", "--cache-seconds", "60", "--stats-json")

    told = json.loads(ran.lines[-1])
    assert 1 <= len(kms_server.asked) <= 2
    assert told["kms_calls"] == {"GenerateDataKey": len(kms_server.asked)}
    assert told["messages"] == 12


def test_calls_that_keyrings_take_are_among_them(envelope: Any, kms_server: Any, tree: str) -> None:
    envelope.env = dict(kms_server.environment())
    key = kms_server.kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["Arn"]
    envelope.write("public", kms_server.kms.get_public_key(KeyId=key)["PublicKey"])
    kms_server.asked.clear()

    uri = f"aws-kms-ecdh://{key}?recipient=public"
    ran = envelope.ok("encrypt", "-k", uri, "-r", tree, "-o", "out", "-j", "2", "--stats-json")

    told = json.loads(ran.lines[-1])["kms_calls"]
    assert told["DeriveSharedSecret"] == 12
    assert sum(told.values()) == len(kms_server.asked)


def test_a_key_that_cannot_be_had_ends_it_at_once(envelope: Any, tree: str) -> None:
    alone = envelope("encrypt", "-k", "no.key", "-r", tree, "-o", "out")
    shared = envelope("encrypt", "-k", "no.key", "-r", tree, "-o", "out", "-j", "2")

    assert (shared.code, shared.err) == (alone.code, alone.err)
    assert not (envelope.home / "out").exists()


def test_a_warning_is_said_once(envelope: Any, tree: str) -> None:
    (envelope.home / envelope.key()).chmod(0o644)

    ran = envelope.ok("encrypt", "-k", "a.key", "-r", tree, "-o", "out", "-j", "2")

    assert [line.split(":")[0] for line in ran.lines] == ["warning", "encrypted 12 of 12 files"]


def test_one_file_is_worked_on_as_ever(envelope: Any) -> None:
    ran = envelope.ok("encrypt", "-k", envelope.key(), "-", "-j", "8", stdin=b"hello")

    assert envelope.ok("decrypt", "-k", "a.key", "-", "-j", "8", stdin=ran.out).out == b"hello"


@pytest.mark.parametrize("options", [["-j", "2"], ["--journal", "journal"]], ids=lambda options: options[0])
@pytest.mark.parametrize("kind", ["a pipe", "a descriptor", "a passphrase"])
def test_keys_that_workers_could_not_read_again_are_refused(
    envelope: Any, tree: str, kind: str, options: list[str]
) -> None:
    """A worker would wait for a pipe that nobody writes to any more."""
    key = envelope.home / envelope.key()
    descriptor = os.open(key, os.O_RDONLY)
    os.mkfifo(envelope.home / "pipe")
    if kind == "a passphrase":
        envelope.env = {"ENVELOPE_KMS_ROOT_KEY_FROM": "passphrase-file:pipe"}
    keys = {"a pipe": ["-k", "pipe"], "a descriptor": ["-k", f"/dev/fd/{descriptor}"], "a passphrase": []}[kind]

    ran = envelope("encrypt", *keys, "-r", tree, "-o", "out", *options)

    os.close(descriptor)
    assert ran.code == 2
    assert "can be read by this process alone, or once" in ran.lines[0]
    assert envelope.names().isdisjoint({"out", "journal"})


@pytest.mark.parametrize("names", ["- out", "a -", "a pipe", "pipe out"])
def test_a_journal_is_for_files(envelope: Any, names: str) -> None:
    source, target = names.split()
    envelope.write("a", b"hello")
    os.mkfifo(envelope.home / "pipe")

    ran = envelope("encrypt", "-k", envelope.key(), source, "-o", target, "--journal", "journal")

    assert ran.code == 2
    assert ran.lines[0] == "envelope: --journal is for files, not for pipes, standard input or output"
    assert envelope.names() == {"a", "pipe", "a.key"}


def test_an_error_names_its_file_once(envelope: Any) -> None:
    key = envelope.key()

    alone = envelope("encrypt", "-k", key, "missing")
    noted = envelope("encrypt", "-k", key, "missing", "--journal", "journal")

    assert (noted.code, noted.err) == (alone.code, alone.err) == (1, "envelope: missing: no such file or directory\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_all_of_it(envelope: Any, ended: Any, number: signal.Signals) -> None:
    """While workers wait for more of a pipe, where nothing but ending them helps."""
    key = envelope.key()
    for name in "ab":
        os.mkfifo(envelope.home / name, 0o600)
    process = envelope.start("encrypt", "-k", key, "a", "b", "-o", "out", "-j", "2", start_new_session=True)
    # Each returns when a worker has opened the other end.
    pipes = [os.open(envelope.home / name, os.O_WRONLY) for name in "ab"]
    for pipe in pipes:
        os.write(pipe, b"some of it")

    # As a terminal does, to all of them.
    os.killpg(process.pid, number)
    ran = ended(process)

    assert ran.code == 128 + number
    assert ran.err == ("envelope: interrupted\n" if number == signal.SIGINT else "")
    # The folder may not be there yet: it is made once a pipe is open.
    assert list((envelope.home / "out").glob("*")) == []
    for pipe in pipes:
        # Nobody reads it any more.
        with pytest.raises(BrokenPipeError):
            os.write(pipe, b"x")
        os.close(pipe)


@pytest.mark.parametrize(("jobs", "count"), [(2, 2), (2, 12), (4, 12), (4, 100), (16, 100), (4, 5000)])
def test_few_files_are_shared_too(envelope: Any, jobs: int, count: int) -> None:
    """One process got sixteen small files at once, and others none."""
    taken = []

    class Noting(Executor):
        def submit(self, fn: Any, work: Any, tasks: Any) -> Future[Any]:  # type: ignore[override]
            taken.append(len(tasks))
            future: Future[Any] = Future()
            future.set_result(Report("", tuple(Outcome(task, error=OSError()) for task in tasks), None))
            return future

    recipe = bulk.ClientRecipe([str(envelope.home / envelope.key())])
    items = [bulk.Item(f"{number}", f"{number}.enc", 10) for number in range(count)]
    list(bulk.run(items, bulk.Encrypt(), client=recipe, executor=Noting(), in_flight=most_in_flight(jobs, count)))

    assert sum(taken) == count
    assert len(taken) >= jobs
    assert max(taken) <= 16
    assert count < 5000 or min(taken[:-1]) == 16


def test_progress_in_words() -> None:
    progress = Progress(done=60, failed=1, skipped=4, bytes_done=10**7, seconds=2.0, items=100, bytes=3 * 10**9)

    assert described(progress) == ("65 of 100 files", "5.0 MB/s, 30 files/s", "0:09:58 left")
    assert described(Progress()) == ("0 files", "0.0 MB/s, 0 files/s", "")
