"""A process that is killed again and again while it changes keys: nothing that it has reported is lost or half made."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.audit import verify

_KILLS = 100

# Children are forked before the KMS is opened, so that a hundred of them take seconds. Each tells what it has done, a
# line at a time: "key ID", "alias NAME ID" or "rotated ID".
_PROGRAM = """
import os, sys
from envelope_sdk.local_kms import LocalKms

database, log = sys.argv[1:]
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        with LocalKms.open(database, audit=log) as kms:
            print(f"begun {os.getpid()}", flush=True)
            number = 0
            while True:
                made = kms.create_key(MultiRegion=number % 2 == 0)["KeyMetadata"]["KeyId"]
                print("key", made, flush=True)
                name = f"alias/{os.getpid()}-{number}"
                kms.create_alias(AliasName=name, TargetKeyId=made)
                print("alias", name, made, flush=True)
                kms.rotate_key_on_demand(KeyId=made)
                print("rotated", made, flush=True)
                if number % 4 == 0:
                    kms.replicate_key(KeyId=made, ReplicaRegion="eu-west-1")
                number += 1
    os.waitpid(child, 0)
    print("killed", flush=True)
"""


def _reports(database: Path, log: Path) -> list[list[str]]:
    """Kill a hundred processes at work, each after another time, and return what they have reported."""
    command = [sys.executable, "-c", _PROGRAM, str(database), str(log)]
    choose, told = random.Random(5), list[list[str]]()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        for _ in range(_KILLS):
            parent.stdin.write("go\n")
            parent.stdin.flush()
            begun = parent.stdout.readline().split()
            assert begun[0] == "begun"
            time.sleep(choose.uniform(0, 0.03))
            os.kill(int(begun[1]), signal.SIGKILL)
            # A line is one write to a pipe, which is whole or not there.
            while (line := parent.stdout.readline()) != "killed\n":
                told.append(line.split())
        parent.stdin.close()
    return told


@pytest.mark.slow
def test_what_a_hundred_killed_processes_have_reported_is_there_and_whole(tmp_path: Path) -> None:
    database, log = tmp_path / "keys.db", tmp_path / "audit.jsonl"
    LocalKms.open(database).close()
    told = _reports(database, log)
    # They had the time to do something.
    assert {"key", "alias", "rotated"} == {kind for kind, *_ in told}

    with LocalKms.open(database) as kms:
        there = {key["KeyId"] for page in _pages(kms) for key in page["Keys"]}
        assert {key for kind, *rest in told if kind == "key" for key in rest} <= there
        for kind, *rest in told:
            if kind == "alias":
                assert kms.describe_key(KeyId=rest[0])["KeyMetadata"]["KeyId"] == rest[1]
            if kind == "rotated":
                assert len(kms.list_key_rotations(KeyId=rest[0])["Rotations"]) == 1
        for key_id in there:
            blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    verified = verify([log])
    assert not verified.problems
    assert verified.events >= len(told)


def _pages(kms: LocalKms) -> list[dict[str, object]]:
    pages = [kms.list_keys(Limit=1000)]
    while pages[-1]["Truncated"]:
        pages.append(kms.list_keys(Limit=1000, Marker=pages[-1]["NextMarker"]))
    return pages
