"""Fields of Django models that are stored encrypted. Needs Django: ``pip install 'envelope-sdk[django]'``.

    class Customer(models.Model):
        email = EncryptedTextField(null=True)

with ``ENVELOPE_SDK = {"CLIENT": "shop.keys.client"}`` in the settings. The name of the application, the model and the
field are in the encryption context of every value, so that a value which somebody moved to another column does not
decrypt there. Between rows of one column values can be moved: a field does not see the row.
"""

# ruff: noqa: ARG002 - Django says what a method is given

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

try:
    from django import forms
    from django.core import checks
    from django.core.exceptions import FieldError, ValidationError
    from django.db import models
    from django.db.models.fields import NOT_PROVIDED
    from django.db.models.functions import Cast, Coalesce, FirstValue, Lag, LastValue, Lead, NthValue
    from django.db.models.lookups import Exact, IsNull
except ImportError as error:
    raise ImportError("encrypted fields need Django: pip install 'envelope-sdk[django]'") from error

from envelope_sdk.errors import UsageError
from envelope_sdk.integrations.column_values import (
    bytes_in,
    bytes_of,
    is_bytes,
    json_from,
    json_of,
    text_from,
    text_of,
)
from envelope_sdk.integrations.django_settings import client_from_settings

if TYPE_CHECKING:
    _Field = models.Field[Any, Any]
    _TextField = models.TextField[Any, Any]
    _BinaryField = models.BinaryField[Any, Any]
    _Exact = Exact[Any]
else:
    _Field, _TextField, _BinaryField, _Exact = models.Field, models.TextField, models.BinaryField, Exact

__all__ = ["EncryptedBinaryField", "EncryptedJSONField", "EncryptedTextField"]

_BINARY: Final[Any] = models.BinaryField

_PASSING: Final = (Cast, Coalesce, FirstValue, Lag, LastValue, Lead, NthValue)
"""Functions that return one of their arguments as it is: bytes cast to a field of bytes, too, as bulk updates do."""


class _NothingButNone(_Exact):
    """Stands for every lookup but ``isnull``: the database has messages, where the caller means the values."""

    def __init__(self, lhs: Any, rhs: Any) -> None:
        # Django makes an ``isnull`` of an ``exact`` with None.
        if rhs is not None or type(self).lookup_name != "exact":
            raise _not_to_compare()
        super().__init__(lhs, rhs)


class _NothingAtAll(_NothingButNone):
    lookup_name = ""


def _not_to_compare() -> FieldError:
    return FieldError(
        "an encrypted field cannot be searched, compared or computed with: the same value is encrypted differently "
        "each time. Only whether it is null can be asked"
    )


class _EncryptedField(_Field):
    """What the fields have in common. A mixin: it stands before the field whose values it encrypts."""

    def __init__(self, *args: Any, bound_to: str | None = None, **kwargs: Any) -> None:
        """Take the options of a field.

        Args:
            args: as for the field without encryption.
            bound_to: what values are bound to, in place of ``"app.model.field"``: what that was before the field, the
                model or the application was renamed.
            kwargs: as for the field without encryption.
        """
        super().__init__(*args, **kwargs)
        self.bound_to = bound_to

    @property
    def encryption_context(self) -> dict[str, str]:
        """The pair that binds a value to the field.

        Raises:
            UsageError: the field is part of no model, as in an expression.
        """
        if self.bound_to is not None:
            return {"field": self.bound_to}
        if not hasattr(self, "model"):
            raise UsageError("an encrypted field that is part of no model is bound to nothing: say bound_to=")
        return {"field": f"{self.model._meta.label_lower}.{self.name}"}

    def deconstruct(self) -> Any:
        """Return what migrations write: no key and no client."""
        name, path, args, kwargs = super().deconstruct()
        if self.bound_to is not None:
            kwargs["bound_to"] = self.bound_to
        return name, path, args, kwargs

    def get_internal_type(self) -> str:
        """Return the field whose column this one has: bytes."""
        return "BinaryField"

    # What stands for a value in a statement is what stands for bytes, under the name that this Django has for it.
    if hasattr(_BINARY, "get_placeholder_sql"):
        get_placeholder_sql = _BINARY.get_placeholder_sql
    else:  # before Django 6.1
        get_placeholder = _BINARY.get_placeholder

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Return what cannot be meant: what would need the database to know values."""
        return [*super().check(**kwargs), *self._check_options(), *self._check_binding()]

    def _check_options(self) -> list[checks.CheckMessage]:
        options = ("primary_key", "unique", "db_index", "unique_for_date", "unique_for_month", "unique_for_year")
        wrong = [option for option in options if getattr(self, option, None)]
        if getattr(self, "db_default", NOT_PROVIDED) is not NOT_PROVIDED:
            wrong.append("db_default")
        meta = self.model._meta
        made: list[Any] = [*meta.indexes, *meta.constraints]
        parts = [(*getattr(each, "fields", ()), *getattr(each, "expressions", ())) for each in made]
        if self.name in itertools.chain(*meta.unique_together, *map(_names, itertools.chain(*parts))):
            wrong.append("an index or constraint of its model")
        if self.name in itertools.chain(*map(_names, (*_several(meta.ordering), *_several(meta.get_latest_by)))):
            wrong.append("a place in the ordering of its model")
        text = "An encrypted field cannot have {}: the same value is encrypted differently each time."
        return [checks.Error(text.format(option), obj=self, id="envelope_sdk.E001") for option in wrong]

    def _check_binding(self) -> list[checks.CheckMessage]:
        ours = [field for field in self.model._meta.get_fields() if isinstance(field, _EncryptedField)]
        same = [field.name for field in ours if field.encryption_context == self.encryption_context]
        text = (
            f"The encrypted fields {' and '.join(same)} are bound to the same, so that their values could be exchanged."
        )
        return [checks.Error(text, obj=self, id="envelope_sdk.E002")] if len(same) > 1 else []

    def get_lookup(self, lookup_name: str) -> Any:
        """Return the lookup ``isnull``, and for every other one what refuses."""
        found = super().get_lookup(lookup_name)
        if found is None or lookup_name == "isnull":
            return found
        return _NothingButNone if lookup_name == "exact" else _NothingAtAll

    def get_transform(self, lookup_name: str) -> None:
        """Return nothing: there is nothing to compute with."""

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Encrypt a value for the database; ``None`` stays NULL.

        Raises:
            TypeError, UsageError: the value is not of the field's type, or the settings name no client.
            FieldError: it is to be compared with.
            Otherwise as :meth:`envelope_sdk.Client.encrypt`.
        """
        if value is None or hasattr(value, "as_sql"):
            return value
        if prepared:
            raise _not_to_compare()  # only lookups prepare a value first
        plaintext = self._encoded(self.get_prep_value(value))
        message = client_from_settings().encrypt(plaintext, encryption_context=self.encryption_context)
        return connection.Database.Binary(message.ciphertext)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Encrypt a value that is to be saved, and let no expression put anything else into the column.

        Raises:
            FieldError: the database would store what an expression makes as it is.
            Otherwise as :meth:`get_db_prep_value`.
        """
        if hasattr(value, "as_sql"):
            _require_messages(value, self)
        return super().get_db_prep_save(value, connection)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Decrypt a value from a row; NULL is ``None``.

        Raises:
            ContextMismatchError: it is a value of another field.
            MessageError: it is no message: plaintext from before, for instance.
            FieldError: a function of the database compared or computed with values, as ``Max`` does.
            Otherwise as :meth:`envelope_sdk.Client.decrypt`.
        """
        if not _passes(getattr(expression, "source_expression", expression)):
            raise _not_to_compare()
        if value is None:
            return None
        opened = client_from_settings().decrypt(bytes_in(value), encryption_context=self.encryption_context)
        return self._decoded(opened.plaintext)

    def _encoded(self, value: Any) -> bytes:
        raise NotImplementedError

    def _decoded(self, plaintext: bytes) -> Any:
        raise NotImplementedError


def _names(part: Any) -> Iterator[str]:
    """Yield the fields that are compared where a part of an index, a constraint or an order is."""
    if isinstance(part, str):
        yield part.removeprefix("-")
    elif isinstance(part, models.F):
        yield str(cast("Any", part).name)
    elif isinstance(part, tuple):
        yield from _names(part[0])
    elif not isinstance(part, IsNull):
        for inner in part.get_source_expressions() if hasattr(part, "get_source_expressions") else ():
            yield from _names(inner)


def _several(names: Any) -> Iterable[Any]:
    return (names,) if isinstance(names, str) else names or ()


def _passes(expression: Any) -> bool:
    """Return whether an expression has a value of its parts as it is, without comparing or computing."""
    return isinstance(expression, _PASSING) or not isinstance(expression, models.Func)


def _require_messages(expression: Any, field: _EncryptedField) -> None:
    """Refuse an expression whose value may be anything but NULL and what the field encrypted."""
    if isinstance(expression, models.Case):
        parts = [*(case.result for case in expression.cases), expression.default]
    elif isinstance(expression, (*_PASSING, models.ExpressionWrapper)):
        parts = expression.get_source_expressions()
    else:
        parts = []
    for part in parts:
        _require_messages(part, field)
    is_null = isinstance(expression, models.Value) and expression.value is None
    made: object = getattr(cast("Any", expression), "_output_field_or_none", None)
    is_ours = isinstance(made, _EncryptedField) and made.encryption_context == field.encryption_context
    if not (parts or is_null or (is_ours and _passes(expression))):
        raise FieldError(
            "what this expression makes would be stored in an encrypted field as it is, without being encrypted for "
            "that field: say the value itself, or Value(..., output_field=) with the field"
        )


class EncryptedTextField(_EncryptedField, _TextField):
    """A :class:`~django.db.models.TextField` that is stored as one message, in UTF-8. The length of a value shows."""

    description = "Encrypted text"

    def get_prep_value(self, value: Any) -> Any:
        """Return the value as text."""
        if is_bytes(value):
            # Django's default for a column of bytes that is added to a table.
            if value == b"":
                return ""
            raise TypeError(f"a value of {self} is text, not bytes")
        return super().get_prep_value(value)

    def _encoded(self, value: Any) -> bytes:
        return text_of(value)

    def _decoded(self, plaintext: bytes) -> str:
        return text_from(plaintext)


class EncryptedBinaryField(_EncryptedField, _BinaryField):
    """A :class:`~django.db.models.BinaryField` that is stored as one message. Its values come back as ``bytes``."""

    description = "Encrypted binary data"

    def _encoded(self, value: Any) -> bytes:
        return bytes_of(value, self)

    def _decoded(self, plaintext: bytes) -> bytes:
        return plaintext


class EncryptedJSONField(_EncryptedField):
    """What JSON can hold, stored as one message.

    ``None`` is NULL, not JSON's null. There are no lookups into values.
    """

    description = "Encrypted JSON"
    empty_strings_allowed = False

    def __init__(
        self,
        *args: Any,
        encoder: type[json.JSONEncoder] | None = None,
        decoder: type[json.JSONDecoder] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the options of a :class:`~django.db.models.JSONField`.

        Args:
            args: as for a field.
            encoder: writes what the standard library's does not, for instance ``DjangoJSONEncoder``.
            decoder: reads it.
            kwargs: as for a field, and ``bound_to=`` as for the other encrypted fields.
        """
        super().__init__(*args, **kwargs)
        self.encoder = encoder
        self.decoder = decoder

    def deconstruct(self) -> Any:
        """Return what migrations write."""
        name, path, args, kwargs = super().deconstruct()
        given = {"encoder": self.encoder, "decoder": self.decoder}
        return name, path, args, kwargs | {option: value for option, value in given.items() if value is not None}

    def validate(self, value: Any, model_instance: Any) -> None:
        """Refuse what JSON cannot hold.

        Raises:
            ValidationError: that, or as other fields.
        """
        super().validate(value, model_instance)
        try:
            self._encoded(value)
        except UsageError:
            raise ValidationError("Value must be valid JSON.", code="invalid") from None

    def value_to_string(self, obj: Any) -> Any:
        """Return the value for a serializer, which writes JSON itself."""
        return self.value_from_object(obj)

    def formfield(self, **kwargs: Any) -> Any:
        """Return a form field that takes JSON."""
        defaults: dict[str, Any] = {"form_class": forms.JSONField, "encoder": self.encoder, "decoder": self.decoder}
        return super().formfield(**(defaults | kwargs))

    def _encoded(self, value: Any) -> bytes:
        return json_of(value, self, self.encoder)

    def _decoded(self, plaintext: bytes) -> Any:
        return json_from(plaintext, self.decoder)
