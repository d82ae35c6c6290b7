"""Rotation: the same plaintext under other keys, in another suite or with another context, or nothing is changed."""

from __future__ import annotations

import io
import os
import random
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa as rsa_primitive
from testkit.builder import Message
from testkit.entry_points import reader_of
from testkit.keyrings import StaticDataKeyring
from testkit.machines import writing_policy
from testkit.own_vectors import Case, read_all

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, Limits, Rotation, errors
from envelope_sdk.errors import (
    CommitmentPolicyError,
    ContextMismatchError,
    EncryptionContextError,
    EnvelopeError,
    KeyringError,
    MessageError,
    NoMatchingKeyError,
    SignatureError,
    StreamError,
    TruncatedMessageError,
)
from envelope_sdk.formats.header import parse_header
from envelope_sdk.keyrings import MultiKeyring, RawAesKeyring, RawRsaKeyring, RsaPadding
from envelope_sdk.managers import DefaultMaterialsManager, RequiredContextMaterialsManager

FRAME = 64
OLD = RawAesKeyring("test", "old", bytes(32))
NEW = RawAesKeyring("test", "new", bytes(range(32)))
ANY = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
PLAIN = random.Random(1).randbytes(50 * FRAME + 1)
SUITES = list(AlgorithmSuite)
UNSIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY


def client(keyring: Any = OLD, **options: Any) -> Client:
    return Client(keyring, **{"frame_length": FRAME, "commitment_policy": ANY, **options})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A message under the old key, with a context."""
    path = tmp_path / "message"
    path.write_bytes(client().encrypt(PLAIN, encryption_context={"team": "blue", "purpose": "test"}).ciphertext)
    return path


def opened(path: Path, keyring: Any = NEW, **options: Any) -> bytes:
    return client(keyring).decrypt(path.read_bytes(), **options).plaintext


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- what becomes of a message ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", SUITES, ids=lambda suite: f"to-{suite.suite_id:04x}")
@pytest.mark.parametrize("old", SUITES, ids=lambda suite: f"{suite.suite_id:04x}")
def test_any_suite_becomes_any_other(old: AlgorithmSuite, new: AlgorithmSuite, tmp_path: Path):
    path = tmp_path / "message"
    before = Client(OLD, algorithm_suite=old, commitment_policy=writing_policy(old), frame_length=FRAME)
    path.write_bytes(before.encrypt(PLAIN, encryption_context={"team": "blue"}).ciphertext)
    writer = Client(NEW, algorithm_suite=new, commitment_policy=writing_policy(new))

    header = Rotation(client(), writer).rotate_file(path)

    found = client(NEW).decrypt(path.read_bytes())
    assert found.plaintext == PLAIN
    assert found.header == header
    assert found.header.algorithm_suite is new
    assert found.header.encryption_context.without(["aws-crypto-public-key"]) == {"team": "blue"}
    assert found.header.frame_length == FRAME


def test_the_old_keys_do_not_open_the_new_message(path: Path):
    Rotation(client(), client(NEW)).rotate_file(path)

    with pytest.raises(NoMatchingKeyError):
        opened(path, OLD)


def test_nothing_of_the_old_message_is_in_the_new_one(path: Path):
    """Neither its message id nor its data key: the same keyring on both sides makes another message."""
    old, before = client().decrypt(path.read_bytes()).header, path.read_bytes()

    new = Rotation(client(), client()).rotate_file(path, again=True)

    assert new is not None
    assert new.message_id != old.message_id
    assert new.commitment != old.commitment
    assert path.read_bytes()[old.length :] != before[old.length :]


@pytest.mark.parametrize("length", [0, 1, FRAME - 1, FRAME, FRAME + 1, 9 * FRAME])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("sign", [False, True])
def test_any_length_comes_back(length: int, threads: int, sign: bool, tmp_path: Path):
    path = tmp_path / "message"
    path.write_bytes(client(sign=sign).encrypt(PLAIN[:length]).ciphertext)

    Rotation(client(), client(NEW, sign=not sign, threads=threads), frame_length=48).rotate_file(path)

    assert opened(path) == PLAIN[:length]


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("sign", [False, True])
def test_a_large_file_comes_back(threads: int, sign: bool, tmp_path: Path):
    plain, path = random.Random(3).randbytes(9 * 2**20 + 7), tmp_path / "message"
    path.write_bytes(client(frame_length=65_536).encrypt(plain).ciphertext)

    Rotation(client(), client(NEW, sign=sign, threads=threads)).rotate_file(path)

    assert opened(path) == plain


def test_a_message_without_frames_gets_the_writers(tmp_path: Path):
    order = Message(UNSIGNED, frame_length=0)
    path = tmp_path / "message"
    path.write_bytes(order.whole(PLAIN))

    made = Rotation(client(StaticDataKeyring(order.data_key)), client(NEW)).rotate_file(path)

    assert made is not None
    assert made.frame_length == FRAME
    assert opened(path) == PLAIN


def with_a_long_header() -> tuple[Message, bytes]:
    """Return a message with 190,000 bytes of header."""
    order = Message(UNSIGNED, frame_length=FRAME, edks=tuple(("test", b"i" * 900, b"w" * 1000) for _ in range(100)))
    return order, order.whole(PLAIN)


@pytest.mark.parametrize("at_a_time", [1000, 2**16, 2**20])
def test_a_header_that_is_long_comes_in_pieces(at_a_time: int):
    order, message = with_a_long_header()

    class Pieces(io.BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            return super().readinto(memoryview(buffer)[:at_a_time])

    target = io.BytesIO()
    Rotation(client(StaticDataKeyring(order.data_key)), client(NEW)).rotate_stream(Pieces(message), target)

    assert client(NEW).decrypt(target.getvalue()).plaintext == PLAIN


@pytest.mark.parametrize("length", [1, 2**16, 2**16 + 1, 150_000, 2**17])
def test_a_long_header_that_is_cut_is_no_message(length: int, tmp_path: Path):
    order, message = with_a_long_header()
    (tmp_path / "message").write_bytes(message[:length])
    rotation = Rotation(client(StaticDataKeyring(order.data_key)), client(NEW))

    for look in (rotation.is_done, rotation.rotate_file):
        with pytest.raises(TruncatedMessageError):
            look(tmp_path / "message")


def test_a_frame_length_is_kept_or_chosen(path: Path):
    kept = Rotation(client(), client(NEW, frame_length=1000)).rotate_file(path)
    chosen = Rotation(client(NEW), client(NEW), frame_length=200).rotate_file(path)

    assert (kept and kept.frame_length, chosen and chosen.frame_length) == (FRAME, 200)
    assert opened(path) == PLAIN


def test_signed_messages_stay_signed_where_a_signing_writer_is_given(tmp_path: Path):
    rotation = Rotation(client(), client(NEW), signing_writer=client(NEW, sign=True))
    for sign in (False, True):
        path = tmp_path / str(sign)
        path.write_bytes(client(sign=sign).encrypt(PLAIN).ciphertext)

        made = rotation.rotate_file(path)

        assert made is not None
        assert made.algorithm_suite.signed is sign
        assert rotation.is_done(path)


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("length", [0, FRAME, len(PLAIN)])
def test_the_writer_is_told_the_length(sign: bool, length: int, tmp_path: Path):
    asked: list[int | None] = []

    class Asked(DefaultMaterialsManager):
        def get_encryption_materials(self, request: Any) -> Any:
            asked.append(request.plaintext_length)
            return super().get_encryption_materials(request)

    path = tmp_path / "message"
    path.write_bytes(client(sign=sign).encrypt(PLAIN[:length]).ciphertext)

    Rotation(client(), Client(materials_manager=Asked(NEW))).rotate_file(path, again=True)

    assert asked == [length]


def test_a_stream_becomes_a_stream(path: Path):
    target = io.BytesIO()

    made = Rotation(client(), client(NEW)).rotate_stream(io.BytesIO(path.read_bytes()), target)

    found = client(NEW).decrypt(target.getvalue())
    assert (found.plaintext, found.header) == (PLAIN, made)


def test_progress_is_told_in_this_thread_and_may_end_the_work(path: Path):
    before, seen = path.read_bytes(), []

    def stop(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Rotation(client(), client(NEW)).rotate_file(path, on_progress=stop)
    assert path.read_bytes() == before

    Rotation(client(), client(NEW)).rotate_file(path, on_progress=seen.append)
    assert sum(seen) == len(PLAIN)


# --- the encryption context ------------------------------------------------------------------------------------------


def test_pairs_are_kept_added_replaced_and_left_out(path: Path):
    rotation = Rotation(
        client(), client(NEW), new_context={"team": "red", "year": "2026"}, drop_context_keys=["purpose", "nothing"]
    )

    made = rotation.rotate_file(path)

    assert made is not None
    assert made.encryption_context == {"team": "red", "year": "2026"}
    assert rotation.is_done(path)


def test_the_public_key_of_a_signed_message_is_made_anew(tmp_path: Path):
    path = tmp_path / "message"
    old = client(sign=True).encrypt(PLAIN)
    path.write_bytes(old.ciphertext)

    made = Rotation(client(), client(NEW, sign=True)).rotate_file(path)

    assert made is not None
    assert made.encryption_context["aws-crypto-public-key"] != old.header.encryption_context["aws-crypto-public-key"]


UNSTORED = {"tenant": "one"}


@pytest.fixture
def unstored(tmp_path: Path) -> Path:
    """A message under the old key that does not store its tenant."""
    made = Client(
        materials_manager=RequiredContextMaterialsManager(OLD, ["tenant"]), commitment_policy=ANY, frame_length=FRAME
    )
    path = tmp_path / "unstored"
    path.write_bytes(made.encrypt(PLAIN, encryption_context={"team": "blue", **UNSTORED}).ciphertext)
    return path


def stored_in(path: Path) -> dict[str, str]:
    return dict(parse_header(path.read_bytes()).body.encryption_context)


def test_pairs_that_are_not_stored_have_to_be_given_again(unstored: Path):
    before = unstored.read_bytes()

    with pytest.raises(EnvelopeError):
        Rotation(client(), client(NEW)).rotate_file(unstored)

    assert unstored.read_bytes() == before


def test_pairs_that_are_not_stored_are_not_stored_afterwards(unstored: Path):
    rotation = Rotation(client(), client(NEW), encryption_context=UNSTORED)

    rotation.rotate_file(unstored)

    assert stored_in(unstored) == {"team": "blue"}
    assert opened(unstored, encryption_context=UNSTORED) == PLAIN
    with pytest.raises(NoMatchingKeyError):
        opened(unstored, encryption_context={"tenant": "two"})
    assert rotation.is_done(unstored)


def test_another_value_for_a_pair_that_is_not_stored_is_a_rotation(unstored: Path):
    two = {"tenant": "two"}
    Rotation(client(), client(NEW), encryption_context=UNSTORED).rotate_file(unstored)
    rotation = Rotation(
        client(NEW), client(NEW), encryption_context=UNSTORED, new_context=two, unstored_context_keys=["tenant"]
    )

    assert not rotation.is_done(unstored)
    rotation.rotate_file(unstored)

    assert rotation.is_done(unstored)
    assert opened(unstored, encryption_context=two) == PLAIN


def test_a_new_pair_is_stored_unless_it_is_said_not_to_be(unstored: Path):
    Rotation(client(), client(NEW), encryption_context=UNSTORED, new_context=UNSTORED).rotate_file(unstored)
    assert stored_in(unstored) == {"team": "blue", "tenant": "one"}

    Rotation(client(NEW), client(NEW), unstored_context_keys=["team"]).rotate_file(unstored)
    assert stored_in(unstored) == {"tenant": "one"}


def test_a_writer_whose_manager_leaves_pairs_out_is_asked_what_it_does(path: Path):
    writer = Client(materials_manager=RequiredContextMaterialsManager(NEW, ["team"]), frame_length=FRAME)
    rotation = Rotation(client(), writer)

    rotation.rotate_file(path)

    assert stored_in(path) == {"purpose": "test"}
    assert Rotation(client(NEW), writer, encryption_context={"team": "blue"}).is_done(path)


def test_a_context_that_the_old_message_must_have(path: Path):
    before = path.read_bytes()

    for options in ({"encryption_context": {"team": "red"}}, {"required_context_keys": ["owner"]}):
        with pytest.raises(ContextMismatchError):
            Rotation(client(), client(NEW), **options).rotate_file(path)  # type: ignore[arg-type]

    assert path.read_bytes() == before


def test_the_formats_own_keys_cannot_be_new(path: Path):
    with pytest.raises(EncryptionContextError):
        Rotation(client(), client(NEW), new_context={"aws-crypto-x": "y"}).rotate_file(path)


@pytest.mark.parametrize("name", ["required_context_keys", "drop_context_keys", "unstored_context_keys"])
def test_keys_are_no_single_text(name: str):
    with pytest.raises(TypeError):
        Rotation(client(), client(), **{name: "team"})  # type: ignore[arg-type]


# --- what is done ----------------------------------------------------------------------------------------------------


def test_what_is_done_is_left_alone(path: Path):
    rotation = Rotation(client(), client(NEW))
    assert not rotation.is_done(path)
    rotation.rotate_file(path)
    before, status = path.read_bytes(), path.stat()

    assert rotation.is_done(path)
    assert rotation.rotate_file(path) is None

    assert path.read_bytes() == before
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)


def test_what_is_done_needs_no_old_key(path: Path):
    Rotation(client(), client(NEW)).rotate_file(path)

    assert Rotation(client(RawAesKeyring("gone", "gone", bytes(32))), client(NEW)).rotate_file(path) is None


def test_what_is_done_can_be_done_again(path: Path):
    rotation = Rotation(client(MultiKeyring(OLD, [NEW])), client(NEW))
    rotation.rotate_file(path)
    before = path.read_bytes()

    assert rotation.rotate_file(path, again=True) is not None
    assert path.read_bytes() != before


SAME_NAME = RawAesKeyring("test", "old", b"k" * 32)
DIFFERENT: dict[str, Callable[[], Rotation]] = {
    "another suite": lambda: Rotation(client(), client(sign=True)),
    "one key more": lambda: Rotation(client(), client(MultiKeyring(OLD, [NEW]))),
    "another key": lambda: Rotation(client(), client(NEW)),
    "another key of the same name": lambda: Rotation(client(), client(SAME_NAME)),
    "a key of another kind and the same name": lambda: Rotation(client(), client(rsa("test", "old"))),
    "a new pair": lambda: Rotation(client(), client(), new_context={"year": "2026"}),
    "another value": lambda: Rotation(client(), client(), new_context={"team": "red"}),
    "a pair less": lambda: Rotation(client(), client(), drop_context_keys=["team"]),
    "a pair that is not stored": lambda: Rotation(
        client(), client(), encryption_context={"team": "blue"}, unstored_context_keys=["team"]
    ),
    "another frame length": lambda: Rotation(client(), client(), frame_length=FRAME + 1),
}


def rsa(namespace: str, name: str) -> RawRsaKeyring:
    key = rsa_primitive.generate_private_key(65537, 2048)
    return RawRsaKeyring(namespace, name, RsaPadding.OAEP_SHA256, private_key=key, public_key=key.public_key())


@pytest.mark.parametrize("make", DIFFERENT.values(), ids=DIFFERENT)
def test_whatever_differs_is_not_done(make: Callable[[], Rotation], path: Path):
    rotation = make()

    assert not rotation.is_done(path)
    assert rotation.rotate_file(path) is not None
    assert rotation.is_done(path)


def test_the_same_in_all_is_done(path: Path):
    assert Rotation(client(), client(frame_length=1000)).is_done(path)


def test_one_of_two_keys_replaced_by_another_of_its_name_is_not_done(tmp_path: Path):
    path = tmp_path / "message"
    path.write_bytes(client(MultiKeyring(OLD, [NEW])).encrypt(PLAIN).ciphertext)

    rotation = Rotation(client(), client(MultiKeyring(SAME_NAME, [NEW])))

    assert not rotation.is_done(path)
    rotation.rotate_file(path)
    assert opened(path, SAME_NAME) == PLAIN


def test_a_run_asks_the_writer_once_for_messages_of_one_context(tmp_path: Path):
    made = 0

    class Counting:
        def on_encrypt(self, materials: Any) -> Any:
            nonlocal made
            made += 1
            return NEW.on_encrypt(materials)

        def on_decrypt(self, materials: Any, keys: Any) -> Any:
            return NEW.on_decrypt(materials, keys)

    for number in range(5):
        (tmp_path / str(number)).write_bytes(client().encrypt(PLAIN).ciphertext)
    first, second = (Rotation(client(), client(Counting())) for _ in range(2))

    for number in range(5):
        assert first.rotate_file(tmp_path / str(number)) is not None
    assert made == 5 + 1
    for number in range(5):
        assert second.rotate_file(tmp_path / str(number)) is None
    assert made == 6 + 1


def test_a_file_that_is_no_message_is_not_said_to_be_done(tmp_path: Path):
    (tmp_path / "message").write_bytes(b"hello, world")

    with pytest.raises(MessageError):
        Rotation(client(), client(NEW)).is_done(tmp_path / "message")


@pytest.mark.parametrize("length", [0, 1, 60])
def test_a_message_cut_in_its_header_is_not_said_to_be_due(length: int, path: Path):
    path.write_bytes(path.read_bytes()[:length])

    with pytest.raises(TruncatedMessageError):
        Rotation(client(), client(NEW)).is_done(path)


# --- what goes wrong -------------------------------------------------------------------------------------------------

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "altered in the header": lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
    "altered in the middle": lambda data: data[:2000] + bytes([data[2000] ^ 1]) + data[2001:],
    "altered at the end": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "cut in the header": lambda data: data[:60],
    "cut in the middle": lambda data: data[:2000],
    "cut at the end": lambda data: data[:-1],
    "bytes behind": lambda data: data + b"x",
    "twice": lambda data: data + data,
    "empty": lambda _data: b"",
    "something else": lambda _data: b"hello, world",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("sign", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_damaged_message_is_left_as_it_is_and_the_error_is_that_of_reading_it(
    damage: Callable[[bytes], bytes], sign: bool, threads: int, tmp_path: Path
):
    path = tmp_path / "message"
    threads_before = set(threading.enumerate())
    path.write_bytes(damage(client(sign=sign).encrypt(PLAIN).ciphertext))
    before, status = path.read_bytes(), path.stat()
    with pytest.raises(EnvelopeError) as expected:
        client().decrypt_file(path, tmp_path / "plain")

    with pytest.raises(EnvelopeError) as found:
        Rotation(client(), client(NEW, threads=threads)).rotate_file(path)

    assert type(found.value) is type(expected.value)
    assert str(found.value) == str(expected.value)
    assert path.read_bytes() == before
    assert path.stat() == status
    assert names_in(tmp_path) == ["message"]
    # Those of other tests may still be ending.
    assert set(threading.enumerate()) <= threads_before


@pytest.mark.parametrize("case", [case for case in read_all() if case.expect != "ok"], ids=lambda case: case.name)
def test_a_negative_vector_is_left_as_it_is(case: Case, tmp_path: Path):
    path = tmp_path / "message"
    path.write_bytes(case.message)
    reader = reader_of(StaticDataKeyring(case.key), limits=Limits(**case.limits))

    with pytest.raises(getattr(errors, case.expect)):
        Rotation(reader, client(NEW)).rotate_file(path)

    assert path.read_bytes() == case.message
    assert names_in(tmp_path) == ["message"]


def test_a_signature_that_does_not_hold_keeps_the_message(tmp_path: Path):
    signing, path = client(sign=True), tmp_path / "message"
    message = signing.encrypt(PLAIN).ciphertext[:-103] + signing.encrypt(b"other").ciphertext[-103:]
    path.write_bytes(message)

    with pytest.raises(SignatureError):
        Rotation(client(), client(NEW)).rotate_file(path)

    assert path.read_bytes() == message


def test_the_policy_of_the_reader_says_whether_uncommitted_messages_are_read(tmp_path: Path):
    suite = AlgorithmSuite.AES_256_GCM_IV12_TAG16_HKDF_SHA256
    old = Client(OLD, algorithm_suite=suite, commitment_policy=writing_policy(suite))
    path = tmp_path / "message"
    path.write_bytes(old.encrypt(PLAIN).ciphertext)

    with pytest.raises(CommitmentPolicyError):
        Rotation(Client(OLD), Client(NEW)).rotate_file(path)
    made = Rotation(client(), Client(NEW)).rotate_file(path)

    assert made is not None
    assert made.algorithm_suite is UNSIGNED


class CannotOpen:
    """Wraps and never unwraps, as somebody who may only encrypt."""

    def on_encrypt(self, materials: Any) -> Any:
        return NEW.on_encrypt(materials)

    def on_decrypt(self, materials: Any, keys: Any) -> Any:
        return RawAesKeyring("test", "another", bytes(32)).on_decrypt(materials, keys)


def test_a_message_that_nobody_could_open_does_not_replace_one(path: Path):
    before = path.read_bytes()

    with pytest.raises(KeyringError, match="the new keys do not open the new message, so the old one was kept"):
        Rotation(client(), client(CannotOpen())).rotate_file(path)

    assert path.read_bytes() == before
    assert names_in(path.parent) == ["message"]


def test_another_client_may_open_the_new_message_or_none(path: Path):
    assert Rotation(client(), client(CannotOpen()), verifier=client(NEW)).rotate_file(path) is not None
    assert Rotation(client(OLD), client(CannotOpen()), verify=False).rotate_file(path) is None
    assert Rotation(client(NEW), client(CannotOpen()), verify=False).rotate_file(path, again=True) is not None
    assert opened(path) == PLAIN


def test_a_file_that_is_replaced_meanwhile_is_not_written_over(path: Path):
    def replace(_count: int) -> None:
        (path.parent / "newer").write_bytes(b"newer")
        (path.parent / "newer").replace(path)

    with pytest.raises(StreamError, match="another program changed or replaced the file"):
        Rotation(client(), client(NEW)).rotate_file(path, on_progress=replace)

    assert path.read_bytes() == b"newer"


@pytest.mark.parametrize("what", ["appended to", "taken away"])
def test_a_file_that_changes_meanwhile_is_not_written_over(what: str, path: Path):
    def change(_count: int) -> None:
        if what == "taken away":
            path.unlink(missing_ok=True)
        else:
            with path.open("ab") as file:
                file.write(b"more")

    with pytest.raises(EnvelopeError):
        Rotation(client(), client(NEW)).rotate_file(path, on_progress=change)

    assert (path.exists() and path.read_bytes().endswith(b"more")) is (what == "appended to")


@pytest.mark.parametrize("time", [1, 2], ids=["first", "last"])
@pytest.mark.parametrize("what", ["replaced", "taken away"])
def test_a_file_that_changes_while_the_new_one_is_synced_is_not_written_over(
    what: str, time: int, path: Path, monkeypatch: pytest.MonkeyPatch
):
    sync, left = os.fsync, time

    def change(descriptor: int) -> None:
        nonlocal left
        sync(descriptor)
        left -= 1
        if left == 0 and what == "replaced":
            (path.parent / "newer").write_bytes(b"newer")
            (path.parent / "newer").replace(path)
        elif left == 0:
            path.unlink()

    monkeypatch.setattr(os, "fsync", change)
    with pytest.raises(StreamError, match="another program changed or replaced the file"):
        Rotation(client(), client(NEW)).rotate_file(path)

    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == (
        {"message": b"newer"} if what == "replaced" else {}
    )


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o664])
def test_who_may_read_the_file_stays(mode: int, path: Path):
    path.chmod(mode)
    before = path.stat()

    Rotation(client(), client(NEW)).rotate_file(path)

    after = path.stat()
    assert stat.S_IMODE(after.st_mode) == mode
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


def test_who_is_kept_from_reading_meanwhile_stays_so(path: Path):
    path.chmod(0o644)

    Rotation(client(), client(NEW)).rotate_file(path, on_progress=lambda _count: path.chmod(0o600))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_time_of_change_is_that_of_the_rotation(path: Path):
    os.utime(path, (1, 1))

    Rotation(client(), client(NEW)).rotate_file(path)

    assert path.stat().st_mtime > 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(path: Path):
    os.chown(path, 12_345, 54_321)
    path.chmod(0o640)

    Rotation(client(), client(NEW)).rotate_file(path)

    after = path.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (12_345, 54_321, 0o640)


def test_extended_attributes_stay(path: Path):
    try:
        os.setxattr(path, "user.note", b"kept")
    except OSError:
        pytest.skip("this file system has none")

    Rotation(client(), client(NEW)).rotate_file(path)

    assert os.getxattr(path, "user.note") == b"kept"


def test_a_link_is_followed_and_stays(path: Path):
    link = path.parent / "link"
    link.symlink_to("message")

    Rotation(client(), client(NEW)).rotate_file(link)

    assert link.is_symlink()
    assert opened(path) == PLAIN


def test_another_name_of_the_file_keeps_the_old_message(path: Path):
    other = path.parent / "other"
    other.hardlink_to(path)

    Rotation(client(), client(NEW)).rotate_file(path)

    assert opened(path) == PLAIN
    assert opened(other, OLD) == PLAIN


def test_another_target_leaves_the_file_and_is_its_owners_alone(path: Path):
    before, target = path.read_bytes(), path.parent / "target"
    path.chmod(0o644)

    Rotation(client(), client(NEW)).rotate_file(path, target)

    assert path.read_bytes() == before
    assert opened(target) == PLAIN
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        Rotation(client(), client(NEW)).rotate_file(path, target, overwrite=False)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_only_regular_files_are_rotated(make: Callable[[Path], object], tmp_path: Path):
    make(tmp_path / "message")

    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        Rotation(client(), client(NEW)).rotate_file(tmp_path / "message")
