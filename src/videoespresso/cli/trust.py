"""`videoespresso trust`: lets a settings file of a folder count as a whole."""

from pathlib import Path
from typing import Annotated

import typer

from videoespresso.cli.console import examples, one_line, out, write_json
from videoespresso.errors import UserError
from videoespresso.settings_file import FILE_NAME, forget, read, trust
from videoespresso.types import Record

EPILOG = examples(
    "trust                                  # the file in this folder, as it is now",
    f"trust project/{FILE_NAME}",
    "trust --forget",
)


class Trusted(Record):
    """A file, the sha256 of its content, and the settings in it."""

    path: str
    sha256: str
    keys: tuple[str, ...]


def trust_file(
    file: Annotated[Path, typer.Argument(help="The settings file.", show_default=True)] = Path(
        FILE_NAME
    ),
    *,
    forget_it: Annotated[
        bool, typer.Option("--forget", help="Trust it no longer, whatever is in it.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the typed result, only.")] = False,
) -> None:
    """Trust a folder's settings file as it is now: its models, tools and servers count from then.

    A file that came with a clone or an archive may send frames and keys elsewhere or run programs.
    Read it first. When it changes it has to be trusted again. On machines without a person:
    VIDEOESPRESSO_TRUST=SHA256.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such file", hint=f"Give the path of a {FILE_NAME}.")
    if forget_it:
        count = forget(file)
        out().print("it is trusted no longer" if count else "it was not trusted")
        return
    values, sha = read(file)
    trust(file)
    trusted = Trusted(path=str(file.absolute()), sha256=sha, keys=tuple(values))
    if json:
        write_json(trusted)
        return
    out().print(f"trusted: {one_line(trusted.path)} (sha256 {sha})")
    out().print(f"it sets: {one_line(', '.join(trusted.keys)) or 'nothing'}", style="dim")
