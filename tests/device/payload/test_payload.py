# SPDX-License-Identifier: Apache-2.0
"""The meter's programs: which modules they hold, that nothing else is there, their sizes."""

import ast
import builtins
import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.device.payload import rom
from openami.device.payload.container import HEAD, Payload
from openami.device.payload.errors import PayloadError
from openami.device.payload.pack import pack
from openami.device.payload.parts import BOOT, MANAGEMENT, METROLOGY, PROGRAMS, Program
from openami.device.payload.prune import prune
from openami.device.payload.release import Release
from openami.device.payload.sources import Library, Source, here, imports, needed
from openami.device.payload.strip import shortest, stripped

EACH_PROGRAM = pytest.mark.parametrize(
    "program", [BOOT, METROLOGY, *PROGRAMS], ids=lambda each: each.name
)


def library(folder: Path, **modules: str) -> Library:
    package = folder / "openami"
    for name, text in modules.items():
        path = package.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.with_suffix(".py").write_text(text, encoding="utf-8")
    return Library(package)


def program(entry: str = "openami.a:main", **denied: str) -> Program:
    names = {name.replace("__", "."): reason for name, reason in denied.items()}
    return replace(MANAGEMENT, entry=entry, denied=MappingProxyType(names))


def run(folder: Path, octets: bytes, *words: str) -> subprocess.CompletedProcess[str]:
    path = folder / "program"
    path.write_bytes(octets)
    command = [str(rom.interpreter()), *rom.ISOLATED, str(path), str(rom.libraries()), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


@pytest.fixture(scope="module")
def release() -> Release:
    return Release.of(here())


@EACH_PROGRAM
def test_each_program_fits_its_room(program: Program, release: Release) -> None:
    made = {packed.program.name: packed for packed in release.programs}
    packed = made[program.name] if program.name in made else pack(program, here())
    assert packed.spare_octets >= 0, sorted(packed.modules.items(), key=lambda pair: -pair[1])[:9]


def test_the_release_fits_the_slot(release: Release) -> None:
    release.verify_budget()


@EACH_PROGRAM
def test_each_module_of_a_program_can_be_imported_where_nothing_is_installed(
    program: Program, tmp_path: Path
) -> None:
    names = list(needed(program, here()))
    probe = "\n".join(
        [
            "import importlib, sys",
            "def main(arguments):",
            f"    for name in {names!r}:",
            "        importlib.import_module(name)",
            "    print(len([name for name in sys.modules if name.startswith('openami.')]))",
            "    return 0",
        ]
    )

    class WithProbe(Library):
        def find(self, name: str) -> Source | None:
            found = super().find(name)
            if found is not None and name == program.entry.partition(":")[0]:
                return replace(found, text=f"{found.text}\n{probe}\n")
            return found

    root = Path(sys.modules["openami"].__path__[0])
    outcome = run(tmp_path, pack(program, WithProbe(root)).octets)
    assert outcome.returncode == 0, outcome.stderr
    assert int(outcome.stdout) >= len(names) - 1


@EACH_PROGRAM
def test_nothing_that_is_denied_is_in_a_program(program: Program) -> None:
    names = needed(program, here())
    assert not [name for name in names if program.denies(name)]
    assert not any(name.startswith("openami.cli") for name in names)


def test_the_same_source_makes_the_same_octets(tmp_path: Path, release: Release) -> None:
    script = (
        "import hashlib; from openami.device.payload.release import Release;"
        "from openami.device.payload.sources import here;"
        "print(hashlib.sha256(Release.of(here()).payload.encode()).hexdigest())"
    )
    # What is in this process was made under a seed and in a zone of its own.
    environment = {"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path), "TZ": "UTC11"}
    other = subprocess.check_output([sys.executable, "-c", script], env=environment, cwd=tmp_path)
    assert other.decode().strip() == hashlib.sha256(release.payload.encode()).hexdigest()


def test_a_program_finds_its_modules_and_no_installed_ones(tmp_path: Path) -> None:
    text = (
        "def main(arguments):\n"
        "    from openami import b\n"
        "    print(b.NAME, arguments)\n"
        "    try:\n"
        "        import openami.cosem\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error)\n"
        "    try:\n"
        "        import click\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error)\n"
        "    return 3\n"
    )
    packed = pack(
        replace(program(), libraries=("click",)),
        library(tmp_path, a=text, b="'''Text.'''\nNAME: int = 7  # comment\n"),
    )
    shut = pack(program(), library(tmp_path, a=text.replace("import click", "__import__('click')")))

    opened, closed = run(tmp_path, packed.octets, "x"), run(tmp_path, shut.octets)

    assert opened.returncode == closed.returncode == 3, opened.stderr + closed.stderr
    assert opened.stdout == "7 ['x']\nopenami.cosem is not part of this program\n"
    assert closed.stdout.endswith("No module named 'click'\n")
    names = zipfile.ZipFile(tmp_path / "program").namelist()
    assert names == ["__main__.py", "table", "modules"]


def test_a_traceback_in_a_program_names_its_modules(tmp_path: Path) -> None:
    text = "def main(arguments):\n    raise RuntimeError('so')\n"
    outcome = run(tmp_path, pack(program(), library(tmp_path, a=text)).octets)
    assert outcome.returncode == 1
    assert "<openami.a>" in outcome.stderr
    assert "RuntimeError: so" in outcome.stderr


def test_what_is_denied_may_stand_behind_a_door_only(tmp_path: Path) -> None:
    lazy = library(tmp_path / "lazy", a="def main(a):\n    from openami import b\n", b="")
    assert "openami.b" not in needed(program(openami__b="too large"), lazy)

    at_once = library(tmp_path / "once", a="from openami import b\n", b="")
    with pytest.raises(PayloadError, match=r"openami\.a imports openami\.b.*too large"):
        needed(program(openami__b="too large"), at_once)


def test_a_library_outside_of_the_rom_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match=r"openami\.a imports rich, which is not in the ROM"):
        needed(program(), library(tmp_path, a="import rich\n"))
    with pytest.raises(PayloadError, match=r"no module openami\.z"):
        needed(program("openami.z:main"), library(tmp_path, a=""))


def test_a_program_that_is_too_large_is_refused_with_both_numbers(release: Release) -> None:
    least = len(release.programs[0].octets)
    small = replace(
        release.programs[0], program=replace(release.programs[0].program, room_octets=least - 1)
    )
    with pytest.raises(PayloadError, match=f"{least:,} octets, 1 more than its room"):
        replace(release, programs=(small, *release.programs[1:])).verify_budget()


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    text = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import openami.never\n"
        "try:\n    import openami.tried\n"
        "except ImportError:\n    import openami.instead\n"
        "class A:\n    import openami.inside\n"
        "    def f(self):\n        from . import later\n"
        "match 1:\n    case 1:\n        import openami.matched\n"
    )
    source = library(tmp_path, a=text).find("openami.a")
    assert source is not None
    found = {each.module: each.at_once for each in imports(source) if "." in each.module}
    del found["typing.TYPE_CHECKING"]
    assert found == {
        "openami.tried": True,
        "openami.instead": True,
        "openami.inside": True,
        "openami.later": False,
        "openami.matched": True,
    }


def test_what_is_stripped_runs_the_same() -> None:
    text = (
        '"""A module."""\n'
        "from dataclasses import dataclass\n"
        "from typing import ClassVar, NamedTuple, Protocol\n"
        "class P(Protocol):\n"
        "    def f(self) -> int:\n"
        '        """Only said."""\n'
        "class N(NamedTuple):\n"
        '    """Two."""\n'
        "    a: int  # first\n"
        "    b: str = 'x'\n"
        "def g(a: int, *rest: int, b: str = 'y', **others: int) -> N:\n"
        "    c: int = a + 1\n"
        "    d: int\n"
        "    return N(c, b)\n"
        "async def h() -> None:\n"
        "    '''Nothing.'''\n"
        "LINES = '''one\n    two'''\n"
        "'''Said of lines.'''\n"
        "@dataclass\n"
        "class D:\n"
        "    kind: ClassVar[int] = 3\n"
        "    size: int = 4\n"
    )
    plain: dict[str, object] = {}
    short: dict[str, object] = {}
    exec(text, plain)  # noqa: S102
    exec(shortest(stripped(text)), short)  # noqa: S102
    for found in (plain, short):
        assert found["g"](1) == (2, "y")  # type: ignore[operator]
        assert repr(found["D"](5)) == "D(size=5)"  # type: ignore[operator]
    assert plain["LINES"] == short["LINES"]
    words = shortest(stripped(text))
    assert not any(word in words for word in ("Only", "first", "Nothing", "Two", "-> N", "Said"))
    assert shortest(stripped(words)) == words


def test_every_module_that_is_stripped_declares_what_it_did() -> None:
    for name, source in needed(MANAGEMENT, here()).items():
        before, after = ast.parse(source.text), stripped(source.text)
        for kind in (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef):
            names = [
                [node.name for node in ast.walk(tree) if isinstance(node, kind)]
                for tree in (before, after)
            ]
            assert names[0] == names[1], name


def pruned(entry: str = "openami.a:main", **modules: str) -> dict[str, str]:
    trees = {f"openami.{name}": stripped(text) for name, text in modules.items()}
    prune(trees, entry)
    return {name.removeprefix("openami."): shortest(tree) for name, tree in trees.items()}


def test_what_nobody_says_is_left_out_and_all_that_it_alone_said() -> None:
    found = pruned(
        a="from openami.b import X, used\ndef main(): return used()\n",
        b=(
            "import struct\nfrom typing import Final\n"
            "X: Final = struct.Struct('B')\nTABLE: Final = (X, X)\n"
            "def used(): return 1\n"
            "def idle(): return helper(idle)\n"
            "def helper(x): return x\n"
        ),
    )
    assert found["a"] == "from openami.b import used\n\ndef main():\n return used()\n"
    assert found["b"] == "import struct\n\ndef used():\n return 1\n"


@pytest.mark.parametrize(
    "kept",
    [
        "@register\ndef f():\n return 1\n",
        "class Joined(Registry, number=3):\n x = 1\n",
        "class Joined(Registry):\n x = 1\n",
        "X = register(3)\n",
        "X, Y = (1, 2)\n",
        "__version__ = '1'\n",
        "if True:\n\n def f():\n  return 1\n",
    ],
)
def test_what_does_something_when_it_is_made_stays(kept: str) -> None:
    assert pruned(a=f"def main(): pass\n{kept}")["a"].endswith(kept)


@pytest.mark.parametrize(
    "use",
    ["b.f", "getattr(b, 'f')", "'a word f inside'", "call(f=1)", "[x for x in f]"],
)
def test_a_name_that_is_said_in_any_way_stays(use: str) -> None:
    text = f"from openami import b\ndef main(): return {use}\n"
    assert pruned(a=text, b="def f(): return 1\n")["b"] == "def f():\n return 1\n"


def test_a_module_hands_on_what_it_says_it_does() -> None:
    found = pruned(
        a="from openami.b import C\ndef main(): return C()\n",
        b="from openami.c import C, D\n__all__ = ['C']\n",
        c="class C: pass\nclass D: pass\n",
    )
    assert found["b"] == "from openami.c import C\n__all__ = ['C']\n"
    assert found["c"] == "class C:\n pass\n"


def test_a_module_stays_imported_without_its_names() -> None:
    found = pruned(
        a="from openami.b import C\nfrom openami import c\nfrom re import compile\n"
        "def main(x: C, y: compile): pass\n",
        b="class C: pass\nregister()\n",
        c="register()\n",
    )
    assert found["a"].startswith("import openami.b\nfrom openami import c\n\ndef main(x, y)")
    assert found["b"] == "register()\n"


@EACH_PROGRAM
def test_every_name_that_a_program_says_is_still_there(program: Program) -> None:
    sources = needed(program, here())
    trees = {
        f"{name}." if source.package else name: stripped(source.text)
        for name, source in sources.items()
    }
    prune(trees, program.entry)
    modules = {name.rstrip("."): ast.parse(shortest(tree)) for name, tree in trees.items()}
    made = {name: names_made(tree) for name, tree in modules.items()}
    for name, tree in modules.items():
        inner = {
            each.id if isinstance(each, ast.Name) else each.arg
            for each in ast.walk(tree)
            if isinstance(each, ast.arg) or (isinstance(each, ast.Name) and bound(each))
        } | names_made(tree, anywhere=True)
        for each in ast.walk(tree):
            if isinstance(each, ast.Name):
                assert each.id in inner or hasattr(builtins, each.id) or each.id.startswith("__")
            if isinstance(each, ast.ImportFrom) and each.module in made:
                for alias in each.names:
                    whole = f"{each.module}.{alias.name}"
                    there = alias.name in made[each.module] or whole in modules
                    lazy = "__getattr__" in made[each.module]
                    assert there or lazy or program.denies(whole), f"{name}: {whole}"


def bound(name: ast.Name) -> bool:
    return not isinstance(name.ctx, ast.Load)


def names_made(tree: ast.Module, *, anywhere: bool = False) -> set[str]:
    found: set[str] = set()
    for each in ast.walk(tree) if anywhere else tree.body:
        match each:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {alias.asname or alias.name.partition(".")[0] for alias in names}
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                found.add(name)
            case ast.MatchMapping(rest=str(name)) | ast.ExceptHandler(name=str(name)):
                found.add(name)
            case ast.stmt() if not anywhere:
                found |= {x.id for x in ast.walk(each) if isinstance(x, ast.Name) and bound(x)}
            case _:
                pass
    return found


@given(st.binary(max_size=40), st.binary(min_size=1, max_size=40), st.integers(0, 15))
def test_a_payload_is_taken_apart_as_it_was_made(
    secure: bytes, management: bytes, zeros: int
) -> None:
    payload = Payload(secure=secure, management=management)
    assert Payload.decode(payload.encode() + bytes(zeros)) == payload


@pytest.mark.parametrize("cut", range(len(Payload(secure=b"abc", management=b"defg").encode())))
def test_a_payload_that_ends_too_early_is_refused(cut: int) -> None:
    octets = Payload(secure=b"abc", management=b"defg").encode()
    with pytest.raises(PayloadError):
        Payload.decode(octets[:cut])


def test_a_payload_with_something_behind_it_or_another_beginning_is_refused() -> None:
    octets = Payload(secure=b"abc", management=b"defg").encode()
    with pytest.raises(PayloadError, match="contradicts itself"):
        Payload.decode(octets + b"\x01")
    for at in range(HEAD.size):
        spoilt = bytearray(octets)
        spoilt[at] ^= 1
        with pytest.raises(PayloadError):
            Payload.decode(bytes(spoilt))


def test_the_rom_is_measured_by_name_and_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lib/a.py", "lib/test/b.py", "lib/__pycache__/a.pyc", "site/cbor2/c.py", "exe"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    monkeypatch.setattr(rom, "interpreter", lambda: tmp_path / "exe")
    monkeypatch.setattr(rom.sysconfig, "get_path", lambda _name: str(tmp_path / "lib"))
    first = rom.measure(tmp_path / "site")
    (tmp_path / "lib/test/b.py").write_text("other", encoding="utf-8")
    (tmp_path / "lib/__pycache__/a.pyc").write_text("other", encoding="utf-8")
    assert rom.measure(tmp_path / "site") == first
    for name in ("lib/a.py", "site/cbor2/c.py", "exe"):
        (tmp_path / name).write_text("other", encoding="utf-8")
        second = rom.measure(tmp_path / "site")
        assert second != first
        first = second
    (tmp_path / "lib/a.py").rename(tmp_path / "lib/d.py")
    assert rom.measure(tmp_path / "site") != first
