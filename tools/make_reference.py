# SPDX-License-Identifier: Apache-2.0
"""Write docs/reference: every interface class, from the tables that client and server run on.

    python tools/make_reference.py

`pages` is what the test compares with the committed files.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import groupby
from pathlib import Path
from typing import Any

from openami.cosem.classes.chapters import CHAPTERS, LATER, Chapter
from openami.cosem.kinds import Kind, Shape
from openami.cosem.model import Access, Attribute, InterfaceClass, Method

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE_BY = "<!-- made by tools/make_reference.py: change the tables in src/openami/cosem instead -->"

Table = type[InterfaceClass]
Types = dict[str, Kind[Any] | type[IntEnum]]


def pages() -> dict[str, str]:
    """Return each page by its file name."""
    found = {f"{chapter.name}.md": _page(chapter) for chapter in CHAPTERS}
    return {"README.md": _index()} | found


def _index() -> str:
    lines = [
        MADE_BY,
        "# Interface classes",
        "",
        "Every class that OpenAMI knows, made from the tables that its server, client and tests",
        "run on (`openami.cosem`). A class is known by its id and its version; an object of a",
        "version that is not here is read with the rows of the highest one, and what it has beyond",
        "that by index.",
        "",
        "- Attribute 1 of every class is its logical name, an octet-string of 6.",
        "- **(?)** stands where only one source could be found. It is served and read like the",
        "  rest.",
        "- *data of undeclared type*: the attribute is known by name only. Its value is kept as it",
        "  comes.",
        "- *dynamic*: the meter changes the value by itself. *write* and *read, write* say what a",
        "  class lets a client do before its rights are asked.",
        "- Short names: an attribute stands 8 × (index − 1) above the object's short name; the",
        "  offset of a method is in its row in hexadecimal, where it is known.",
        "- Clauses are those of DLMS UA 1000-1, edition 12; chapters without one came later.",
        "",
        "| chapter | clause | classes |",
        "|---|---|---|",
    ]
    for chapter in CHAPTERS:
        ids = ", ".join(
            f"[{versions[0].class_id}]({chapter.name}.md#{_anchor(_heading(versions))})"
            for versions in _by_id(chapter)
        )
        lines.append(f"| [{chapter.title}]({chapter.name}.md) | {chapter.clause} | {ids} |")
    return _joined(lines)


def _page(chapter: Chapter) -> str:
    lines = [MADE_BY, f"# {chapter.title}", ""]
    if chapter.clause:
        lines += [f"DLMS UA 1000-1 Ed. 12, {chapter.clause}. [All chapters](README.md).", ""]
    else:
        lines += ["In editions of DLMS UA 1000-1 after 12. [All chapters](README.md).", ""]
    types: Types = {}
    for versions in _by_id(chapter):
        lines += _class(chapter, versions, types)
    if types:
        lines += ["## Types", ""]
    for name in sorted(types, key=str.lower):
        lines += _type(name, types[name])
    return _joined(lines)


def _by_id(chapter: Chapter) -> Iterator[list[Table]]:
    for _, versions in groupby(chapter.classes(), key=lambda table: table.class_id):
        yield list(versions)


def _heading(versions: list[Table]) -> str:
    name = re.sub(r"V\d+$", "", versions[0].__name__)
    return f"{versions[0].class_id} {name}"


def _class(chapter: Chapter, versions: list[Table], types: Types) -> Iterator[str]:
    yield from (f"## {_heading(versions)}", "", f"{_clause(chapter, versions)}.", "")
    for table in versions:
        said = re.sub(r"^Version \d+[:.] ?", "", _prose(table))
        unsure = f" **(?)** {_capital(table.unsure)}." if table.unsure else ""
        yield f"- Version {table.version}, `{table.__name__}`: {_capital(said)}{unsure}".replace(
            ":  ", ": "
        )
    yield ""
    attributes = [
        (table.version, row.index, _attribute(row, types))
        for table in versions
        for row in table.attributes()
        if row.index > 1
    ]
    methods = [
        (table.version, row.index, _method(table, row, types))
        for table in versions
        for row in table.methods()
    ]
    one = len(versions) == 1
    yield from _rows("attribute | type | access", attributes, one=one)
    yield from _rows("method | argument | result | short name", methods, one=one)


def _clause(chapter: Chapter, versions: list[Table]) -> str:
    """Return where the standard has the class: its clause, else its chapter."""
    for table in versions:
        if found := re.search(r"\((4\.\d+\.\d+)\b", inspect.getdoc(table) or ""):
            return f"Clause {found[1]}"
    if not chapter.clause or versions[0].class_id in LATER:
        return "In an edition after 12"
    return f"In chapter {re.sub(r' .class.*', '', chapter.clause)}"


def _rows(head: str, rows: Iterable[tuple[int, int, str]], *, one: bool) -> Iterator[str]:
    """Yield a table with one line for each row that differs, and the versions that have it."""
    held: dict[tuple[int, str], list[int]] = {}
    for version, index, text in rows:
        held.setdefault((index, text), []).append(version)
    if not held:
        return
    columns = f"| | {head} |" if one else f"| | {head} | versions |"
    yield columns
    yield "|---" * (columns.count("|") - 1) + "|"
    for (index, text), found in sorted(held.items(), key=lambda item: (item[0][0], item[1][0])):
        yield f"| {index} | {text} |" if one else f"| {index} | {text} | {_span(found)} |"
    yield ""


def _attribute(row: Attribute[Any], types: Types) -> str:
    access = {
        Access.READ: "read",
        Access.WRITE: "write",
        Access.READ_WRITE: "read, write",
    }[row.access]
    dynamic = ", dynamic" if row.dynamic else ""
    return f"`{row.name}`{_mark(row.unsure)} | {_text(row.kind, types)} | {access}{dynamic}"


def _method(table: Table, row: Method[Any, Any], types: Types) -> str:
    offset = table.short_name_offset(row)
    place = "" if offset is None else f"{offset:02X}"
    argument, result = _text(row.argument, types), _text(row.result, types)
    return (
        f"`{row.name}`{_mark(row.unsure)} | {argument} | "
        f"{'' if result == 'null-data' else result} | {place}"
    )


def _mark(unsure: str) -> str:
    return f" **(?)** {unsure}" if unsure else ""


def _text(kind: Kind[Any], types: Types) -> str:
    """Return a type in words, and remember the types that it names."""
    match kind.shape:
        case Shape.ARRAY:
            return f"array of {_text(kind.parts[0], types)}"
        case Shape.CHOICE:
            return "; or ".join(_text(part, types) for part in kind.parts)
        case Shape.STRUCTURE if kind.made_of is None:
            return f"structure of {', '.join(_text(part, types) for part in kind.parts)}"
        case Shape.STRUCTURE:
            return f"structure {_link(_name(kind.made_of), kind, types)}"
    words = re.sub(r" ?enum [A-Z]\w*$", "enum", kind.name)
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", words) if " " not in words else words
    words = words.lower() if words[:1].isupper() and words[1:2].islower() else words
    links = " ".join(_link(codes.__name__, codes, types) for codes in kind.codes)
    return f"{words} {links}".rstrip()


def _link(name: str, named: Kind[Any] | type[IntEnum], types: Types) -> str:
    known = types.setdefault(name, named)
    if _source(known) is not _source(named):
        raise ValueError(f"two types are named {name}: rename one, so that the page can link it")
    if known is named and isinstance(named, Kind):
        for part in named.parts:
            _text(part, types)
    return f"[{name}](#{_anchor(name)})"


def _name(made_of: object) -> str:
    return str(getattr(made_of, "__name__", made_of))


def _source(named: Kind[Any] | type[IntEnum]) -> object:
    return named.made_of if isinstance(named, Kind) else named


def _type(name: str, named: Kind[Any] | type[IntEnum]) -> Iterator[str]:
    yield from (f"### {name}", "")
    yield from (_prose(_source(named)), "")
    if isinstance(named, Kind):
        members: Iterable[str] = getattr(named.made_of, "_fields", ())
        yield from ("| member | type |", "|---|---|")
        for member, kind in zip(members, named.parts, strict=True):
            yield f"| `{member}` | {_text(kind, {})} |"
    else:
        yield from ("| code | name |", "|---|---|")
        for code in named:
            yield f"| {code.value} | `{code.name}` |"
    yield ""


def _prose(named: object) -> str:
    """Return a docstring as one paragraph of Markdown."""
    said = inspect.getdoc(named) or ""
    said = re.sub(r"\n(Attributes|Args):\n.*", "", said, flags=re.DOTALL)
    return re.sub(r"\s+", " ", said).replace("``", "`").strip()


def _span(versions: list[int]) -> str:
    first, last = min(versions), max(versions)
    if len(versions) > 1 and versions == list(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(map(str, versions))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Write every page, and remove those of chapters that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(made)} pages in {FOLDER}")


if __name__ == "__main__":
    main()
