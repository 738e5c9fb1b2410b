"""How pydantic's JSON schemas are written: without titles, null as one more type, and anything as `{}`, as the contract writes them."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema


class ContractJsonSchema(GenerateJsonSchema):
    """The dialect of the contract, OpenAPI 3.1."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never: names speak for themselves."""
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """`type: [x, null]` where there is one type, else as usual."""
        inner = self.generate_inner(schema["schema"])
        if isinstance(inner.get("type"), str):
            return {**inner, "type": [inner["type"], "null"]}
        return super().nullable_schema(schema)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """None as a default means "may be absent", which the contract says by not requiring the field."""
        written = super().default_schema(schema)
        if written.get("default", ...) is None:
            del written["default"]
        return written

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Values of any kind are `{}`, not `true`."""
        written = super().dict_schema(schema)
        if written.get("additionalProperties") is True:
            written["additionalProperties"] = {}
        return written

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """Alternatives, any of which may hold."""
        written = super().tagged_union_schema(schema)
        if "oneOf" in written:
            written["anyOf"] = written.pop("oneOf")
        return written

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """No title; the docstring stays Python's."""
        written = super().model_schema(schema)
        written.pop("title", None)
        written.pop("description", None)
        return written
