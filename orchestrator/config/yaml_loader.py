"""PyYAML's safe loaders with the numbers of YAML 1.2, and the value of a short YAML text."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

YAML = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


def _int(_: Any, node: yaml.ScalarNode) -> int:
    if not _INT.fullmatch(node.value):
        raise ValueError
    return int(node.value, 0 if node.value[:2] in ("0o", "0x") else 10)


def _float(_: Any, node: yaml.ScalarNode) -> float:
    if not _FLOAT.fullmatch(node.value):
        raise ValueError
    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _as_yaml_1_2(safe: Any) -> Any:
    """A safe loader of PyYAML, with the numbers of YAML 1.2 (10.3.2): 010 is ten, and 1:30 and 1_0 are texts."""
    numbers = (YAML + "int", YAML + "float")

    class Loader(safe):  # type: ignore[misc]
        yaml_constructors: ClassVar[dict[Any, Any]] = dict(safe.yaml_constructors)
        yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag not in numbers]
            for first, resolvers in safe.yaml_implicit_resolvers.items()
        }

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            """Of all that `<<` merges into a mapping the first wins (yaml.org/type/merge.html).

            With PyYAML 6.0.4 the last of a list wins, so it gets one mapping that has each key once.
            """
            merges = [value for key, value in node.value if key.tag == YAML + "merge"]
            sources = [
                source
                for value in merges
                for source in (value.value if isinstance(value, yaml.SequenceNode) else [value])
            ]
            if len(sources) > 1 and all(isinstance(source, yaml.MappingNode) for source in sources):
                found: dict[Any, Any] = {}
                for source in sources:
                    self.flatten_mapping(source)
                    for key, value in source.value:
                        name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
                        found.setdefault(name, (key, value))
                own = [pair for pair in node.value if pair[0].tag != YAML + "merge"]
                merged = yaml.MappingNode(YAML + "map", list(found.values()))
                node.value = [(yaml.ScalarNode(YAML + "merge", "<<"), merged), *own]
            super().flatten_mapping(node)

    Loader.add_implicit_resolver(YAML + "int", re.compile(rf"(?:{_INT.pattern})$"), list("-+0123456789"))
    Loader.add_implicit_resolver(YAML + "float", re.compile(rf"(?:{_FLOAT.pattern})$"), list("-+.0123456789"))
    Loader.add_constructor(YAML + "int", _int)
    Loader.add_constructor(YAML + "float", _float)
    return Loader


# libyaml reads about ten times faster than pure Python; PyYAML has it in most wheels, not in all.
Loader = _as_yaml_1_2(getattr(yaml, "CSafeLoader", yaml.SafeLoader))

PlainLoader = _as_yaml_1_2(yaml.SafeLoader)
"""For short files: it names the line of a mistake where libyaml names the one after it."""


def load_yaml(text: str) -> Any:
    """The value of a short YAML text, such as a configuration.

    Raises:
        yaml.YAMLError: It is none.
    """
    return yaml.load(text, PlainLoader)  # nosec B506  # it is a SafeLoader


FOR_ANCHORS = "x-"
"""Keys at the top that begin so hold what aliases bring in elsewhere, as in files of Docker Compose."""
