"""Parquet modular encryption with keyrings, by pyarrow."""

# ruff: noqa: E402 - what is imported first may be missing, and skips the module

from __future__ import annotations

import base64
import copy
import json
import pickle
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.guides import example
from testkit.keyrings import StaticDataKeyring
from testkit.own_vectors import Case, read_all

pa = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet.encryption", reason="pyarrow is built without Parquet encryption")

import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem
from pyarrow.parquet.encryption import DecryptionConfiguration, EncryptionConfiguration, KmsConnectionConfig

from envelope_sdk import Client, CommitmentPolicy, EnvelopeError, Limits, errors
from envelope_sdk.errors import (
    AuthenticationError,
    ContextMismatchError,
    KmsError,
    MessageError,
    NoMatchingKeyError,
    UsageError,
)
from envelope_sdk.integrations.parquet import KeyringKmsClient, crypto_factory, require_encrypted_footer
from envelope_sdk.keyrings import KmsKeyring, MultiKeyring, RawAesKeyring
from envelope_sdk.keyrings.key_files import encode_aes_key_file
from envelope_sdk.keyrings.kms.calls import counted_calls
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import CachingMaterialsManager

TABLE = pa.table({"id": [1, 2, 3], "email": ["zoë", "anna", None], "amount": [1.5, 2.5, 3.5], "open": [True] * 3})
FOOTER, PEOPLE, MONEY = "shop-footer", "shop-people", "shop-money"
NAMES = (FOOTER, PEOPLE, MONEY)
COLUMNS = {PEOPLE: ["email"], MONEY: ["amount"]}


def client_with(number: int) -> Client:
    return Client(RawAesKeyring("test", f"key-{number}", bytes([number]) * 32))


def each_its_own() -> dict[str, Client | str]:
    return {name: client_with(number) for number, name in enumerate(NAMES)}


def configuration(**options: Any) -> EncryptionConfiguration:
    return EncryptionConfiguration(
        footer_key=FOOTER, **({"column_keys": COLUMNS, "data_key_length_bits": 256} | options)
    )


def write(path: Path, keys: Any, table: Any = TABLE, conf: dict[str, str] | None = None, **options: Any) -> None:
    where = {} if options.get("internal_key_material", True) else {"parquet_file_path": str(path)}
    more = {"filesystem": LocalFileSystem()} if where else {}
    connection = KmsConnectionConfig(custom_kms_conf=conf)
    properties = crypto_factory(keys).file_encryption_properties(connection, configuration(**options), **where, **more)
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)


def read(path: Path, keys: Any, *columns: str, conf: dict[str, str] | None = None, external: bool = False) -> Any:
    connection = KmsConnectionConfig(custom_kms_conf=conf)
    where: tuple[Any, ...] = (DecryptionConfiguration(), str(path), LocalFileSystem()) if external else ()
    properties = crypto_factory(keys).file_decryption_properties(connection, *where)
    return pq.ParquetFile(path, decryption_properties=properties).read(columns=list(columns) or None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.parquet"


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("double_wrapping", [True, False], ids=["double", "single"])
@pytest.mark.parametrize("plaintext_footer", [True, False], ids=["footer in clear", "footer encrypted"])
@pytest.mark.parametrize("internal_key_material", [True, False], ids=["keys inside", "keys beside"])
def test_a_file_comes_back(path: Path, double_wrapping: bool, plaintext_footer: bool, internal_key_material: bool):
    write(
        path,
        each_its_own(),
        double_wrapping=double_wrapping,
        plaintext_footer=plaintext_footer,
        internal_key_material=internal_key_material,
    )

    assert read(path, each_its_own(), external=not internal_key_material) == TABLE
    assert ("zoë".encode() in path.read_bytes()) is False


@pytest.mark.parametrize("algorithm", ["AES_GCM_V1", "AES_GCM_CTR_V1"])
@pytest.mark.parametrize("bits", [128, 192, 256])
def test_every_algorithm_and_length_of_keys(path: Path, algorithm: str, bits: int):
    write(path, each_its_own(), encryption_algorithm=algorithm, data_key_length_bits=bits)

    assert read(path, each_its_own()) == TABLE


def test_one_client_serves_every_name(path: Path):
    write(path, client_with(1))

    assert read(path, client_with(1)) == TABLE


def test_one_key_for_all_columns(path: Path):
    write(path, {FOOTER: client_with(1)}, column_keys=None, uniform_encryption=True)

    assert read(path, {FOOTER: client_with(1)}) == TABLE


def test_keys_named_by_uri_in_the_configuration_of_the_connection(path: Path, tmp_path: Path):
    conf = {}
    for number, name in enumerate(NAMES):
        key = tmp_path / f"{name}.key"
        key.write_bytes(encode_aes_key_file("shop", name, bytes([number]) * 32))
        key.chmod(0o600)
        conf[name] = f"raw-aes://{key}"

    write(path, None, conf=conf)

    assert read(path, None, conf=conf) == TABLE
    assert read(path, conf) == TABLE


def test_one_factory_does_not_take_the_keys_of_one_connection_for_another(path: Path, tmp_path: Path):
    """pyarrow would: it keeps the first client for all connections with the same token."""
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(encode_aes_key_file("shop", name, name.encode().ljust(32)))
        (tmp_path / name).chmod(0o600)
    one, two = ({FOOTER: f"raw-aes://{tmp_path / name}"} for name in ("one", "two"))
    options = EncryptionConfiguration(footer_key=FOOTER, column_keys={FOOTER: ["email"]})
    factory = crypto_factory()
    factory.file_encryption_properties(KmsConnectionConfig(custom_kms_conf=one), options)

    with pytest.raises(UsageError, match="another one for others"):
        factory.file_encryption_properties(KmsConnectionConfig(custom_kms_conf=two), options)
    with pytest.raises(UsageError, match="another one for others"):
        factory.file_decryption_properties(KmsConnectionConfig(custom_kms_conf=two))
    other = KmsConnectionConfig(custom_kms_conf=two, key_access_token="two")
    with pq.ParquetWriter(
        path, TABLE.schema, encryption_properties=factory.file_encryption_properties(other, options)
    ) as writer:
        writer.write_table(TABLE)
    assert read(path, None, conf=two) == TABLE
    with pytest.raises(NoMatchingKeyError):
        read(path, None, conf=one)


def test_pandas_writes_and_reads(path: Path):
    pandas = pytest.importorskip("pandas")
    factory, connection = crypto_factory(each_its_own()), KmsConnectionConfig()
    frame = pandas.DataFrame({"id": [1, 2], "email": ["zoë", "anna"], "amount": [1.5, 2.5]})

    frame.to_parquet(path, encryption_properties=factory.file_encryption_properties(connection, configuration()))

    require_encrypted_footer(path)
    back = pandas.read_parquet(path, decryption_properties=factory.file_decryption_properties(connection))
    assert back.to_dict("list") == frame.to_dict("list")


def test_a_dataset_is_written_and_read(tmp_path: Path):
    factory, connection = crypto_factory(each_its_own()), KmsConnectionConfig()
    written = ds.ParquetFileFormat().make_write_options(
        encryption_config=ds.ParquetEncryptionConfig(factory, connection, configuration(plaintext_footer=False))
    )
    ds.write_dataset(
        TABLE, tmp_path / "set", format="parquet", file_options=written, partitioning=["id"], partitioning_flavor="hive"
    )
    decryption = ds.ParquetDecryptionConfig(factory, connection, DecryptionConfiguration())
    scan = ds.ParquetFragmentScanOptions(decryption_config=decryption)

    found = ds.dataset(
        tmp_path / "set", format=ds.ParquetFileFormat(default_fragment_scan_options=scan), partitioning="hive"
    )

    assert found.to_table(columns=TABLE.column_names).sort_by("id").to_pydict() == TABLE.to_pydict()
    assert found.to_table(filter=ds.field("id") == 2, columns=["email"]).to_pydict() == {"email": ["anna"]}


# --- who may read what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plaintext_footer", [True, False], ids=["footer in clear", "footer encrypted"])
def test_the_key_of_one_column_opens_that_column_and_no_other(path: Path, plaintext_footer: bool):
    write(path, each_its_own(), plaintext_footer=plaintext_footer)
    some = {name: client for name, client in each_its_own().items() if name != MONEY}

    assert read(path, some, "id", "email", "open") == TABLE.select(["id", "email", "open"])
    with pytest.raises(NoMatchingKeyError, match=MONEY):
        read(path, some, "amount")
    with pytest.raises(NoMatchingKeyError, match=MONEY):
        read(path, some)


def test_another_key_of_the_same_name_does_not_open(path: Path):
    write(path, each_its_own())

    with pytest.raises(NoMatchingKeyError):
        read(path, each_its_own() | {PEOPLE: client_with(9)}, "email")


def test_a_name_without_a_key_is_refused_before_anything_is_written(path: Path):
    with pytest.raises(UsageError, match=MONEY):
        write(path, {FOOTER: client_with(1), PEOPLE: client_with(1)})

    assert not path.exists()


def test_a_key_service_that_refuses_is_told_as_it_is(path: Path):
    kms = LocalKms.in_memory()
    key = kms.create_key()["KeyMetadata"]["Arn"]
    write(path, Client(KmsKeyring(kms, key)))
    kms.disable_key(KeyId=key)

    with pytest.raises(KmsError) as wrapping:
        write(path.with_name("other"), Client(KmsKeyring(kms, key)))
    with pytest.raises(EnvelopeError) as unwrapping:
        read(path, Client(KmsKeyring(kms, key)))

    assert "DisabledException" in str(wrapping.value) or "disabled" in str(wrapping.value)
    assert "disabled" in str(unwrapping.value)


def test_a_file_in_clear_in_the_place_of_an_encrypted_one_is_noticed(path: Path):
    """Not by pyarrow, which reads it."""
    pq.write_table(TABLE, path)
    assert read(path, each_its_own()) == TABLE

    with pytest.raises(MessageError, match="in clear"):
        require_encrypted_footer(path)
    with path.open("rb") as file, pytest.raises(MessageError, match="in clear"):
        require_encrypted_footer(file)


@pytest.mark.parametrize("data", [b"", b"PAR", b"no Parquet file"])
def test_what_is_no_parquet_file_is_noticed(path: Path, data: bytes):
    path.write_bytes(data)

    with pytest.raises(MessageError, match="no Parquet file"):
        require_encrypted_footer(str(path))


def test_an_encrypted_footer_is_what_is_required(path: Path):
    write(path, each_its_own())

    with path.open("rb") as file:
        require_encrypted_footer(file)
        assert file.tell() == 0
    write(path, each_its_own(), plaintext_footer=True)
    with pytest.raises(MessageError, match="in clear"):
        require_encrypted_footer(path)


# --- wrapped keys ----------------------------------------------------------------------------------------------------


@given(key=st.binary(max_size=64), name=st.text(max_size=20))
def test_a_key_is_wrapped_and_unwrapped(key: bytes, name: str):
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    kms = KeyringKmsClient(client_with(1))

    assert kms.unwrap_key(kms.wrap_key(key, name), name) == key


def test_a_wrapped_key_is_a_message_bound_to_the_name():
    wrapped = KeyringKmsClient(client_with(1)).wrap_key(bytes(16), FOOTER)

    opened = client_with(1).decrypt(base64.b64decode(wrapped))
    assert opened.plaintext == bytes(16)
    assert dict(opened.header.encryption_context) == {"parquet-master-key": FOOTER}


def test_a_key_wrapped_under_one_name_does_not_unwrap_under_another():
    kms = KeyringKmsClient(client_with(1))

    with pytest.raises(ContextMismatchError):
        kms.unwrap_key(kms.wrap_key(bytes(16), FOOTER), PEOPLE)


def test_an_altered_wrapped_key_is_refused_wherever_it_was_altered():
    kms = KeyringKmsClient(client_with(1))
    message = base64.b64decode(kms.wrap_key(bytes(16), FOOTER))

    for position in range(len(message)):
        altered = message[:position] + bytes([message[position] ^ 1]) + message[position + 1 :]
        with pytest.raises(EnvelopeError):
            kms.unwrap_key(base64.b64encode(altered), FOOTER)


@pytest.mark.parametrize("wrapped", ["", "????", "AgV4\n", "AgV", "é"])
def test_what_is_no_wrapped_key_is_refused(wrapped: str):
    with pytest.raises(MessageError):
        KeyringKmsClient(client_with(1)).unwrap_key(wrapped, FOOTER)


@pytest.mark.parametrize("added", ["\n", " ", "!", "="])
def test_a_wrapped_key_has_one_spelling(added: str):
    kms = KeyringKmsClient(client_with(1))

    with pytest.raises(MessageError):
        kms.unwrap_key(added + kms.wrap_key(bytes(16), FOOTER), FOOTER)


class Unbound(KeyringKmsClient):
    """The vectors are of no name: most have no context."""

    def encryption_context(self, master_key_identifier: str) -> dict[str, str]:
        return {}


@pytest.mark.parametrize("case", read_all(), ids=lambda case: case.name)
def test_every_vector_as_a_wrapped_key(case: Case):
    policy = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
    kms = Unbound(Client(StaticDataKeyring(case.key), commitment_policy=policy, limits=Limits(**case.limits)))
    wrapped = base64.b64encode(case.message).decode()
    if case.expect == "ok":
        assert kms.unwrap_key(wrapped, FOOTER) == case.plaintext
        return

    with pytest.raises(EnvelopeError) as caught:
        kms.unwrap_key(wrapped, FOOTER)
    assert type(caught.value) is getattr(errors, case.expect)


def key_material(path: Path) -> tuple[Path, dict[str, str]]:
    (beside,) = (found for found in path.parent.iterdir() if "KEY_MATERIAL" in found.name)
    return beside, json.loads(beside.read_text())


def altered(entry: str, change: Callable[[dict[str, Any]], None]) -> str:
    fields = json.loads(entry)
    change(fields)
    return json.dumps(fields)


def flip(fields: dict[str, Any]) -> None:
    message = bytearray(base64.b64decode(fields["wrappedKEK"]))
    message[-1] ^= 1
    fields["wrappedKEK"] = base64.b64encode(message).decode()


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], type[EnvelopeError]]] = {
    "altered": (flip, AuthenticationError),
    "cut short": (lambda fields: fields.update(wrappedKEK=fields["wrappedKEK"][:-8]), MessageError),
    "of another name": (lambda fields: fields.update(masterKeyID=FOOTER), ContextMismatchError),
    "of a name that is a URI": (lambda fields: fields.update(masterKeyID="raw-aes:///etc/passwd"), NoMatchingKeyError),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_key_material_that_somebody_changed_is_refused(path: Path, change: Any, expected: type[EnvelopeError]):
    keys = {name: client_with(1) for name in NAMES}
    write(path, keys, internal_key_material=False)
    beside, material = key_material(path)
    (changed,) = (name for name, entry in material.items() if json.loads(entry)["masterKeyID"] == PEOPLE)
    beside.write_text(json.dumps(material | {changed: altered(material[changed], change)}))

    with pytest.raises(expected):
        read(path, keys, "email", external=True)
    assert read(path, keys, "amount", external=True) == TABLE.select(["amount"])


def test_master_keys_are_rotated_without_touching_the_file(path: Path):
    write(path, client_with(1), internal_key_material=False)
    before = path.read_bytes()
    both = Client(MultiKeyring(generator=keyring(2), children=[keyring(1)]))

    crypto_factory(both).rotate_master_keys(KmsConnectionConfig(), str(path), LocalFileSystem())

    assert path.read_bytes() == before
    assert read(path, client_with(2), external=True) == TABLE


def keyring(number: int) -> RawAesKeyring:
    return RawAesKeyring("test", f"key-{number}", bytes([number]) * 32)


# --- calls to a key service ------------------------------------------------------------------------------------------


def calls_of(work: Callable[[], object]) -> Counter[str]:
    with counted_calls() as counted:
        work()
    return Counter(counted)


def test_calls_for_one_file(path: Path):
    kms = LocalKms.in_memory()
    client = Client(KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"]))

    assert calls_of(lambda: write(path, client)) == {"GenerateDataKey": 3}
    assert calls_of(lambda: read(path, client)) == {"Decrypt": 3}
    assert calls_of(lambda: read(path, client, "email")) == {"Decrypt": 2}


def test_without_double_wrapping_a_caching_manager_spares_calls(path: Path):
    kms = LocalKms.in_memory()
    keyring = KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"])
    with CachingMaterialsManager(keyring, max_age_seconds=300) as manager:
        write(path, Client(keyring), double_wrapping=False)

        assert calls_of(lambda: read(path, Client(keyring)))["Decrypt"] > 3
        assert calls_of(lambda: read(path, Client(materials_manager=manager))) == {"Decrypt": 3}


def test_one_factory_wraps_once_for_many_files(tmp_path: Path):
    kms = LocalKms.in_memory()
    factory = crypto_factory(Client(KmsKeyring(kms, kms.create_key()["KeyMetadata"]["Arn"])))
    connection = KmsConnectionConfig()

    def write_many() -> None:
        for number in range(10):
            properties = factory.file_encryption_properties(connection, configuration())
            with pq.ParquetWriter(tmp_path / str(number), TABLE.schema, encryption_properties=properties) as writer:
                writer.write_table(TABLE)

    def read_many() -> None:
        for number in range(10):
            properties = factory.file_decryption_properties(connection)
            pq.ParquetFile(tmp_path / str(number), decryption_properties=properties).read()

    assert calls_of(write_many) == {"GenerateDataKey": 3}
    assert calls_of(read_many) == {"Decrypt": 3}
    factory.remove_cache_entries_for_all_tokens()
    assert calls_of(read_many) == {"Decrypt": 3}


def test_a_dataset_is_written_with_the_keys_that_were_asked_for_before(tmp_path: Path):
    """The page says to, for an error of a key service within would end the process."""
    kms = LocalKms.in_memory()
    key = kms.create_key()["KeyMetadata"]["Arn"]
    factory, connection = crypto_factory(Client(KmsKeyring(kms, key))), KmsConnectionConfig()
    factory.file_encryption_properties(connection, configuration())
    kms.disable_key(KeyId=key)
    options = ds.ParquetFileFormat().make_write_options(
        encryption_config=ds.ParquetEncryptionConfig(factory, connection, configuration())
    )

    def write_many() -> None:
        limits = {"max_rows_per_file": 1, "max_rows_per_group": 1}
        ds.write_dataset(TABLE, tmp_path / "set", format="parquet", file_options=options, **limits)

    assert calls_of(write_many) == {}
    assert len(list((tmp_path / "set").iterdir())) == 3


# --- the client ------------------------------------------------------------------------------------------------------


def test_nothing_secret_shows():
    assert repr(KeyringKmsClient({"b": client_with(1), "a": client_with(2)})) == "KeyringKmsClient(['a', 'b'])"
    assert repr(KeyringKmsClient(client_with(1))) == "KeyringKmsClient(every name)"


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_not_pickled_or_copied(take: Callable[[Any], Any]):
    with pytest.raises(TypeError):
        take(KeyringKmsClient(client_with(1)))


@pytest.mark.parametrize("given", [None, "raw-aes://key", ["key"], {FOOTER: None}])
def test_what_are_no_master_keys_is_refused(given: Any):
    with pytest.raises(TypeError):
        KeyringKmsClient(given)


# --- docs/parquet.md -------------------------------------------------------------------------------------------------


def test_the_examples_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"table": TABLE}
    for name in ("footer", "people"):
        (tmp_path / f"{name}.key").write_bytes(encode_aes_key_file("shop", name, name[:2].encode() * 16))
        (tmp_path / f"{name}.key").chmod(0o600)

    for mark in ("write", "read", "dataset", "rotate"):
        exec(example("parquet.md", mark), names)

    assert names["everything"] == TABLE
    assert names["some"] == TABLE.select(["id", "amount"])
    assert names["emails"].to_pydict() == {"email": ["zoë", "anna", None]}
    pytest.importorskip("dask.dataframe")
    exec(example("parquet.md", "dask"), names)
    assert names["amounts"].compute(scheduler="sync")["amount"].tolist() == [1.5, 2.5, 3.5]
    assert re.fullmatch(r"_KEY_MATERIAL_FOR_orders2.parquet.json", names["beside"].name)
