"""A document on its way through a hook: XML text, a model, or both, whichever is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from anyvirt.model.element import Element

M = TypeVar("M", bound="Element")


class Document(Generic[M]):
    """One document; text is parsed and a model is written out when first asked for, never before.

    Listing, dumping and storing need no model, so nothing that does only that
    pays for lxml. Equality compares the text.

    :param notes: what whoever made the document tells its reader, a sentence each; no part of it.
    """

    __slots__ = ("_model", "_text", "notes")

    def __init__(self, text: str | None = None, model: M | None = None, notes: Sequence[str] = ()) -> None:
        assert (text is None) != (model is None)
        self._text, self._model, self.notes = text, model, tuple(notes)

    @classmethod
    def of(cls, source: str | bytes | Document[M] | M) -> Document[M]:
        """A document from whatever a user has: text, bytes, a model, a document."""
        if isinstance(source, Document):
            return source
        if isinstance(source, bytes):
            from anyvirt.model.xml import parse

            parsed: Any = parse(source)
            return cls(model=parsed)
        return cls(text=source) if isinstance(source, str) else cls(model=source)

    @property
    def text(self) -> str:
        """The XML; as it was given, or as the model is written."""
        if self._text is None:
            from anyvirt.model.write import dump

            assert self._model is not None
            self._text = dump(self._model)
        return self._text

    @property
    def model(self) -> M:
        """The typed model.

        :raises Invalid: where the text cannot be parsed, with every problem.
        """
        if self._model is None:
            from anyvirt.model.xml import parse

            assert self._text is not None
            parsed: Any = parse(self._text)
            self._model = parsed
        model: Any = self._model
        result: M = model
        return result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Document({self.text[:40]!r}...)"

    def __reduce__(self) -> tuple[Any, ...]:
        return Document, (self.text, None, self.notes)
