"""What people write as a setting: yes and no, numbers, choices, names.

The same for options, profiles, environment variables and the resources of rules. Options and
variables come as text; in a profile and in a Snakefile the same thing may be of any type: YAML
reads `off` as false.

Each reader raises a ValueError that says what is wrong, to be read after what was given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MODES = ("auto", "direct", "snakemake")
INPUTS = ("auto", "link", "copy")
BATCHES = ("off", "auto")
CONDA = ("per-run", "per-task")
CHECKS = ("auto", "full", "off")

_TRUTHS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_DIGITS = re.compile(r"[0-9]+")
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def truth(value: object) -> bool:
    """True or false."""
    known = _TRUTHS.get(_word(value))
    if known is None:
        raise ValueError("is neither true nor false; say yes or no, or leave it out")
    return known


def whole(value: object, *, least: int = 0) -> int:
    """A whole number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_number = _DIGITS.fullmatch(_word(value)) and not isinstance(value, bool)
    if not is_number or int(_word(value)) < least:
        raise ValueError(f"is not a whole number from {least} on")
    return int(_word(value))


def amount(value: object, *, remark: str = "") -> float:
    """An amount of money; `remark` is said besides where it is none."""
    word = _word(value)
    if not _AMOUNT.fullmatch(word) or isinstance(value, bool) or float(word) <= 0:
        raise ValueError(f"is no amount of money above 0, such as 50 or 12.50{remark}")
    return float(word)


def choice(value: object, choices: Sequence[str]) -> str:
    """One of a few words; where `off` is one of them, all that means no."""
    word = _word(value)
    if "off" in choices and _TRUTHS.get(word) is False:
        return "off"
    if word not in choices:
        raise ValueError(f"is none of {', '.join(map(repr, choices[:-1]))} and {choices[-1]!r}")
    return word


def project(value: object) -> str:
    """A project, as owner/project."""
    name = str(value).strip()
    parts = name.split("/")
    if len(parts) != 2 or {"", ".", ".."} & set(parts):  # noqa: PLR2004 - owner and project
        raise ValueError(
            "is not of the form owner/project, as it stands in the address of the project's page"
        )
    return name


def folder(value: object) -> str:
    """A folder of a project, as its path from the project's root."""
    path = str(value).strip().strip("/")
    if {"", ".", ".."} & set(path.split("/")):
        raise ValueError("is not the path of a folder in the project, such as 'snakemake'")
    return path


def metadata(value: object) -> dict[str, str]:
    """`key=value,key=value` as a dict; limits as documented for the platform's metadata."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in str(value).split(","))):
        key, separator, content = (part.strip() for part in pair.partition("="))
        if not separator or not key or "." in key or "$" in key:
            raise ValueError(
                f"has {pair!r}, which is not of the form key=value, with a key that has neither "
                "'.' nor '$'"
            )
        found[key] = content
    return found


def _word(value: object) -> str:
    return str(value).strip().lower()
