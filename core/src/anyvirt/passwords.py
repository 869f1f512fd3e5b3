"""Passwords in a domain's definition: taken out where nobody asked for them, and put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyvirt.document import Document

if TYPE_CHECKING:
    from anyvirt.model.domain import Domain

_WORD: Final = "passwd"  # no definition holds a password without this word, so most are never parsed for it


def without_passwords(document: Document[Domain]) -> Document[Domain]:
    """The definition without the passwords of its displays; the same document where it has none.

    :raises Invalid: it cannot be read, so that nobody knows what it holds.
    """
    if _WORD not in document.text:
        return document
    model = document.model
    if all(one.passwd is None for one in model.graphics):
        return document
    return Document(model=model.replace(graphics=tuple(one.replace(passwd=None) for one in model.graphics)))


def with_passwords(document: Document[Domain], source: Document[Domain]) -> Document[Domain]:
    """The definition with the passwords that its displays have in ``source``, one after the other.

    :raises Invalid: one of them cannot be read.
    """
    if _WORD not in source.text:
        return document
    model = document.model
    pairs = zip(model.graphics, source.model.graphics, strict=False)
    filled = tuple(one.replace(passwd=other.passwd) if one.type == other.type else one for one, other in pairs)
    return Document(model=model.replace(graphics=filled + model.graphics[len(filled) :]))
