"""File objects hold message keys, and the end of a message: there are no second ones."""

from __future__ import annotations

import copy
import io
import pickle

import pytest

OPENERS = {
    "decrypting reader": lambda client, path, message: client.open(io.BytesIO(message)),
    "encrypting reader": lambda client, path, message: client.encrypting_reader(io.BytesIO(b"attack at dawn")),
    "encrypting writer": lambda client, path, message: client.open(path, "wb"),
    "decrypting writer": lambda client, path, message: client.decrypting_writer(path),
}


@pytest.mark.parametrize("refused", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("name", OPENERS)
def test_no_stream_can_be_pickled_or_copied(name, refused, client, tmp_path, plaintext):
    message = client.encrypt(plaintext).ciphertext
    stream = OPENERS[name](client, tmp_path / "target", message)
    with pytest.raises(TypeError, match=f"the {name} holds a message key: it cannot be pickled or copied"):
        refused(stream)
    # Reading or writing goes on as if nobody had tried.
    with stream:
        if stream.readable():
            assert stream.read()
        else:
            stream.write(message)
