"""Statements with encrypted columns that mean nothing, or store something in clear, with SQLAlchemy over SQLite."""

# ruff: noqa: E402 - what is imported first may be missing, and skips the module

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

sqlalchemy = pytest.importorskip("sqlalchemy")

from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    case,
    cast,
    create_engine,
    delete,
    desc,
    exists,
    func,
    insert,
    literal,
    null,
    select,
    tuple_,
    type_coerce,
    union,
    union_all,
    update,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Bundle, DeclarativeBase, Mapped, Session, aliased, joinedload, mapped_column, relationship

from envelope_sdk import Client
from envelope_sdk.errors import UsageError
from envelope_sdk.integrations.sqlalchemy_statements import check_statements
from envelope_sdk.integrations.sqlalchemy_types import EncryptedString
from envelope_sdk.keyrings import RawAesKeyring

CLIENT = Client(RawAesKeyring("test", "key", bytes(32)))

EMAIL = "zoë@example.org"

customers = Table(
    "customers",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String),
    Column("email", EncryptedString("customers", "email", client=CLIENT)),
    Column("phone", EncryptedString("customers", "phone", client=CLIENT)),
)

ID, NAME, MAIL, PHONE = (customers.c[name] for name in ("id", "name", "email", "phone"))

OURS: Any = literal(EMAIL, MAIL.type)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    check_statements(engine)
    customers.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"id": number, "name": EMAIL, "email": EMAIL, "phone": str(number)} for number in (1, 2)]
        connection.execute(insert(customers), [*rows, {"id": 3, "name": None, "email": None, "phone": None}])
    yield engine
    engine.dispose()


def stored(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sql("SELECT email, phone FROM customers ORDER BY id"))]


def ordered_by_label() -> Any:
    label = MAIL.label("address")
    return select(label).order_by(label)


MEANINGLESS: dict[str, Callable[[], Any]] = {
    "the other side of a comparison": lambda: select(ID).where(NAME == MAIL),
    "a value on the other side": lambda: select(ID).where(literal(EMAIL) == MAIL),
    "a value of the type": lambda: select(ID).where(literal(EMAIL) == OURS),
    "a value that it may be": lambda: select(ID).where(literal(EMAIL).is_(MAIL)),
    "among the values of a query": lambda: select(ID).where(NAME.in_(select(MAIL))),
    "in a tuple": lambda: select(ID).where(tuple_(ID, MAIL).in_([(1, EMAIL)])),
    "in a function": lambda: select(ID).where(func.lower(MAIL) == EMAIL),
    "in a cast": lambda: select(ID).where(cast(MAIL, String) == EMAIL),
    "in a case": lambda: select(case({EMAIL: 1}, value=MAIL, else_=0)),
    "in an inner query": lambda: select(ID).where(ID.in_(select(ID).where(NAME == MAIL))),
    "in a common table": lambda: select(select(customers).where(NAME == MAIL).cte().c.id),
    "in a join": lambda: select(ID).join(customers.alias("other"), customers.alias("third").c.name == MAIL),
    "in an EXISTS": lambda: select(ID).where(exists(select(ID).where(NAME == MAIL))),
    "in a DELETE": lambda: delete(customers).where(NAME == MAIL),
    "in an UPDATE": lambda: update(customers).where(NAME == MAIL).values(name="x"),
    "greatest": lambda: select(func.max(MAIL)),
    "greatest by itself": lambda: func.max(MAIL),
    "greatest of a window": lambda: select(func.max(MAIL).over(partition_by=ID)),
    "length": lambda: select(func.length(MAIL)),
    "parts of a window": lambda: select(func.row_number().over(partition_by=MAIL)),
    "order of a window": lambda: select(func.row_number().over(order_by=MAIL)),
    "order": lambda: select(ID).order_by(MAIL),
    "order by a name": lambda: select(MAIL).order_by("email"),
    "descending order by a name": lambda: select(MAIL).order_by(desc("email")),
    "order by a label": ordered_by_label,
    "groups": lambda: select(MAIL, func.count()).group_by(MAIL),
    "groups of several": lambda: select(MAIL, PHONE).group_by(MAIL, PHONE),
    "distinct values": lambda: select(MAIL).distinct(),
    "distinct values in a count": lambda: select(func.count(sqlalchemy.distinct(OURS))),
    "a union of values": lambda: union(select(MAIL), select(MAIL)),
}


@pytest.mark.parametrize("make", MEANINGLESS.values(), ids=MEANINGLESS)
def test_what_compares_or_computes_with_messages_is_refused(make: Callable[[], Any], engine: Engine):
    with pytest.raises(UsageError, match="encrypted differently each time"), engine.connect() as connection:
        connection.execute(make())


MEANT: dict[str, tuple[Callable[[], Any], list[Any]]] = {
    "null": (lambda: select(ID).where(MAIL.is_(None)), [(3,)]),
    "not null, and more": (lambda: select(MAIL).where(MAIL.is_not(None), (ID == 1) | (NAME == "x")), [(EMAIL,)]),
    "null in an order": (lambda: select(ID).order_by(MAIL.is_not(None), ID), [(3,), (1,), (2,)]),
    "count": (lambda: select(func.count(MAIL)), [(2,)]),
    "count by itself": (lambda: func.count(MAIL), [(2,)]),
    "labels": (lambda: select(MAIL.label("address")).where(ID == 1), [(EMAIL,)]),
    "inner query": (lambda: select(select(MAIL).where(ID == 1).scalar_subquery()), [(EMAIL,)]),
    "subquery": (lambda: select(select(customers).subquery().c.email).order_by("id").limit(0), []),
    "common table": (lambda: select(select(customers).where(ID == 2).cte().c.phone), [("2",)]),
    "exists": (lambda: select(ID).where(exists(select(MAIL).where(ID == 1))).where(ID == 2), [(2,)]),
    "coalesce": (lambda: select(func.coalesce(MAIL, OURS)).where(ID == 3), [(EMAIL,)]),
    "first of a window": (
        lambda: select(func.first_value(PHONE, type_=PHONE.type).over(order_by=ID)).where(ID < 3),
        [("1",), ("1",)],
    ),
    "groups with a key": (
        lambda: select(ID, PHONE, func.count()).where(ID == 1).group_by(ID, PHONE),
        [(1, "1", 1)],
    ),
    "distinct rows": (lambda: select(ID, PHONE).where(ID == 1).distinct(), [(1, "1")]),
    "all of a union": (lambda: union_all(select(PHONE).where(ID == 1), select(PHONE).where(ID == 2)), [("1",), ("2",)]),
    "a union of rows": (lambda: union(*[select(ID, PHONE).where(ID == 1)] * 2), [(1, "1")]),
    "the message itself": (
        lambda: select(func.length(type_coerce(MAIL, LargeBinary)) > 100).where(ID == 1),
        [(True,)],
    ),
}


@pytest.mark.parametrize(("make", "expected"), MEANT.values(), ids=MEANT)
def test_what_has_a_meaning_is_executed(make: Callable[[], Any], expected: list[Any], engine: Engine):
    with engine.connect() as connection:
        assert connection.execute(make()).all() == expected


IN_CLEAR: dict[str, Callable[[], Any]] = {
    "a literal": lambda: update(customers).values(email=literal("x")),
    "a parameter of another type": lambda: update(customers).values(email=bindparam("x", "x", type_=String)),
    "a literal among the values": lambda: insert(customers).values([{"email": literal("x")}]),
    "a literal in a row": lambda: insert(customers).values([(4, "x", literal("x"), None)]),
    "a function": lambda: update(customers).values(email=func.lower("X")),
    "a column in clear": lambda: update(customers).values(email=NAME),
    "a value of another column": lambda: update(customers).values(email=PHONE),
    "a case": lambda: update(customers).values(email=case((ID == 1, OURS), else_=literal("x"))),
    "the default of a coalesce": lambda: update(customers).values(email=func.coalesce(MAIL, "x")),
    "an inner query": lambda: update(customers).values(email=select(NAME).limit(1).scalar_subquery()),
    "a count": lambda: update(customers).values(email=select(func.count(MAIL)).scalar_subquery()),
    "rows of a query": lambda: insert(customers).from_select(["email"], select(NAME)),
    "rows of another column": lambda: insert(customers).from_select(["email"], select(PHONE)),
    "an update instead": lambda: (
        upsert(customers)
        .values(id=1, email=EMAIL)
        .on_conflict_do_update(index_elements=["id"], set_={"email": literal("x")})
    ),
    "in an order": lambda: update(customers).ordered_values((NAME, "x"), (MAIL, literal("x"))),
}


@pytest.mark.parametrize("make", IN_CLEAR.values(), ids=IN_CLEAR)
def test_what_would_be_stored_without_being_encrypted_is_refused(make: Callable[[], Any], engine: Engine):
    before = stored(engine)

    with pytest.raises(UsageError, match="as it is"), engine.begin() as connection:
        connection.execute(make())
    assert stored(engine) == before


ENCRYPTED: dict[str, Callable[[], Any]] = {
    "a value": lambda: update(customers).values(email="x"),
    "a parameter of the type": lambda: update(customers).values(email=bindparam("x", "x", type_=MAIL.type)),
    "a literal of the type": lambda: update(customers).values(email=literal("x", MAIL.type)),
    "a case": lambda: update(customers).values(email=case((ID == 1, OURS), else_=MAIL)),
    "a coalesce": lambda: update(customers).values(email=func.coalesce(MAIL, OURS)),
    "null": lambda: update(customers).values(email=null()),
    "an inner query": lambda: update(customers).values(email=select(MAIL).limit(1).scalar_subquery()),
    "values": lambda: insert(customers).values([{"email": "x"}, {"email": OURS}]),
    "rows of a query": lambda: insert(customers).from_select(["email"], select(MAIL)),
    "an update instead": lambda: (
        upsert(customers).values(id=1, email="x").on_conflict_do_update(index_elements=["id"], set_={"email": "y"})
    ),
    "what was to be inserted": lambda: (made := upsert(customers).values(id=1, email="x")).on_conflict_do_update(
        index_elements=["id"], set_={"email": made.excluded.email}
    ),
    "what is returned": lambda: update(customers).values(email="x").returning(MAIL),
}


@pytest.mark.parametrize("make", ENCRYPTED.values(), ids=ENCRYPTED)
def test_what_is_stored_encrypted_is_executed(make: Callable[[], Any], engine: Engine):
    with engine.begin() as connection:
        connection.execute(make())

    with engine.connect() as connection:
        assert {*connection.execute(select(MAIL)).scalars()} <= {EMAIL, "x", "y", None}


def test_a_parameter_without_a_type_takes_the_column_s(engine: Engine):
    with engine.begin() as connection:
        connection.execute(update(customers).where(ID == 1).values(email=bindparam("given")), {"given": "x"})

        assert connection.execute(select(MAIL).where(ID == 1)).scalar_one() == "x"


# --- the ORM ---------------------------------------------------------------------------------------------------------


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    mail: Mapped[str | None] = mapped_column("email", EncryptedString("people", "email", client=CLIENT))
    parent: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    children: Mapped[list[Person]] = relationship()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Person(id=1, mail=EMAIL, children=[Person(id=2, mail="child")]))
        session.commit()
        yield session


def test_what_a_model_means_is_executed(session: Session):
    other = aliased(Person)
    joined = select(Person.mail, other.mail).join(other, Person.id == other.parent)

    (parent,) = session.scalars(
        select(Person).where(Person.children.any()).options(joinedload(Person.children))
    ).unique()

    assert [child.mail for child in parent.children] == ["child"]
    assert session.execute(joined).all() == [(EMAIL, "child")]
    assert session.execute(select(Bundle("both", Person.id, Person.mail)).limit(1)).all() == [((1, EMAIL),)]
    assert len(session.execute(select(Person, func.count()).group_by(Person)).all()) == 2
    assert len(session.scalars(select(Person).distinct()).all()) == 2
    assert session.query(Person).filter_by(mail=None).count() == 0
    session.execute(update(Person).where(Person.id == 2).values(mail="changed"))
    assert session.scalars(insert(Person).returning(Person), [{"mail": "x"}, {"mail": "y"}]).all()[1].mail == "y"
    session.refresh(parent.children[0])
    assert parent.children[0].mail == "changed"


@pytest.mark.parametrize(
    "make",
    [
        lambda: select(Person).order_by(Person.mail),
        lambda: select(Person.mail).distinct(),
        lambda: update(Person).values(mail=literal("x")),
        lambda: update(Person).values({Person.mail: literal("x")}),
        lambda: update(Person).values({"mail": func.lower("X")}),
        lambda: insert(Person).values(mail=literal("x")),
        lambda: insert(Person).values([{"mail": literal("x")}]),
    ],
    ids=[
        *("order", "distinct", "literal", "literal by attribute", "function by name"),
        *("a new row", "new rows"),
    ],
)
def test_what_a_model_does_not_mean_is_refused(make: Callable[[], Any], session: Session):
    with pytest.raises(UsageError):
        session.execute(make())


def test_an_expression_as_the_value_of_an_attribute_is_refused(session: Session):
    session.get_one(Person, 1).mail = func.lower("X")

    with pytest.raises(UsageError, match="as it is"):
        session.commit()


# --- engines ---------------------------------------------------------------------------------------------------------


def test_other_statements_and_other_engines_are_let_be(engine: Engine):
    with engine.connect() as connection:
        assert connection.execute(sql("SELECT count(email) FROM customers ORDER BY max(email)")).scalar_one() == 2
    unchecked = create_engine("sqlite://")
    customers.metadata.create_all(unchecked)
    with unchecked.connect() as connection:
        assert connection.execute(select(ID).where(NAME == MAIL)).all() == []


def test_an_asynchronous_engine_is_checked():
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import create_async_engine

    async def main() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        check_statements(engine)
        async with engine.connect() as connection:
            await connection.execute(select(ID).where(NAME == MAIL))

    with pytest.raises(UsageError):
        asyncio.run(main())
