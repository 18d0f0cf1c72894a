"""The JSON Schema of the environment file, for editors: from the models, with the texts below their fields.

It describes the form. What has to fit together, and what each Kafka version accepts, only `provision validate` knows.
"""

import ast
import inspect
import json
import textwrap
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from provision.spec.model import EnvironmentSpec

FILE_NAME = ".provision.schema.json"
"""The name under which `provision init` writes it beside the environment files."""
TITLE = "Environment file of provision"


def schema() -> dict[str, Any]:
    """The schema as plain data, of the draft that editors support best."""
    found = EnvironmentSpec.model_json_schema()
    models = {model.__name__: model for model in _models(EnvironmentSpec)}
    for name, definition in {"EnvironmentSpec": found, **found.get("$defs", {})}.items():
        _describe(definition, models[name])
    # A mapping with only the file may be written as that.
    found["$defs"]["TopicSpec"]["properties"]["records"]["anyOf"].insert(0, {"type": "string"})
    found["required"] = []  # a file without a name has its own
    return {"$schema": "http://json-schema.org/draft-07/schema#", **found, "title": TITLE}


def schema_text() -> str:
    """The schema as the text of a file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and all those in its fields."""
    found = [model]
    for info in model.model_fields.values():
        found += [each for below in _in_annotation(info.annotation) for each in _models(below)]
    return found


def _in_annotation(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _in_annotation(part)]


def _describe(definition: dict[str, Any], model: type[BaseModel]) -> None:
    """Add the texts, and remove the titles, which only repeat the keys."""
    definition.pop("title", None)
    texts = _texts(model)
    for key, about in definition["properties"].items():
        about.pop("title", None)
        about["description"] = texts.get(key, "")


def _texts(model: type[BaseModel]) -> dict[str, str]:
    """The text below each field of a model. Pydantic can collect them too, but at every start of the program."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
