"""Changes that people and programs make to documents."""

from __future__ import annotations

import random
from typing import Any

from lxml import etree


def mutate(root: Any, chance: random.Random) -> None:
    """Change a document in one of the ways that people and programs do."""
    nodes = [node for node in root.iter() if isinstance(node.tag, str)]
    node = chance.choice(nodes)
    other = chance.choice(nodes)
    kind = chance.randrange(9)
    if kind == 0:
        node.set(chance.choice(["colour", "unit", "type", "name", "current"]), chance.choice(["x", "", "1", "KiB"]))
    elif kind == 1:
        node.insert(
            chance.randrange(len(node) + 1), etree.Element(chance.choice(["lamp", "disk", "name", "memory", "driver"]))
        )
    elif kind == 2 and node is not root and other is not node and other not in list(node.iterdescendants()):
        other.insert(chance.randrange(len(other) + 1), etree.fromstring(etree.tostring(node, with_tail=False)))
    elif kind == 3 and node is not root:
        node.getparent().remove(node)
    elif kind == 4 and node.attrib:
        node.set(chance.choice(list(node.attrib)), chance.choice(["zz", "0x10", "-1", "yes", "99999999999999999999"]))
    elif kind == 5 and not len(node):
        node.text = chance.choice(["", "x", " 12 ", "yes", "a&<b"])
    elif kind == 6 and len(node):
        node[0].tail = "loose words"
    elif kind == 7:
        node.insert(0, etree.Comment(" remark "))
    elif kind == 8:
        node.append(etree.SubElement(root, "{urn:other}thing", {"{urn:more}a": "b"}))
