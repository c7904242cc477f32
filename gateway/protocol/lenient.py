"""JSON of which some fields are not as they should be: whatever can be read is read.

The ordinary way to read a message is msgspec's decoder, which refuses the whole for one odd field. This is the second
look, for the rare message that it refused: each field by itself, and one that can't be read takes its default.
"""

import json
from typing import Any, Final, TypeVar, get_args, get_origin

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

NOT_READABLE: Final = (ValueError, RecursionError)
"""What msgspec and json raise for a text that is no JSON, no UTF-8, or nested deeper than anybody reads.

`msgspec.DecodeError` and `UnicodeDecodeError` are ValueErrors.
"""

_check = msgspec.json.Decoder(msgspec.Raw).decode


def load(message: bytes) -> Any:
    """A JSON text as Python values. A number beyond what a float can hold becomes infinite.

    Raises:
        NOT_READABLE: it is not what other readers of JSON would take, too.
    """
    # msgspec refuses NaN and half of a surrogate pair, which json takes; json takes 1e400, which msgspec refuses.
    _check(message)
    return json.loads(str(message, "utf-8"))


def convert(value: object, kind: type[S]) -> S | None:
    """A struct with the fields that can be read, or None where a required one can't be, or there are none at all."""
    if not isinstance(value, dict):
        return None
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        given = value.get(field.encode_name)
        if given is None:
            continue
        try:
            fields[field.name] = _field(given, field.type)
        except msgspec.ValidationError:
            continue
    try:
        return kind(**fields)
    except TypeError:
        return None


def _field(value: object, kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        found = convert(value, kind)
        if found is None:
            raise msgspec.ValidationError
        return found
    if get_origin(kind) is tuple and isinstance(value, list):
        return _elements(value, get_args(kind)[0])
    return msgspec.convert(value, kind, strict=False)


def _elements(values: list[Any], kind: Any) -> tuple[Any, ...]:
    if kind is msgspec.Raw:
        return tuple(msgspec.Raw(msgspec.json.encode(value)) for value in values)
    return tuple(found for value in values if (found := convert(value, kind)) is not None)
