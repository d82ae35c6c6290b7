"""What is kept at hand: it is bounded, never stale, wiped when dropped, and shared by threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.catalogue import Catalogue
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Key, Material
from envelope_sdk.local_kms.store.sqlite import SqliteStore

_SCOPE = Scope("000000000000", "us-east-1")
_MESSAGE = bytes(16)


def _create(kms: LocalKms) -> tuple[str, str]:
    metadata = kms.create_key()["KeyMetadata"]
    return metadata["KeyId"], metadata["CurrentKeyMaterialId"]


def _held(catalogue: Catalogue) -> list[Material]:
    return list(catalogue._kept._materials.values())


def test_a_second_look_does_not_reach_the_store(store: SqliteStore, kms: LocalKms) -> None:
    key_id, _ = _create(kms)
    view = Catalogue(store).view()
    first = view.key(_SCOPE, key_id)
    assert isinstance(first, Key)
    assert view.key(_SCOPE, key_id) is first


def test_a_change_empties_it(store: SqliteStore, kms: LocalKms) -> None:
    key_id, material_id = _create(kms)
    catalogue = Catalogue(store)
    view = catalogue.view()
    view.message_cipher(_SCOPE, material_id, _MESSAGE)
    (held,) = _held(catalogue)
    kms.disable_key(KeyId=key_id)
    key = catalogue.view().key(_SCOPE, key_id)
    assert key is not None
    assert key.state == "Disabled"
    assert _held(catalogue) == []
    assert held.secret == bytes(32)


def test_a_call_that_began_before_a_change_leaves_nothing_behind(store: SqliteStore, kms: LocalKms) -> None:
    key_id, material_id = _create(kms)
    catalogue = Catalogue(store)
    old = catalogue.view()
    kms.disable_key(KeyId=key_id)
    new = catalogue.view()
    old.key(_SCOPE, key_id)
    old.message_cipher(_SCOPE, material_id, _MESSAGE)
    assert _held(catalogue) == []
    assert len(catalogue._kept._records) == 0
    assert new.message_cipher(_SCOPE, material_id, _MESSAGE) is not None


def test_material_pushed_out_is_wiped(store: SqliteStore, kms: LocalKms) -> None:
    materials = [_create(kms)[1] for _ in range(3)]
    catalogue = Catalogue(store, capacity=2)
    view = catalogue.view()
    view.message_cipher(_SCOPE, materials[0], _MESSAGE)
    (first,) = _held(catalogue)
    for material_id in materials[1:]:
        view.message_cipher(_SCOPE, material_id, _MESSAGE)
    assert len(_held(catalogue)) == 2
    assert first.secret == bytes(32)


def test_pushed_out_material_still_serves(store: SqliteStore, kms: LocalKms) -> None:
    materials = [_create(kms)[1] for _ in range(5)]
    view = Catalogue(store, capacity=2).view()
    ciphers = [view.message_cipher(_SCOPE, material_id, _MESSAGE) for material_id in materials * 2]
    sealed = [cipher.encrypt(bytes(12), b"x", None) for cipher in ciphers if cipher is not None]
    assert sealed[:5] == sealed[5:]
    assert len(set(sealed)) == 5


def test_closing_wipes_it(store: SqliteStore, kms: LocalKms) -> None:
    _, material_id = _create(kms)
    catalogue = Catalogue(store)
    catalogue.view().message_cipher(_SCOPE, material_id, _MESSAGE)
    (held,) = _held(catalogue)
    catalogue.close()
    assert held.secret == bytes(32)


def test_a_call_between_closing_it_and_closing_the_store_leaves_nothing_behind(store: SqliteStore) -> None:
    kms = LocalKms(store)
    key_id, _ = _create(kms)
    catalogue = kms._service._catalogue
    catalogue.close()
    assert kms.encrypt(KeyId=key_id, Plaintext=b"x")["KeyId"].endswith(key_id)
    assert _held(catalogue) == []
    assert len(catalogue._kept._records) == 0
    kms.close()


def test_material_in_use_is_not_overwritten_by_a_change(store: SqliteStore, kms: LocalKms) -> None:
    key_id, material_id = _create(kms)
    catalogue = Catalogue(store)
    view = catalogue.view()
    secrets: list[bytes] = []

    def use(material: Material) -> None:
        kms.disable_key(KeyId=key_id)
        catalogue.view()
        secrets.append(bytes(material.secret))

    for _ in range(2):
        view.with_material(_SCOPE, material_id, use)
    assert secrets[0] == secrets[1] != bytes(32)


def test_material_is_wiped_with_a_catalogue_that_nobody_closed(store: SqliteStore, kms: LocalKms) -> None:
    _, material_id = _create(kms)
    catalogue = Catalogue(store)
    catalogue.view().message_cipher(_SCOPE, material_id, _MESSAGE)
    (held,) = _held(catalogue)
    del catalogue
    assert held.secret == bytes(32)


def test_what_is_not_there_is_asked_for_again(store: SqliteStore, kms: LocalKms) -> None:
    view = Catalogue(store).view()
    assert view.key(_SCOPE, "none") is None
    assert view.alias(_SCOPE, "alias/none") is None
    assert view.message_cipher(_SCOPE, "none", _MESSAGE) is None
    assert view.key_of_material(_SCOPE, "none") is None


def test_neither_it_nor_its_materials_show_or_copy_secrets(store: SqliteStore) -> None:
    material = Material("key", "id", kms_time(), bytearray(b"hidden"))
    assert "hidden" not in repr(material)
    assert "hidden" not in repr(Catalogue(store))
    for thing in (material, Catalogue(store), store):
        with pytest.raises(TypeError, match="cannot be pickled"):
            thing.__reduce__()


def kms_time() -> Any:
    with LocalKms.in_memory() as kms:
        return kms.create_key()["KeyMetadata"]["CreationDate"]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["file", "memory"])
def test_threads_share_one_kms(where: str, database: Path) -> None:
    with LocalKms.open(database) if where == "file" else LocalKms.in_memory() as kms:

        def work(number: int) -> set[str]:
            made: set[str] = set()
            for turn in range(10):
                key_id = kms.create_key()["KeyMetadata"]["KeyId"]
                made.add(key_id)
                context = {"turn": f"{number}/{turn}"}
                answer = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext=context)
                opened = kms.decrypt(CiphertextBlob=answer["CiphertextBlob"], EncryptionContext=context)
                assert opened["Plaintext"] == answer["Plaintext"]
            return made

        with ThreadPoolExecutor(8) as pool:
            made = [key_id for keys in pool.map(work, range(8)) for key_id in keys]
        assert len(set(made)) == 80
        assert {entry["KeyId"] for entry in kms.list_keys(Limit=1000)["Keys"]} == set(made)


@pytest.mark.slow
def test_threads_that_decrypt_while_others_write_get_their_plaintext(database: Path) -> None:
    with LocalKms.open(database) as kms:
        blobs = [
            kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=bytes([n]))["CiphertextBlob"]
            for n in range(1, 9)
        ]

        def decrypt(number: int) -> bool:
            opened = (kms.decrypt(CiphertextBlob=blobs[number])["Plaintext"] for _ in range(200))
            return all(plaintext == bytes([number + 1]) for plaintext in opened)

        with ThreadPoolExecutor(10) as pool:
            writers = [pool.submit(lambda: [kms.create_key() for _ in range(30)]) for _ in range(2)]
            assert all(pool.map(decrypt, range(8)))
            for writer in writers:
                writer.result()
