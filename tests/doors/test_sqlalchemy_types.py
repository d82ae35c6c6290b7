"""Encrypted columns, with SQLAlchemy over SQLite and PostgreSQL."""

# ruff: noqa: E402 - what is imported first may be missing, and skips the module

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.guides import example
from testkit.keyrings import StaticDataKeyring
from testkit.own_vectors import Case, read_all
from testkit.servers import Postgres, postgres

sqlalchemy = pytest.importorskip("sqlalchemy")

from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    event,
    insert,
    select,
    update,
)
from sqlalchemy import text as sql
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.attributes import flag_modified
from sqlalchemy.schema import CreateTable

from envelope_sdk import Client, CommitmentPolicy, EnvelopeError, Limits, errors
from envelope_sdk.errors import (
    ContextMismatchError,
    KeyringError,
    MessageError,
    NoMatchingKeyError,
    TruncatedMessageError,
    UsageError,
)
from envelope_sdk.integrations.sqlalchemy_types import EncryptedBytes, EncryptedJSON, EncryptedString
from envelope_sdk.keyrings import KmsKeyring, MultiKeyring, RawAesKeyring, keyring_from_uri
from envelope_sdk.keyrings.key_files import encode_aes_key_file
from envelope_sdk.keyrings.kms.calls import counted_calls
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import CachingMaterialsManager

EMAIL = "zoë@example.org"


def keyring(number: int) -> RawAesKeyring:
    return RawAesKeyring("test", f"key-{number}", bytes([number]) * 32)


class Keys:
    """The application's client, which can be replaced."""

    def __init__(self) -> None:
        self.client = Client(keyring(1))

    def __call__(self) -> Client:
        return self.client


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def table(keys: Keys) -> Table:
    return Table(
        "customers",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("email", EncryptedString("customers", "email", client=keys)),
        Column("phone", EncryptedString("customers", "phone", client=keys)),
        Column("scan", EncryptedBytes("customers", "scan", client=keys)),
        Column("notes", EncryptedJSON("customers", "notes", client=keys)),
    )


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
        yield engine
        engine.dispose()
        return
    server: Postgres = request.getfixturevalue("server")
    schema = f"test_{uuid4().hex}"
    server.execute(f"CREATE SCHEMA {schema}")
    engine = create_engine(
        server.url.replace("postgresql://", "postgresql+psycopg://"),
        connect_args={"options": f"-csearch_path={schema}"},
    )
    yield engine
    engine.dispose()
    server.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def sqlite() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    yield engine
    engine.dispose()


def stored(engine: Engine, column: str, row: int = 1) -> bytes:
    with engine.connect() as connection:
        return bytes(connection.execute(sql(f"SELECT {column} FROM customers WHERE id = {row}")).scalar_one())


def overwrite(engine: Engine, column: str, value: Any, row: int = 1) -> None:
    with engine.begin() as connection:
        connection.execute(sql(f"UPDATE customers SET {column} = :value WHERE id = {row}"), {"value": value})


def filled(engine: Engine, table: Table, *rows: dict[str, Any]) -> None:
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(table), list(rows))


def read(engine: Engine, column: Any, row: int = 1) -> Any:
    with engine.connect() as connection:
        return connection.execute(select(column).where(column.table.c.id == row)).scalar_one()


# --- values ----------------------------------------------------------------------------------------------------------

ROWS = {
    "usual": {
        "email": EMAIL,
        "phone": "+49 30 1234",
        "scan": b"\x00\xff" * 20,
        "notes": {"vip": True, "calls": [1, 2]},
    },
    "null": {"email": None, "phone": None, "scan": None, "notes": None},
    "empty": {"email": "", "phone": "", "scan": b"", "notes": {}},
    "unicode": {"email": "日本語\x00🦊\u202e", "phone": "'; --", "scan": "🦊".encode(), "notes": ["🦊", None, 1.5]},
    "large": {"email": "ü" * 200_000, "phone": "1", "scan": bytes(3_000_000), "notes": {"text": "x" * 100_000}},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_value_comes_back(row: dict[str, Any], engine: Engine, table: Table):
    filled(engine, table, {"id": 1} | row)

    with engine.connect() as connection:
        assert connection.execute(select(table)).mappings().one() == {"id": 1} | row


def test_what_is_stored_is_a_message_bound_to_the_column(engine: Engine, table: Table, keys: Keys):
    filled(engine, table, {"id": 1, "email": EMAIL})

    opened = keys.client.decrypt(stored(engine, "email"))

    assert opened.plaintext == EMAIL.encode()
    assert dict(opened.header.encryption_context) == {"table": "customers", "column": "email"}


def test_null_is_null_in_the_database(engine: Engine, table: Table):
    filled(engine, table, {"id": 1, "email": None, "notes": None}, {"id": 2, "email": "", "notes": {}})

    with engine.connect() as connection:
        assert connection.execute(sql("SELECT id FROM customers WHERE email IS NULL")).scalars().all() == [1]
        assert connection.execute(sql("SELECT id FROM customers WHERE notes IS NULL")).scalars().all() == [1]


def test_many_rows_in_one_statement_are_each_a_message_of_their_own(engine: Engine, table: Table):
    filled(engine, table, *({"id": number, "email": EMAIL} for number in range(1, 301)))

    with engine.connect() as connection:
        assert connection.execute(select(table.c.email)).scalars().all() == [EMAIL] * 300
    assert len({stored(engine, "email", number) for number in (1, 2, 300)}) == 3


def test_an_update_and_what_it_returns(engine: Engine, table: Table):
    filled(engine, table, {"id": 1, "email": EMAIL})

    with engine.begin() as connection:
        changed = update(table).values(email="new").where(table.c.id == 1).returning(table.c.email)
        assert connection.execute(changed).scalar_one() == "new"
    assert read(engine, table.c.email) == "new"


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


CLIENT = Client(keyring(1))

DRAWN = Table(
    "t",
    MetaData(),
    Column("text", EncryptedString("t", "text", client=CLIENT)),
    Column("data", EncryptedBytes("t", "data", client=CLIENT)),
    Column("tree", EncryptedJSON("t", "tree", client=CLIENT)),
)


@pytest.fixture(scope="module")
def drawn() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    DRAWN.metadata.create_all(engine)
    yield engine
    engine.dispose()


@given(text=st.text(), data=st.binary(max_size=5000), tree=TREES)
def test_whatever_the_values_they_come_back(drawn: Engine, text: str, data: bytes, tree: Any):
    with drawn.connect() as connection:  # which takes back what was not committed
        connection.execute(insert(DRAWN), {"text": text, "data": data, "tree": tree})

        assert tuple(connection.execute(select(DRAWN)).one()) == (text, data, tree)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("email", b"bytes", TypeError),
        ("email", 3, TypeError),
        ("email", "\ud800", UsageError),
        ("scan", "text", TypeError),
        ("scan", 3, TypeError),
        ("notes", {"what": object()}, UsageError),
        ("notes", float("nan"), UsageError),
        ("notes", "\ud800", UsageError),
    ],
)
def test_what_is_of_another_type_is_refused(
    column: str, value: Any, expected: type[Exception], sqlite: Engine, table: Table
):
    with pytest.raises(expected) as caught:
        filled(sqlite, table, {"id": 1, column: value})

    assert not isinstance(caught.value, StatementError)


# --- what somebody did to the database -------------------------------------------------------------------------------


def test_a_value_of_another_column_does_not_decrypt(engine: Engine, table: Table):
    filled(engine, table, {"id": 1, "email": EMAIL, "phone": "+49"})
    overwrite(engine, "phone", stored(engine, "email"))

    with pytest.raises(ContextMismatchError):
        read(engine, table.c.phone)
    assert read(engine, table.c.email) == EMAIL


def test_a_value_of_another_table_does_not_decrypt(engine: Engine, table: Table, keys: Keys):
    staff = Table("staff", table.metadata, Column("email", EncryptedString("staff", "email", client=keys)))
    filled(engine, table, {"id": 1, "email": EMAIL})
    with engine.begin() as connection:
        connection.execute(sql("INSERT INTO staff SELECT email FROM customers"))

    with engine.connect() as connection, pytest.raises(ContextMismatchError):
        connection.execute(select(staff.c.email)).all()


def test_a_value_of_another_schema_does_not_decrypt(sqlite: Engine, keys: Keys):
    one = EncryptedString("customers", "email", client=keys, context={"schema": "one"})
    two = EncryptedString("customers", "email", client=keys, context={"schema": "two"})
    message = one.process_bind_param(EMAIL, sqlite.dialect)

    assert one.process_result_value(message, sqlite.dialect) == EMAIL
    with pytest.raises(ContextMismatchError):
        two.process_result_value(message, sqlite.dialect)


def test_a_value_of_another_row_is_not_told_apart(engine: Engine, table: Table):
    """A column type does not see the row; the page says so."""
    filled(engine, table, {"id": 1, "email": EMAIL}, {"id": 2, "email": "other"})
    overwrite(engine, "email", stored(engine, "email", 2), row=1)

    assert read(engine, table.c.email) == "other"


def test_an_altered_value_is_refused_wherever_it_was_altered(sqlite: Engine, keys: Keys):
    column = EncryptedString("customers", "email", client=keys)
    message = column.process_bind_param(EMAIL, sqlite.dialect)
    assert message is not None

    for position in range(len(message)):
        altered = bytearray(message)
        altered[position] ^= 1
        with pytest.raises(EnvelopeError):
            column.process_result_value(bytes(altered), sqlite.dialect)


def test_a_value_that_was_cut_short_is_refused(engine: Engine, table: Table):
    filled(engine, table, {"id": 1, "email": EMAIL})
    overwrite(engine, "email", stored(engine, "email")[:-1])

    with pytest.raises(TruncatedMessageError):
        read(engine, table.c.email)


@pytest.mark.parametrize("value", [b"", b"anna@example.org"], ids=["empty", "plaintext"])
def test_plaintext_from_before_is_refused(value: bytes, engine: Engine, table: Table):
    filled(engine, table, {"id": 1, "email": EMAIL})
    overwrite(engine, "email", value)

    with pytest.raises(MessageError):
        read(engine, table.c.email)


def test_text_where_there_should_be_bytes_is_refused(sqlite: Engine, table: Table):
    """SQLite keeps whatever type it is given."""
    filled(sqlite, table, {"id": 1, "email": EMAIL})
    overwrite(sqlite, "email", "anna@example.org")

    with pytest.raises(MessageError, match="str, not bytes"):
        read(sqlite, table.c.email)


def test_without_the_key_nothing_is_read(engine: Engine, table: Table, keys: Keys):
    filled(engine, table, {"id": 1, "email": EMAIL})
    keys.client = Client(keyring(2))

    with pytest.raises(NoMatchingKeyError):
        read(engine, table.c.email)


@pytest.mark.parametrize(("type_", "said"), [(EncryptedString, "no text"), (EncryptedJSON, "not JSON")])
def test_an_authentic_value_of_another_type_is_refused_without_showing_it(
    type_: Any, said: str, sqlite: Engine, keys: Keys
):
    message = EncryptedBytes("t", "c", client=keys).process_bind_param(b"\xffsecret", sqlite.dialect)

    with pytest.raises(MessageError, match=said) as caught:
        type_("t", "c", client=keys).process_result_value(message, sqlite.dialect)
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


VECTORS = read_all()


class Unbound(EncryptedBytes):
    """The vectors are of no column: most have no context."""

    cache_ok = True
    encryption_context: dict[str, str] = {}  # type: ignore[assignment]  # noqa: RUF012


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case.name)
def test_every_vector_as_a_stored_value(case: Case, sqlite: Engine):
    client = Client(
        StaticDataKeyring(case.key),
        commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT,
        limits=Limits(**case.limits),
    )
    made = Table("t", MetaData(), Column("c", Unbound("t", "c", client=client)))
    with sqlite.begin() as connection:
        made.metadata.create_all(connection)
        connection.execute(sql("INSERT INTO t VALUES (:value)"), {"value": case.message})
        if case.expect == "ok":
            assert connection.execute(select(made.c.c)).scalar_one() == case.plaintext
            return
        with pytest.raises(EnvelopeError) as caught:
            connection.execute(select(made)).all()

    assert type(caught.value) is getattr(errors, case.expect)


def test_a_message_of_no_column_does_not_decrypt(engine: Engine, table: Table, keys: Keys):
    filled(engine, table, {"id": 1})
    overwrite(engine, "email", keys.client.encrypt(EMAIL.encode()).ciphertext)

    with pytest.raises(NoMatchingKeyError):
        read(engine, table.c.email)


# --- what a database cannot do with it -------------------------------------------------------------------------------

REFUSED: dict[str, Callable[[Any], Any]] = {
    "equal": lambda column: column == EMAIL,
    "equal, the other way round": lambda column: EMAIL == column,  # noqa: SIM300 - that is what is tested
    "not equal": lambda column: column != EMAIL,
    "less": lambda column: column < EMAIL,
    "in": lambda column: column.in_([EMAIL]),
    "not in": lambda column: column.not_in([None]),
    "between": lambda column: column.between("a", "b"),
    "like": lambda column: column.like("%@example.org"),
    "contains": lambda column: column.contains("example"),
    "ordered": lambda column: column.desc(),
    "distinct": lambda column: column.is_distinct_from(EMAIL),
    "joined": lambda column: column + "x",
    "joined, the other way round": lambda column: "x" + column,
}


@pytest.mark.parametrize("compare", REFUSED.values(), ids=REFUSED)
def test_comparing_messages_is_refused(compare: Callable[[Any], Any], table: Table):
    with pytest.raises(UsageError, match="encrypted differently each time"):
        compare(table.c.email)


@pytest.mark.parametrize("other", ["email", "phone", "id"])
def test_comparing_with_a_column_is_refused_in_a_statement(other: str, sqlite: Engine, table: Table):
    statement = select(table.c.id).where(table.c.email == table.c[other])

    with pytest.raises(UsageError, match="encrypted differently each time"), sqlite.connect() as connection:
        connection.execute(statement)


def test_columns_are_found_in_a_list(table: Table):
    """SQLAlchemy looks for them so; what ``==`` makes of two columns says whether they are one."""
    assert table.c.phone in [table.c.email, table.c.phone]
    assert table.c.phone not in [table.c.email, table.c.id]


def test_whether_there_is_a_value_can_be_asked(engine: Engine, table: Table):
    filled(engine, table, {"id": 1, "email": EMAIL}, {"id": 2, "email": None})
    email = table.c.email

    with engine.connect() as connection:
        for there in (email.is_not(None), email != None, email.is_not(sqlalchemy.null())):  # noqa: E711 - as people write it
            assert connection.execute(select(table.c.id).where(there)).scalars().all() == [1]
        for missing in (email.is_(None), email == None):  # noqa: E711
            assert connection.execute(select(table.c.id).where(missing)).scalars().all() == [2]


def declared(*parts: Any, **options: Any) -> Table:
    column = Column("email", EncryptedString("customers", "email"), **options)
    return Table("customers", MetaData(), Column("id", Integer, primary_key=True), column, *parts)


@pytest.mark.parametrize("option", ["primary_key", "unique", "index"])
def test_a_column_that_would_need_comparing_is_refused_when_it_is_declared(option: str):
    with pytest.raises(UsageError, match=rf"customers\.email cannot be declared with {option}=True: .* differently"):
        declared(**{option: True})


def test_a_column_that_refers_to_another_is_refused_when_it_is_declared():
    referring = Column("phone", EncryptedString("customers", "phone"), sqlalchemy.ForeignKey("customers.id"))

    with pytest.raises(UsageError, match=r"customers\.phone cannot refer to another"):
        declared(referring)


def test_a_model_is_refused_when_it_is_declared():
    class Base(DeclarativeBase):
        pass

    class Mixin:
        email: Mapped[str] = mapped_column(EncryptedString("customers", "email"), unique=True)

    with pytest.raises(UsageError, match="unique=True"):
        type("Customer", (Mixin, Base), {"__tablename__": "customers", "id": mapped_column(Integer, primary_key=True)})


@pytest.mark.parametrize(
    "options",
    [
        {"server_default": "none"},
        {"default": sqlalchemy.func.lower("X")},
        {"onupdate": sqlalchemy.func.lower("X")},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_default_that_the_database_makes_is_refused(options: dict[str, Any]):
    with pytest.raises(UsageError, match="stored in clear"):
        declared(**options)


def test_a_default_of_python_s_is_encrypted(sqlite: Engine, keys: Keys):
    column = Column("email", EncryptedString("customers", "email", client=keys), default=EMAIL)
    made = Table("customers", MetaData(), Column("id", Integer, primary_key=True), column)
    filled(sqlite, made, {"id": 1})

    assert keys.client.decrypt(stored(sqlite, "email")).plaintext == EMAIL.encode()


def test_two_columns_of_a_table_are_not_bound_to_the_same_names():
    copied = Column("phone", EncryptedString("customers", "email"))

    with pytest.raises(UsageError, match=r"customers\.phone and customers\.email are bound to the same names"):
        declared(copied)


def test_a_table_is_copied_to_other_metadata(table: Table):
    assert table.to_metadata(MetaData()).c.email.type.encryption_context == {"table": "customers", "column": "email"}


@pytest.mark.parametrize(
    "part",
    [
        lambda: sqlalchemy.UniqueConstraint("id", "email"),
        lambda: sqlalchemy.ForeignKeyConstraint(["email"], ["customers.id"]),
        lambda: sqlalchemy.Index("found", "id", "email"),
    ],
    ids=["unique", "foreign key", "index"],
)
def test_a_table_whose_constraints_compare_messages_is_not_made(part: Callable[[], Any], sqlite: Engine):
    with pytest.raises(UsageError, match=r"customers\.email cannot be part of"):
        declared(part()).metadata.create_all(sqlite)


def test_an_index_of_what_is_computed_from_messages_is_not_made(sqlite: Engine):
    made = declared()
    sqlalchemy.Index("found", sqlalchemy.func.lower(sqlalchemy.type_coerce(made.c.email, sqlalchemy.LargeBinary)))

    with pytest.raises(UsageError, match="part of an index"):
        made.metadata.create_all(sqlite)


def test_indexes_of_other_columns_are_made(sqlite: Engine):
    declared(sqlalchemy.Index("found", "id"), sqlalchemy.UniqueConstraint("id")).metadata.create_all(sqlite)

    assert [index["name"] for index in sqlalchemy.inspect(sqlite).get_indexes("customers")] == ["found"]


def test_a_value_within_an_expression_is_encrypted_where_it_has_the_column_s_type(sqlite: Engine, table: Table):
    filled(sqlite, table, {"id": 1, "email": "before"}, {"id": 2, "email": "kept"})
    ours = sqlalchemy.literal(EMAIL, table.c.email.type)
    with sqlite.begin() as connection:
        connection.execute(update(table).values(email=sqlalchemy.case((table.c.id == 1, ours), else_=table.c.email)))

        assert connection.execute(select(table.c.email).order_by(table.c.id)).scalars().all() == [EMAIL, "kept"]
        stored = connection.execute(sql("SELECT email FROM customers WHERE id = 1")).scalar_one()
    assert EMAIL.encode() not in stored


def test_what_an_expression_stored_in_clear_is_not_read(sqlite: Engine, table: Table):
    filled(sqlite, table, {"id": 1})
    with sqlite.begin() as connection:
        connection.execute(update(table).values(email=sqlalchemy.literal(EMAIL)))

        with pytest.raises(MessageError, match="holds str"):
            connection.execute(select(table.c.email)).all()


def test_a_value_is_not_written_into_the_text_of_a_statement(sqlite: Engine, table: Table):
    with pytest.raises(UsageError, match="not a literal") as caught:
        insert(table).values(email=EMAIL).compile(sqlite, compile_kwargs={"literal_binds": True})

    assert EMAIL not in str(caught.value)


# --- errors and what shows ------------------------------------------------------------------------------------------


def test_an_error_while_encrypting_shows_no_parameters(sqlite: Engine, table: Table, keys: Keys):
    """SQLAlchemy wraps what is raised there in an error that repeats the parameters, unless told not to."""
    filled(sqlite, table, {"id": 1})
    keys.client = Client(KmsKeyring(LocalKms.in_memory(), "alias/none"))

    with pytest.raises(errors.KmsError) as caught, sqlite.begin() as connection:
        connection.execute(update(table).values(email=EMAIL))

    assert EMAIL not in str(caught.value)


class Unreachable(Exception):
    """One whose arguments are not those that it is made of."""

    def __init__(self, *, host: str) -> None:
        super().__init__(f"{host} cannot be reached")


@pytest.mark.parametrize(
    "error",
    [RuntimeError("no"), FileNotFoundError(2, "no such file", "/keys"), Unreachable(host="vault")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_whoever_makes_the_client_shows_no_parameters(error: Exception, sqlite: Engine):
    def failing() -> Client:
        raise error

    told = str(error)
    customers = Table("customers", MetaData(), Column("email", EncryptedString("customers", "email", client=failing)))

    with pytest.raises(type(error)) as caught, sqlite.begin() as connection:
        connection.execute(insert(customers), {"email": EMAIL})

    assert str(caught.value) == told


@pytest.mark.parametrize(
    "error",
    [
        KeyringError("no"),
        UsageError("no"),
        MessageError("no", section="header", offset=1),
        NoMatchingKeyError("no"),
        errors.KmsAccessError("no", operation="Encrypt", code="Denied"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_while_encrypting_can_be_pickled(error: EnvelopeError, sqlite: Engine):
    def failing() -> Client:
        raise error

    kind = type(error)
    with pytest.raises(kind) as caught:
        EncryptedString("t", "c", client=failing).process_bind_param("x", sqlite.dialect)

    back = pickle.loads(pickle.dumps(caught.value))
    assert type(back) is kind
    assert str(back) == str(caught.value)


def test_the_log_of_statements_shows_no_plaintext(sqlite: Engine, table: Table, caplog: pytest.LogCaptureFixture):
    sqlite.echo = True
    filled(sqlite, table, {"id": 1, "email": "attack at dawn"})

    assert "INSERT INTO customers" in caplog.text
    assert "attack at dawn" not in caplog.text


def test_the_repr_makes_a_column_without_a_key(keys: Keys):
    column = EncryptedString("customers", "email", client=keys, context={"schema": "eu"}, length=4096)

    assert repr(column) == "EncryptedString('customers', 'email', context={'schema': 'eu'}, length=4096)"
    again = eval(repr(column))
    assert (
        again.encryption_context
        == column.encryption_context
        == {
            "table": "customers",
            "column": "email",
            "schema": "eu",
        }
    )
    assert again.client is None


def test_a_column_without_a_client_makes_tables_and_nothing_else(sqlite: Engine):
    bare = Table("t", MetaData(), Column("c", EncryptedString("t", "c")))

    assert "c BLOB" in str(CreateTable(bare).compile(sqlite))
    with sqlite.begin() as connection:
        bare.metadata.create_all(connection)
        with pytest.raises(UsageError, match="no client"):
            connection.execute(insert(bare), {"c": "x"})


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        (("", "email"), {}, UsageError),
        (("customers", ""), {}, UsageError),
        (("customers", 3), {}, TypeError),
        (("customers", "email"), {"client": "key"}, TypeError),
        (("customers", "email"), {"context": {"table": "staff"}}, UsageError),
        (("customers", "email"), {"context": {"schema": 1}}, TypeError),
    ],
)
def test_a_column_is_bound_to_names(arguments: tuple[Any, ...], options: dict[str, Any], expected: type[Exception]):
    with pytest.raises(expected):
        EncryptedString(*arguments, **options)


def test_columns_of_other_names_share_no_compiled_statement(sqlite: Engine, keys: Keys):
    """SQLAlchemy keeps compiled statements by the cache keys of their types, and the types' processors with them."""
    made = [EncryptedString("t", name, client=keys) for name in ("a", "b")]

    with sqlite.connect() as connection:
        for column in made:
            message = connection.execute(select(sqlalchemy.literal("x", column).label("c"))).scalar_one()
            assert message == "x"
    assert made[0]._static_cache_key != made[1]._static_cache_key
    assert made[0]._static_cache_key == EncryptedString("t", "a", client=keys)._static_cache_key


# --- the ORM ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(keys: Keys) -> Any:
    class Base(DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customers"

        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str | None] = mapped_column(EncryptedString("customers", "email", client=keys))
        notes: Mapped[dict[str, Any] | None] = mapped_column(
            MutableDict.as_mutable(EncryptedJSON("customers", "notes", client=keys))
        )

    return Customer


def test_an_object_is_saved_changed_and_loaded(engine: Engine, model: Any):
    model.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([model(id=1, email=EMAIL, notes={"vip": True}), model(id=2)])
        session.commit()
    with Session(engine) as session:
        session.get_one(model, 1).email = "new"
        session.commit()
    with Session(engine) as session:
        found = [(one.id, one.email, one.notes) for one in session.scalars(select(model).order_by(model.id))]

    assert found == [(1, "new", {"vip": True}), (2, None, None)]


@pytest.mark.parametrize("synchronize", ["evaluate", "fetch", False])
def test_rows_are_updated_through_the_model(synchronize: Any, engine: Engine, model: Any):
    model.metadata.create_all(engine)
    with Session(engine) as session:
        one = model(id=1, email="before", notes={"n": 1})
        session.add(one)
        session.commit()
        changed = update(model).where(model.id == 1).values(email=EMAIL, notes={"n": 2})
        session.execute(changed, execution_options={"synchronize_session": synchronize})
        session.commit()

    with Session(engine) as session:
        assert [(one.email, one.notes) for one in session.scalars(select(model))] == [(EMAIL, {"n": 2})]


def test_rows_in_bulk_come_back_as_objects(engine: Engine, model: Any):
    model.metadata.create_all(engine)
    with Session(engine) as session:
        made = session.scalars(insert(model).returning(model), [{"email": "a"}, {"email": "b"}]).all()
        session.execute(update(model), [{"id": one.id, "email": f"{one.email}@example.org"} for one in made])
        session.commit()

        assert session.scalars(select(model.email).order_by(model.id)).all() == ["a@example.org", "b@example.org"]


def test_a_change_inside_a_value_is_noticed(engine: Engine, model: Any):
    model.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(model(id=1, notes={"calls": 1}))
        session.commit()
        one = session.get_one(model, 1)
        one.notes["calls"] = 2
        session.commit()

    with Session(engine) as session:
        assert session.get_one(model, 1).notes == {"calls": 2}


def test_sqlalchemy_knows_that_such_values_have_no_hash(sqlite: Engine, model: Any):
    """As of its own JSON: it says so, in place of failing on the first value that has none."""
    model.metadata.create_all(sqlite)
    with Session(sqlite) as session:
        session.add(model(id=1, notes={"a": 1}))
        session.commit()

        with pytest.raises(sqlalchemy.exc.InvalidRequestError, match="non-hashable values"):
            session.execute(select(model.id, model.notes)).unique().all()


def test_what_did_not_change_is_not_encrypted_again(sqlite: Engine, model: Any):
    model.metadata.create_all(sqlite)
    with Session(sqlite) as session:
        session.add(model(id=1, email=EMAIL, notes={"calls": 1}))
        session.commit()
        before = stored(sqlite, "email")
        one = session.get_one(model, 1)
        one.email = EMAIL
        one.notes["calls"] = 2
        session.commit()

    assert stored(sqlite, "email") == before


def test_filtering_by_an_attribute_is_refused(sqlite: Engine, model: Any):
    with Session(sqlite) as session:
        with pytest.raises(UsageError):
            session.query(model).filter_by(email=EMAIL)
        with pytest.raises(UsageError):
            select(model).where(model.email == EMAIL)


def test_saving_again_moves_values_to_a_new_key(engine: Engine, model: Any, keys: Keys):
    """The recipe of the page: the new key wraps, the old one opens, until all is saved again."""
    model.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(model(id=number, email=f"{number}@example.org") for number in range(1, 6))
        session.commit()
    keys.client = Client(MultiKeyring(generator=keyring(2), children=[keyring(1)]))
    with Session(engine) as session:
        for one in session.scalars(select(model)):
            flag_modified(one, "email")
        session.commit()
    keys.client = Client(keyring(2))

    with Session(engine) as session:
        found = [one.email for one in session.scalars(select(model).order_by(model.id))]
    assert found == [f"{number}@example.org" for number in range(1, 6)]


def test_an_asynchronous_engine(tmp_path: Path, table: Table):
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import create_async_engine

    async def main() -> Any:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
        async with engine.begin() as connection:
            await connection.run_sync(table.metadata.create_all)
            await connection.execute(insert(table), [{"id": 1, "email": EMAIL}, {"id": 2, "email": None}])
        async with engine.connect() as connection:
            found = (await connection.execute(select(table.c.email).order_by(table.c.id))).scalars().all()
        await engine.dispose()
        return found

    assert asyncio.run(main()) == [EMAIL, None]


# --- calls to a key service ------------------------------------------------------------------------------------------


def test_a_cache_makes_two_calls_of_a_column_of_many_rows(sqlite: Engine, table: Table, keys: Keys):
    kms = LocalKms.in_memory()
    key = kms.create_key()["KeyMetadata"]["Arn"]
    rows = [{"id": number, "email": f"{number}@example.org", "phone": str(number)} for number in range(1, 101)]

    def calls(client: Client) -> dict[str, int]:
        keys.client = client
        table.metadata.drop_all(sqlite)
        with counted_calls() as counted:
            filled(sqlite, table, *rows)
            with sqlite.connect() as connection:
                connection.execute(select(table)).all()
        return dict(counted)

    assert calls(Client(KmsKeyring(kms, key))) == {"GenerateDataKey": 200, "Decrypt": 200}
    manager = CachingMaterialsManager(KmsKeyring(kms, key), max_age_seconds=300)
    assert calls(Client(materials_manager=manager)) == {"GenerateDataKey": 2, "Decrypt": 2}


def test_a_callable_is_asked_when_there_is_a_value(sqlite: Engine):
    asked: list[str] = []

    def client() -> Client:
        asked.append("asked")
        return Client(keyring(1))

    made = Table("t", MetaData(), Column("c", EncryptedString("t", "c", client=client)))
    made.metadata.create_all(sqlite)
    with sqlite.begin() as connection:
        connection.execute(insert(made), [{"c": None}])
        assert connection.execute(select(made)).all() == [(None,)]
    assert asked == []


def test_nothing_is_encrypted_twice_for_one_statement(sqlite: Engine, table: Table):
    seen: list[Any] = []
    event.listen(sqlite, "before_cursor_execute", lambda *arguments: seen.append(arguments[3]))
    filled(sqlite, table, {"id": 1, "email": EMAIL})

    (row,) = [parameters for parameters in seen if parameters]
    assert stored(sqlite, "email") in row


# --- docs/sqlalchemy.md ----------------------------------------------------------------------------------------------


def test_the_examples_of_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("old", "new"):
        (tmp_path / f"{name}.key").write_bytes(encode_aes_key_file("shop", name, os.urandom(32)))
        (tmp_path / f"{name}.key").chmod(0o600)
    names: dict[str, Any] = {
        "KEY": f"raw-aes://{tmp_path}/old.key",
        "NEW_KEY": f"raw-aes://{tmp_path}/new.key",
        "DATABASE": f"sqlite:///{tmp_path / 'app.db'}",
    }
    exec(compile(example("sqlalchemy.md", "model"), "model", "exec", dont_inherit=True), names)
    exec(compile(example("sqlalchemy.md", "use"), "use", "exec", dont_inherit=True), names)
    assert capsys.readouterr().out == "anna@example.org {'vip': True}\n"
    before = stored(names["engine"], "email")

    exec(compile(example("sqlalchemy.md", "rotate"), "rotate", "exec", dont_inherit=True), names)

    names["clients"]["shop"] = Client(keyring_from_uri(names["NEW_KEY"]))
    assert stored(names["engine"], "email") != before
    with Session(names["engine"]) as session:
        assert session.scalars(select(names["Customer"].email)).all() == ["anna@example.org"]


def test_the_example_of_the_page_for_what_is_bound_to_its_row(sqlite: Engine, keys: Keys):
    class Base(DeclarativeBase):
        pass

    names: dict[str, Any] = {"Base": Base, "Mapped": Mapped, "mapped_column": mapped_column, "client": keys}
    exec(compile(example("sqlalchemy.md", "row"), "row", "exec", dont_inherit=True), names)
    visit = names["Visit"]
    Base.metadata.create_all(sqlite)
    with Session(sqlite) as session:
        session.add_all([visit("a cold"), visit("the measles")])
        session.commit()
        one, two = session.scalars(select(visit))
        assert {one.finding, two.finding} == {"a cold", "the measles"}
        one.sealed = two.sealed
        session.commit()

    with Session(sqlite) as session, pytest.raises(ContextMismatchError):
        [each.finding for each in session.scalars(select(visit))]
