"""The environment variables behind settings: their names, refusals of wrong values, unknown ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Final

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

PREFIX: Final = "X07_REGISTRY_"
Fields = Mapping[str, FieldInfo]
"""The fields of the settings by name."""

# How alike a known name must be to be suggested, from 0 to 1: a letter or two of a word differ.
MIN_LIKENESS: Final = 0.85

# Kubernetes and Docker describe services in variables, and the name of ours begins like the prefix.
_SERVICE_LINK: Final = re.compile(
    r".*_SERVICE_(HOST|PORT(_.*)?)|.*_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
)


class SettingsError(Exception):
    """A variable has a value that is not allowed. The message names the variable and the allowed values."""


def require(group: BaseModel, *names: str) -> None:
    """Raise SettingsError if one of these fields, which others make necessary, is not set."""
    for name in names:
        if getattr(group, name) is None:
            raise SettingsError(f"{variable_of(name)} is not set; it is required here")


@contextmanager
def set_by(variables: str) -> Iterator[None]:
    """Turn a ValueError, which says what is wrong, into a SettingsError that names the variables too."""
    try:
        yield
    except ValueError as error:
        raise SettingsError(f"{variables} is not allowed: {error}") from None


def variable_of(field_name: str) -> str:
    """The environment variable that sets a field (the first, where there are two)."""
    return f"{PREFIX}{field_name.upper()}"


def variables_of(field_name: str, field: FieldInfo) -> list[str]:
    """The variables that set a field; the first that is set counts."""
    if isinstance(field.validation_alias, AliasChoices):
        return [str(choice) for choice in field.validation_alias.choices]
    return [variable_of(field_name)]


def known_variables(fields: Fields) -> set[str]:
    """Every variable that sets a field."""
    return {variable for name, field in fields.items() for variable in variables_of(name, field)}


def unknown_variables(environment: Collection[str], known: Collection[str]) -> dict[str, str | None]:
    """The names with the prefix, in any case, that no setting has, each with the nearest known one.

    environment: names of variables. known: names in upper case. None: no known name is near.
    """
    return {
        name: next(iter(get_close_matches(name.upper(), known, n=1, cutoff=MIN_LIKENESS)), None)
        for name in sorted(environment)
        if (upper := name.upper()).startswith(PREFIX)
        and upper not in known
        and not _SERVICE_LINK.fullmatch(upper)
    }


def told_of(unknown: Mapping[str, str | None]) -> list[str]:
    """A sentence for each unknown variable. unknown: as unknown_variables finds them."""
    return [
        f"{name} is no setting{f', did you mean {nearest}?' if nearest else ''}"
        for name, nearest in unknown.items()
    ]


def refusal(item: Mapping[str, Any], fields: Fields) -> str:
    """One line for one wrong variable. It shows the value unless the value may be a secret.

    item: an error as pydantic describes it.
    """
    name = _field_name(str(item["loc"][0]), fields) if item["loc"] else ""
    annotation = fields[name].annotation if name else None
    given = "set" if annotation is not None and "Secret" in str(annotation) else f'"{item.get("input")}"'
    allowed = allowed_by(item)
    return f"{variable_of(name)} is {given}; allowed: {allowed}" if name else allowed


def allowed_by(item: Mapping[str, Any]) -> str:
    """The allowed values, without the words that pydantic puts around them. item: as of refusal."""
    allowed = str(item["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if item["type"] == "value_error":
        return allowed
    if item["type"] == "literal_error":
        return allowed.replace(" or ", ", ").replace("'", "")
    return allowed.partition(", ")[0]  # what follows is about parsing


def _field_name(location: str, fields: Fields) -> str:
    """The field that a location of pydantic, which may be an alias, names."""
    lowered = location.lower()
    if lowered in fields:
        return lowered
    for name, field in fields.items():
        if isinstance(field.validation_alias, AliasChoices) and location in field.validation_alias.choices:
            return name
    return lowered.removeprefix(PREFIX.lower())
