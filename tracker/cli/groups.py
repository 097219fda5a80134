"""Command groups: loaded only when used, and with a command that a bare group name runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

# Typer's parser types are private to it, so what is only handed on is `Any` here.


class ListByDefault(TyperGroup):
    """`tracker entities` is `tracker entities list`, options included."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before what does not begin with a command of the group."""
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class LazyGroup(TyperGroup):
    """A group whose commands' modules are imported when they are run.

    `table` maps a name to (module, attribute, one line of help). The attribute is a Typer app or
    a function.
    """

    table: ClassVar[dict[str, tuple[str, str, str]]] = {}

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, (_, _, says) in self.table.items():
            self.add_command(TyperCommand(name, help=says))  # enough to be listed

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The real command that `args` names."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, None if found is None or name is None else load(*self.table[name][:2]), rest


def load(module: str, attribute: str) -> Any:
    """The command that `attribute` of `module` is."""
    found: Any = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return get_command(found)
    app = typer.Typer(add_completion=False)
    app.command(name=attribute)(found)
    return get_command(app)
