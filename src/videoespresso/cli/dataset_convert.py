"""`videoespresso dataset convert | export | schema`: between our records and everyone's formats."""

import typer

from videoespresso.cli.console import examples


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("schema", epilog=examples("dataset schema > record.schema.json"))(schema)


def schema() -> None:
    """Print the JSON Schema of a record."""
    import json

    from videoespresso.items import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
