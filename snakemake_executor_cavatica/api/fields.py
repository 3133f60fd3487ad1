"""The types of the fields in what the platform sends: tolerant, and never beyond all reason."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, TypeAdapter
from pydantic import ValidationError as ShapeError

from .errors import as_int

# No size, count or time of a real platform is larger; arithmetic with floats would fail beyond.
_LARGEST = 2**63

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def is_usable_id(value: str) -> bool:
    """Whether `value` can be a segment of a path: others would turn a call into another call."""
    return value not in ("", ".", "..")


def _id(value: str) -> str:
    if not is_usable_id(value):
        raise ValueError("it is not an id")
    return value


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> int | None:
    # Straight to int where possible: the platform reports 2^63-1, which a float cannot hold.
    whole = as_int(value)
    if whole is None:
        number = _number(value)
        whole = None if number is None else round(number)
    return None if whole is None or abs(whole) > _LARGEST else whole


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str | datetime):
        return None
    try:
        moment = _DATETIME.validate_python(value)
        # In UTC, because at the ends of the calendar a time of another zone cannot be converted.
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ShapeError, OverflowError):
        return None


def _truth(value: object) -> bool | None:
    if isinstance(value, str):  # documented as a string in places
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _text(value: object) -> object:
    return "" if value is None else value


def as_list(value: object) -> list[Any]:
    """What is documented as a list, and may be missing or come alone."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _dict(value: object) -> object:
    return {} if value is None else value


def _headers(value: dict[str, Any]) -> dict[str, Any]:
    for name, content in value.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(str(content)):
            raise ValueError("HTTP cannot carry such a header")
    return value


_DATETIME = TypeAdapter(datetime)

Id: TypeAlias = Annotated[str, AfterValidator(_id)]
Text: TypeAlias = Annotated[str, BeforeValidator(_text)]
Upper: TypeAlias = Annotated[
    str, BeforeValidator(lambda v: v.upper() if isinstance(v, str) else _text(v))
]
Lower: TypeAlias = Annotated[
    str, BeforeValidator(lambda v: v.lower() if isinstance(v, str) else _text(v))
]
Whole: TypeAlias = Annotated[int | None, BeforeValidator(_whole)]
Number: TypeAlias = Annotated[float | None, BeforeValidator(_number)]
Told: TypeAlias = Annotated[
    str | None, BeforeValidator(lambda v: v if isinstance(v, str) else None)
]
Moment: TypeAlias = Annotated[datetime | None, BeforeValidator(_moment)]
Truth: TypeAlias = Annotated[bool | None, BeforeValidator(_truth)]
Flag: TypeAlias = Annotated[bool, BeforeValidator(lambda v: _truth(v) or False)]
AnyList: TypeAlias = Annotated[list[Any], BeforeValidator(as_list)]
AnyDict: TypeAlias = Annotated[dict[str, Any], BeforeValidator(_dict)]
Headers: TypeAlias = Annotated[dict[str, Any], BeforeValidator(_dict), AfterValidator(_headers)]


class Document(BaseModel):
    """A document that the platform sent."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True, populate_by_name=True)


class Price(Document):
    """What a task has cost so far; tasks tell it with two decimals (documented in examples)."""

    amount: Number = None
    currency: Told = None


Cost: TypeAlias = Annotated[
    Price | None, BeforeValidator(lambda v: v if isinstance(v, dict | Price) else None)
]
