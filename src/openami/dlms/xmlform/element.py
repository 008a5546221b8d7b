# SPDX-License-Identifier: Apache-2.0
"""Elements, their text, and how to get from one to the other: as much of XML as the form needs.

Reading takes no document type: no entity is expanded and nothing outside of the text is opened.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

NAMESPACE: Final = "urn:openami:apdu:1"
DEEPEST: Final = 200
"""How deep elements may stand in each other; data nest to 32 levels."""

_SEPARATOR: Final = "}"


class XmlError(ValueError):
    """What is wrong with a text, in one sentence that tells the line."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


@dataclass(slots=True)
class Element:
    """One element.

    Attributes:
        name: Without namespace.
        attributes: By name.
        text: Between its tags, where it has no children.
        children: In their order.
        line: Where it began; 0 for one that was not read.
    """

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list["Element"] = field(default_factory=list)
    line: int = 0

    def refusal(self, problem: str) -> XmlError:
        """Return the error for what stands here."""
        return XmlError(self.line, f"<{self.name}> {problem}")

    def only_child(self) -> "Element":
        """Return the one child that must be here."""
        if len(self.children) != 1:
            raise self.refusal(f"holds {len(self.children)} elements, not one")
        return self.children[0]


def write(root: Element) -> str:
    """Return the text of a document."""
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    rooted = Element(root.name, {"xmlns": NAMESPACE} | root.attributes, root.text, root.children)
    return "\n".join((head, *_lines(rooted, 0), ""))


def _lines(element: Element, depth: int) -> Iterator[str]:
    indent = "  " * depth
    attributes = "".join(
        f" {name}={quoteattr(value)}" for name, value in element.attributes.items()
    )
    opening = f"{indent}<{element.name}{attributes}"
    if element.children:
        yield f"{opening}>"
        for child in element.children:
            yield from _lines(child, depth + 1)
        yield f"{indent}</{element.name}>"
    elif element.text:
        yield f"{opening}>{escape(element.text)}</{element.name}>"
    else:
        yield f"{opening}/>"


def read(text: str) -> Element:
    """Return the root of a document.

    Raises:
        XmlError: The text is not well formed, of another namespace, or brings a document type.
    """
    reader = _Reader()
    # The text was decoded before: what its declaration says of an encoding is over.
    parser = expat.ParserCreate("utf-8", namespace_separator=_SEPARATOR)
    parser.buffer_text = True
    reader.parser = parser
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    try:
        parser.Parse(text.encode("utf-8"), True)  # noqa: FBT003  expat's signature
    except expat.ExpatError as error:
        problem = expat.ErrorString(error.code)
        raise XmlError(error.lineno, f"this is not well formed: {problem}") from None
    except UnicodeEncodeError:
        raise XmlError(1, "this is not well formed: it holds half a character") from None
    if reader.root is None:
        raise XmlError(1, "there is no element")
    return reader.root


@dataclass(slots=True)
class _Reader:
    root: Element | None = None
    open: list[Element] = field(default_factory=list)
    parser: expat.XMLParserType | None = None

    @property
    def line(self) -> int:
        return 0 if self.parser is None else self.parser.CurrentLineNumber

    def doctype(self, *_: object) -> None:
        problem = "a document type stands here: this form has none, and no entities"
        raise XmlError(self.line, problem)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, found, local = name.rpartition(_SEPARATOR)
        if not found or namespace != NAMESPACE:
            problem = f"<{local}> is of namespace {namespace or '(none)'}, not {NAMESPACE}"
            raise XmlError(self.line, problem)
        if len(self.open) >= DEEPEST:
            raise XmlError(self.line, f"elements stand deeper than {DEEPEST} levels")
        element = Element(local, attributes, line=self.line)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def end(self, _name: str) -> None:
        element = self.open.pop()
        if element.children and element.text.strip():
            raise element.refusal("holds text beside its elements")
        if element.children:
            element.text = ""

    def characters(self, text: str) -> None:
        self.open[-1].text += text
