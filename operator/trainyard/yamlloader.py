"""YAML as Helm and kubectl read it, without what changes a value behind its author's back.

Separate because manifests and entries of the catalogue are the same YAML to those who write them: read by
`cli.manifests` and `catalog.entries`.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_CORE = "tag:yaml.org,2002:"
_INT = re.compile(r"^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*\.[0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
# Those of YAML 1.1: base 60, dates and `=` are left out, in which 12:30 would be 750.
_KEPT = (f"{_CORE}bool", f"{_CORE}null", f"{_CORE}merge")
_OCTAL = re.compile(r"[-+]?0[0-7]+")
# A key that is written as one of these is text in JSON; so it keeps the text that was written.
_KEYS = (f"{_CORE}int", f"{_CORE}float", f"{_CORE}bool")


class Loader(yaml.SafeLoader):
    """Numbers are those of YAML 1.2, and 010 is eight; dates and times are text; a key is text, and there once."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        if node is None:
            return node
        seen: set[str] = set()
        pairs = []
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag in (*_KEYS, f"{_CORE}str"):
                if key.value in seen:
                    problem = f"the key {key.value} is there twice in one place"
                    raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
                seen.add(key.value)
                # NB: a node of its own, as this one may be the anchor of a value.
                key = yaml.ScalarNode(f"{_CORE}str", key.value, key.start_mark, key.end_mark)
            pairs.append((key, value))
        node.value = pairs
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node)).replace("_", "")
        try:
            return int(text, 8 if _OCTAL.fullmatch(text) else 0)
        except ValueError:
            raise yaml.constructor.ConstructorError(
                None, None, f"{text[:40]} is no whole number that can be read", node.start_mark
            ) from None


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(f"{_CORE}int", _INT, list("-+0123456789"))
Loader.add_implicit_resolver(f"{_CORE}float", _FLOAT, list("-+.0123456789"))
Loader.add_constructor(f"{_CORE}int", Loader.construct_yaml_int)
