"""Files that appear whole or not at all."""

from __future__ import annotations

import gc
import io
import os
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from envelope_sdk.errors import StreamError
from envelope_sdk.streams import AtomicFile


class NamedFile(AtomicFile):
    """The file as it is where the system has no files without a name."""

    def _create_unnamed(self):
        return None


@pytest.fixture(params=[AtomicFile, NamedFile], ids=["unnamed", "named"])
def atomic(request):
    return request.param


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def names_in(directory):
    return sorted(entry.name for entry in directory.iterdir())


# --- commit and discard ----------------------------------------------------------------------------------------------


def test_a_committed_file_takes_its_name(atomic, path):
    file = atomic(path)
    file.write(b"new")
    assert not path.exists()
    file.commit()
    assert file.closed
    assert path.read_bytes() == b"new"
    assert names_in(path.parent) == ["file"]


def test_a_committed_file_replaces_an_older_one(atomic, path):
    path.write_bytes(b"old and longer")
    with atomic(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert names_in(path.parent) == ["file"]


def test_a_reader_of_the_older_file_keeps_reading_it(atomic, path):
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        with atomic(path) as file:
            file.write(b"new")
        assert reader.read() == b"old"


@pytest.mark.parametrize("end", [lambda file: file.close(), lambda file: None], ids=["closed", "dropped"])
def test_a_file_that_is_not_committed_leaves_nothing(end, atomic, path):
    path.write_bytes(b"old")
    file = atomic(path)
    file.write(b"new")
    end(file)
    del file
    gc.collect()
    assert path.read_bytes() == b"old"
    assert names_in(path.parent) == ["file"]


def test_a_block_that_raises_leaves_nothing(atomic, path):
    def write():
        with atomic(path) as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert names_in(path.parent) == []


def test_a_block_that_ends_well_without_a_file_says_so(atomic, path):
    with (
        pytest.raises(StreamError, match="closed before its block ended"),
        atomic(path) as file,
        io.BufferedWriter(file) as buffered,
    ):
        buffered.write(b"new")
    assert names_in(path.parent) == []


def test_what_writes_through_a_file_may_commit_it_before_it_closes_it(atomic, path):
    with atomic(path) as file, io.BufferedWriter(file) as buffered:
        buffered.write(b"new")
        buffered.flush()
        file.commit()
    assert path.read_bytes() == b"new"


def test_a_file_is_committed_once(atomic, path):
    file = atomic(path)
    file.commit()
    with pytest.raises(StreamError, match="closed already"):
        file.commit()
    file.close()


def test_a_block_may_commit_before_it_ends(atomic, path):
    with atomic(path) as file:
        file.write(b"new")
        file.commit()
    assert path.read_bytes() == b"new"


def test_an_open_file_says_that_it_is_for_writing_and_which_it_is(atomic, path):
    with atomic(path) as file:
        assert file.writable()
        assert not file.readable()
        assert os.fstat(file.fileno()).st_size == 0


def test_a_closed_file_refuses_to_write(atomic, path):
    file = atomic(path)
    file.close()
    for action in (lambda: file.write(b"x"), file.fileno):
        with pytest.raises(ValueError, match="closed"):
            action()


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["x" * 255, "é" * 127, "😀" * 63, "with space", ".hidden", "new\nline", "\udcff"],
    ids=["255-ascii", "254-latin", "252-emoji", "space", "hidden", "newline", "not-utf8"],
)
def test_any_name_that_the_system_takes(name, atomic, tmp_path):
    with atomic(tmp_path / name) as file:
        file.write(b"new")
    assert names_in(tmp_path) == [name]


def test_paths_may_be_text_and_relative(atomic, path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with atomic("file") as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_change_of_directory_while_writing_changes_nothing(atomic, path, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(path.parent)
    file = atomic("file")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    file.write(b"new")
    file.commit()
    assert path.read_bytes() == b"new"


def test_a_link_is_followed(atomic, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to("target")
    with atomic(link) as file:
        assert file.target == target
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_link_to_nothing_is_followed(atomic, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("target")
    with atomic(link, overwrite=False) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


# --- permissions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o277, 0o777], ids=lambda mask: f"{mask:03o}")
def test_a_file_is_its_owner_s_whatever_the_umask(mask, atomic, path):
    with umask(mask), atomic(path) as file:
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_readable_file_is_replaced_by_a_private_one(atomic, path):
    path.write_bytes(b"old")
    path.chmod(0o644)
    with atomic(path) as file:
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- where no file can be --------------------------------------------------------------------------------------------


def test_a_missing_directory_is_named_in_the_error(atomic, tmp_path):
    target = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        atomic(target)
    assert caught.value.filename == str(target)


def test_a_file_in_the_place_of_the_directory_is_an_error(atomic, path):
    path.write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        atomic(path / "below")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_directory_that_cannot_be_written_is_an_error(atomic, path):
    path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            atomic(path)
    finally:
        path.parent.chmod(0o700)


def test_a_file_system_that_takes_no_files_is_an_error(atomic):
    with pytest.raises(OSError) as caught:
        atomic("/proc/self/no-such-file")
    assert caught.value.filename == "/proc/self/no-such-file"


@pytest.mark.parametrize("target", ["/dev/null", "."], ids=["device", "directory"])
def test_what_is_no_regular_file_is_not_replaced(target, atomic):
    with pytest.raises(OSError, match="not a regular file"):
        atomic(target)


def test_a_pipe_is_not_replaced(atomic, path):
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        atomic(path)


# --- without overwriting ---------------------------------------------------------------------------------------------


def test_an_existing_file_is_refused_at_once(atomic, path):
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError) as caught:
        atomic(path, overwrite=False)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"


def test_a_new_file_takes_its_name_without_overwriting(atomic, path):
    with atomic(path, overwrite=False) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert names_in(path.parent) == ["file"]


def test_a_file_that_appears_meanwhile_is_not_replaced(atomic, path):
    file = atomic(path, overwrite=False)
    file.write(b"new")
    path.write_bytes(b"somebody else's")
    with pytest.raises(FileExistsError):
        file.commit()
    assert file.closed
    assert path.read_bytes() == b"somebody else's"
    assert names_in(path.parent) == ["file"]


def test_the_client_s_exclusive_mode_does_not_replace_it_either(client, path):
    writer = client.open(path, "x")
    writer.write(b"plaintext")
    path.write_bytes(b"somebody else's")
    with pytest.raises(FileExistsError):
        writer.close()
    assert writer.closed
    assert path.read_bytes() == b"somebody else's"
    assert names_in(path.parent) == ["file"]


# --- a full disk, a killed process -----------------------------------------------------------------------------------

CLIENT = """
import os, resource, signal, sys
from pathlib import Path
from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring
client = Client(RawAesKeyring("test", "key-1", bytes(range(32))))
path = Path(sys.argv[1])
"""


def run(program, path):
    return subprocess.run(
        [sys.executable, "-c", CLIENT + program, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("size", [10, 50_000_000], ids=["in-closing", "in-writing"])
def test_a_full_disk_is_an_error_and_keeps_the_old_file(size, path):
    path.write_bytes(b"old")
    done = run(
        f"""
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size // 2 + 190}, before[1]))
try:
    with client.open(path, "w") as file:
        file.write(bytes({size}))
except OSError as error:
    print(type(error).__name__, os.strerror(error.errno))
resource.setrlimit(resource.RLIMIT_FSIZE, before)  # what measures the tests writes at the end
""",
        path,
    )
    assert done.stderr == ""
    assert done.stdout == "OSError File too large\n"
    assert path.read_bytes() == b"old"
    assert names_in(path.parent) == ["file"]


def test_a_killed_process_leaves_nothing_and_the_old_file(path):
    path.write_bytes(b"old")
    done = run(
        """
file = client.open(path, "w")
file.write(bytes(5_000_000))
file.flush()
os.kill(os.getpid(), signal.SIGKILL)
""",
        path,
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert names_in(path.parent) == ["file"]


def test_a_process_that_ends_without_closing_leaves_the_old_file(path):
    path.write_bytes(b"old")
    done = run('file = client.open(path, "w")\nfile.write(bytes(5_000_000))\n', path)
    assert done.returncode == 0
    assert path.read_bytes() == b"old"
    assert names_in(path.parent) == ["file"]


def test_a_forked_child_that_ends_leaves_the_parent_s_file_alone(path):
    done = run(
        """
with client.open(path, "w") as file:
    file.write(b"plaintext")
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
print(client.decrypt(path.read_bytes()).plaintext)
""",
        path,
    )
    assert done.stdout == "b'plaintext'\n"
    assert Path(path).exists()
