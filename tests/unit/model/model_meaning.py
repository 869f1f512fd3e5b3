"""What a document means, without our models: elements, attributes, texts, and order where it counts."""

from __future__ import annotations

from typing import Any


def meaning(node: Any) -> tuple[Any, ...]:
    """Order counts among elements of one name; between names, and of attributes, it does not."""
    children: dict[str, list[Any]] = {}
    texts = [node.text or ""]
    for child in node:
        if isinstance(child.tag, str):
            children.setdefault(child.tag, []).append(meaning(child))
            texts.append(" ")
        texts.append(child.tail or "")
    text = "".join(texts)
    if children or not text.strip():
        text = " ".join(sorted(text.split()))
    return (
        node.tag,
        tuple(sorted(node.attrib.items())),
        text,
        tuple(sorted((tag, tuple(items)) for tag, items in children.items())),
    )
