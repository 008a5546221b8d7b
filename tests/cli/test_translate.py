# SPDX-License-Identifier: Apache-2.0
"""`openami translate`: both ways, from arguments, files and pipes."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openami.cli.translate import translate
from openami.runtime.errors import ExitCode, UserError

GET = "c0 01 c1 00 08 00 00 01 00 00 ff 02 00"


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(translate, arguments, input=stdin, standalone_mode=False)


def test_hexadecimal_to_xml_and_back(tmp_path: Path) -> None:
    written = run(GET)
    path = tmp_path / "apdu.xml"
    path.write_text(written.output, encoding="utf-8")

    assert written.return_value == ExitCode.DONE
    assert "<instance-id>0.0.1.0.0.255</instance-id>" in written.output
    assert run("-f", str(path)).output == f"{GET}\n"
    assert run(stdin=written.output).output == f"{GET}\n"
    assert run(written.output).output == f"{GET}\n"


def test_octets_in_other_forms(tmp_path: Path) -> None:
    path = tmp_path / "apdu.bin"
    path.write_bytes(bytes.fromhex(GET))

    assert run("-f", str(path)).output == run(GET).output
    assert run("--base64", "wAHBAAgAAAEAAP8CAA==").output == run(GET).output
    assert "<integer>5</integer>" in run("--framing", "none", "0f05").output


def test_the_schema_is_printed() -> None:
    assert run("--schema").output.startswith('<?xml version="1.0" encoding="UTF-8"?>')


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("<openami",), "XML, line 1: this is not well formed"),
        (("zz",), "HEX: digit 1 'z' is not hexadecimal"),
        (("-f", "absent.xml"), "absent.xml cannot be read: No such file"),
        (("-f", "absent.xml", "00"), "give it in one place"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    result = run(*arguments)

    assert isinstance(result.exception, UserError)
    assert result.exception.exit_code == ExitCode.ASKED_WRONGLY
    assert sentence in str(result.exception)


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "apdu.xml"
    path.write_bytes(b"<openami\xff/>")
    result = run("-f", str(path))

    assert isinstance(result.exception, UserError)
    assert "octet 8 is not UTF-8" in str(result.exception)
