"""Renders models as JSON Schemas and as examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import inspect

from deploy.openapi.vocabulary import FIELDS

REF: Final = "#/components/schemas/{name}"
Json = dict[str, Any]


def schemas_of(requests: Iterable[Any], answers: Iterable[Any]) -> tuple[list[Json], list[Json], Json]:
    """Schemas of both kinds of bodies, and the components that they refer to.

    An answer has every field that cannot be unset. In an answer, a field with a default is a constant.
    """
    asked, components_asked = msgspec.json.schema_components(list(requests), ref_template=REF)
    told, components = msgspec.json.schema_components(list(answers), ref_template=REF)
    for schema in components.values():
        _tell_constants(schema)
    both = set(components_asked) & set(components)
    shared = {name for name in both if "properties" in components[name]}
    if shared:
        raise ValueError(f"models of requests and of answers at once: {sorted(shared)}")
    return list(asked), list(told), {**components, **components_asked}


def example_of(model: Any) -> Any:
    """A value of a model, with every field that can be set. Raises KeyError for a field without a word."""
    kind = inspect.type_info(model)
    if isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.StructType):
        return [example_of(kind.item_type.cls)]
    if isinstance(kind, inspect.StructType):
        return {field.encode_name: _field(kind.cls.__name__, field) for field in kind.fields}
    return FIELDS[model.__name__]


def _field(owner: str, field: inspect.Field) -> Any:
    if f"{owner}.{field.encode_name}" in FIELDS:
        return FIELDS[f"{owner}.{field.encode_name}"]
    match _bare(field.type):
        case inspect.StructType(cls=model):
            return example_of(model)
        case inspect.VarTupleType(item_type=inspect.StructType(cls=model)):
            return [example_of(model)]
    if field.default not in (msgspec.NODEFAULT, msgspec.UNSET, None, (), ""):
        return field.default
    return FIELDS[field.encode_name]


def _bare(kind: inspect.Type) -> inspect.Type:
    """The type without null."""
    if isinstance(kind, inspect.UnionType):
        rest = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
        return rest[0] if len(rest) == 1 else kind
    return kind


def _tell_constants(schema: Json) -> None:
    properties: Json = schema.get("properties", {})
    required: Sequence[str] = schema.get("required", ())
    constant = {name for name, field in properties.items() if "default" in field}
    for name in constant:
        properties[name]["const"] = properties[name].pop("default")
    if properties:
        schema["required"] = [name for name in properties if name in required or name in constant]
