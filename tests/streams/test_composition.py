"""What the standard library reads and writes through the four streams: archives, tables, compression, objects."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import pickle
import shutil
import tarfile
import zipfile

import pytest

FILES = {"first": b"one" * 500, "folder/second": bytes(range(256)) * 20, "empty": b""}


def archive_into(target, mode):
    """Write FILES to a tar archive in ``target``."""
    with tarfile.open(fileobj=target, mode=mode) as tar:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def files_in(source, mode):
    """Return the files of the tar archive in ``source``."""
    with tarfile.open(fileobj=source, mode=mode) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def plaintext_of(client, file):
    return client.decrypt(file.getvalue()).plaintext


# --- archives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w|", "w|gz", "w|xz"])
def test_an_archive_is_written_and_read_as_a_stream(mode, client):
    file = io.BytesIO()
    with client.open(file, "wb") as writer:
        archive_into(writer, mode)
    for reading in (mode.replace("w", "r"), "r|*"):
        file.seek(0)
        with client.open(file) as reader:
            assert files_in(reader, reading) == FILES
            reader.read()


@pytest.mark.parametrize("mode", ["w|", "w|gz"])
def test_an_archive_is_encrypted_and_decrypted_on_its_way(mode, client):
    plain = io.BytesIO()
    archive_into(plain, mode)
    plain.seek(0)
    sent, received = io.BytesIO(), io.BytesIO()
    with client.encrypting_reader(plain) as reader:
        shutil.copyfileobj(reader, sent, 100)
    sent.seek(0)
    with client.decrypting_writer(received) as writer:
        shutil.copyfileobj(sent, writer, 100)
    received.seek(0)
    assert files_in(received, "r:*") == FILES


def test_an_encrypted_file_goes_into_an_archive_and_out_of_it(client, plaintext, tmp_path):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w|") as tar, client.encrypting_reader(io.BytesIO(plaintext)) as reader:
        member = tarfile.TarInfo("secret")
        member.size = reader.length
        tar.addfile(member, reader)
    archive.seek(0)
    with tarfile.open(fileobj=archive, mode="r|*") as tar:
        for member in tar:
            with client.decrypting_writer(tmp_path / member.name) as writer:
                shutil.copyfileobj(tar.extractfile(member), writer)
    assert (tmp_path / "secret").read_bytes() == plaintext


def test_a_zip_archive_is_written(client):
    file = io.BytesIO()
    with client.open(file, "wb") as writer, zipfile.ZipFile(writer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    with zipfile.ZipFile(io.BytesIO(plaintext_of(client, file))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == FILES


def test_encrypted_files_go_into_a_zip_archive_and_out_of_it(client, tmp_path):
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        for name, content in FILES.items():
            with client.encrypting_reader(io.BytesIO(content)) as reader, archive.open(name, "w") as member:
                shutil.copyfileobj(reader, member)
    found = {}
    with zipfile.ZipFile(tmp_path / "zip") as archive:
        for name in archive.namelist():
            target = io.BytesIO()
            with archive.open(name) as member, client.decrypting_writer(target) as writer:
                shutil.copyfileobj(member, writer)
            found[name] = target.getvalue()
    assert found == FILES


def test_an_archive_that_is_given_up_is_no_message(client, tmp_path):
    def give_up():
        with client.open(tmp_path / "file", "wb") as writer, tarfile.open(fileobj=writer, mode="w|") as tar:
            tar.addfile(tarfile.TarInfo("empty"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        give_up()
    assert list(tmp_path.iterdir()) == []


# --- compression -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [gzip, lzma], ids=["gzip", "lzma"])
def test_what_is_compressed_is_encrypted(module, client, plaintext):
    file = io.BytesIO()
    with client.open(file, "wb") as writer, module.open(writer, "wb") as compressed:
        compressed.write(plaintext)
    file.seek(0)
    with client.open(file) as reader, module.open(reader, "rb") as compressed:
        assert compressed.read() == plaintext


def test_what_is_encrypted_is_compressed(client, tmp_path):
    plaintext = bytes(10_000)
    with gzip.open(tmp_path / "file.gz", "wb") as below, client.open(below, "wb") as writer:
        writer.write(plaintext)
    with gzip.open(tmp_path / "file.gz", "rb") as below, client.open(below) as reader:
        assert reader.read() == plaintext


def test_a_compressed_file_is_decompressed_on_its_way_into_a_message(client, plaintext, tmp_path):
    (tmp_path / "file.gz").write_bytes(gzip.compress(plaintext))
    with gzip.open(tmp_path / "file.gz") as below, client.encrypting_reader(below) as reader:
        message = reader.read()
    assert client.decrypt(message).plaintext == plaintext


def test_plaintext_is_compressed_on_its_way_out_of_a_message(client, plaintext, tmp_path):
    message = client.encrypt(plaintext).ciphertext
    with gzip.open(tmp_path / "file.gz", "wb") as below, client.decrypting_writer(below) as writer:
        writer.write(message)
    assert gzip.decompress((tmp_path / "file.gz").read_bytes()) == plaintext


# --- text and objects ------------------------------------------------------------------------------------------------


def test_text_over_the_plaintext_side(client):
    file = io.BytesIO()
    text = io.TextIOWrapper(client.open(file, "wb"), encoding="utf-8", newline="")
    csv.writer(text).writerows([["größe", "1"], ["line\nbreak", "2"]])
    text.close()
    file.seek(0)
    with io.TextIOWrapper(client.open(file), encoding="utf-8", newline="") as text:
        assert list(csv.reader(text)) == [["größe", "1"], ["line\nbreak", "2"]]


def test_objects_are_written_and_read_one_after_the_other(client):
    objects = [{"größe": 1}, list(range(100)), "text"]
    file = io.BytesIO()
    with client.open(file, "wb") as writer:
        for each in objects:
            pickle.dump(each, writer)
    file.seek(0)
    with client.open(file) as reader:
        assert [pickle.load(reader) for _ in objects] == objects


def test_json_is_written_and_read(client):
    file = io.BytesIO()
    with client.open(file, "wt", encoding="utf-8") as text:
        json.dump({"größe": [1, 2]}, text)
    file.seek(0)
    with client.open(file, "rt", encoding="utf-8") as text:
        assert json.load(text) == {"größe": [1, 2]}


# --- one over the other ----------------------------------------------------------------------------------------------


def test_a_message_is_encrypted_under_another_key_without_its_plaintext_on_a_disk(client, signing_client, plaintext):
    old = io.BytesIO(client.encrypt(plaintext).ciphertext)
    new = io.BytesIO()
    with client.open(old) as decrypting, signing_client.encrypting_reader(decrypting) as reader:
        shutil.copyfileobj(reader, new, 100)
    assert signing_client.decrypt(new.getvalue()).plaintext == plaintext


def test_so_it_is_from_the_writing_side(client, signing_client, plaintext):
    old = io.BytesIO(client.encrypt(plaintext).ciphertext)
    new = io.BytesIO()
    with signing_client.open(new, "wb") as encrypting, client.decrypting_writer(encrypting) as writer:
        shutil.copyfileobj(old, writer, 100)
    assert signing_client.decrypt(new.getvalue()).plaintext == plaintext


def test_an_altered_message_becomes_none_under_another_key(client, signing_client, plaintext, tmp_path):
    altered = bytearray(client.encrypt(plaintext).ciphertext)
    altered[-1] ^= 1
    for copy in (_read_through, _written_through):
        with pytest.raises(Exception, match="does not authenticate"):
            copy(client, signing_client, io.BytesIO(altered), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def _read_through(old_client, new_client, old, path):
    with new_client.open(path, "wb") as writer, old_client.open(old) as reader:
        shutil.copyfileobj(reader, writer, 100)


def _written_through(old_client, new_client, old, path):
    with new_client.open(path, "wb") as encrypting, old_client.decrypting_writer(encrypting) as writer:
        shutil.copyfileobj(old, writer, 100)
