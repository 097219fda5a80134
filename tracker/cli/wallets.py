"""`tracker wallets`: the addresses of entities, one by one or by a descriptor of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tracker.cli.bootstrapping import await_descriptor, await_wallet, opened
from tracker.cli.client import segment
from tracker.cli.groups import ListByDefault
from tracker.cli.output import Json, emit, imported, paragraph, table
from tracker.cli.service import client, read_file, upload_rows
from tracker.errors import InputError

app = typer.Typer(
    cls=ListByDefault,
    rich_markup_mode=None,
    help="The addresses of entities, and how each is known.",
)

_MAX_TEXT = 10_000  # characters of a descriptor

Entity = Annotated[str | None, typer.Argument(help="Whose it is.")]
Chain = Annotated[str | None, typer.Argument(help="bitcoin or ethereum")]
Address = Annotated[str | None, typer.Argument()]


@app.command("list")
def list_wallets(
    entity: Annotated[str | None, typer.Argument(help="Of this entity only.")] = None,
    as_json: Json = False,
) -> None:
    """List watched addresses."""
    path = "/v1/wallets" if entity is None else f"/v1/entities/{segment(entity)}/wallets"
    emit(client().all_items(path), as_json, lambda data: _table(data["items"]))


@app.command()
def descriptors(as_json: Json = False) -> None:
    """List descriptors, each by its short form."""
    emit(client().all_items("/v1/descriptors"), as_json, lambda data: _descriptors(data["items"]))


@app.command()
def add(
    entity: Entity = None,
    chain: Chain = None,
    address: Address = None,
    owner: Annotated[str | None, typer.Option("--entity", help="The same as ENTITY.")] = None,
    descriptor: Annotated[
        str | None,
        typer.Option(
            help="An output descriptor or extended public key, in place of an address. @FILE reads "
            "it from a file, - from standard input: so it stays out of the shell's history."
        ),
    ] = None,
    gap_limit: Annotated[
        int, typer.Option(help="Of a descriptor: unused addresses watched on each branch.")
    ] = 20,
    role: Annotated[str, typer.Option(help="treasury, cold, hot, mining, …")] = "treasury",
    tier: Annotated[
        str, typer.Option(help="How it is known: proved, attested, filing, operator_verified, …")
    ] = "user",
    source: Annotated[str | None, typer.Option(help="Where it is from.")] = None,
    note: Annotated[str | None, typer.Option()] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is known what it holds.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Watch an address, or all addresses of a descriptor, from the next block on."""
    who = entity or owner
    if who is None or (entity and owner and entity != owner):
        raise InputError(
            "one entity is needed", field="ENTITY", value=f"{entity or ''} {owner or ''}".strip(),
            mend="write: tracker wallets add ENTITY CHAIN ADDRESS",
        )  # fmt: skip
    how = {"role": role, "tier": tier, "source": source, "note": note}
    if descriptor is not None:
        if chain is not None or address is not None:
            raise InputError(
                "a descriptor and an address", field="ADDRESS", value=address or chain,
                mend="add them one after the other",
            )  # fmt: skip
        _add_descriptor(who, descriptor, gap_limit, how, wait=wait, as_json=as_json)
        return
    if chain is None or address is None:
        raise InputError(
            "nothing to add", field="ADDRESS",
            mend="give CHAIN and ADDRESS, or --descriptor @FILE",
        )  # fmt: skip
    service = client()
    made = service.post(
        f"/v1/entities/{segment(who)}/wallets", {"chain": chain, "address": address, **how}
    )
    shown = await_wallet(service, made) if wait else made
    emit(shown, as_json, _added)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or JSON; - for standard input.")],
    form: Annotated[str | None, typer.Option("--format", help="csv or json")] = None,
    dry_run: Annotated[bool, typer.Option(help="Check every row, write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Add the wallets of a file; bad rows are told one by one, good ones land."""
    imported(upload_rows("/v1/wallets/import", file, form, dry_run=dry_run), as_json)


@app.command()
def remove(
    chain: Chain = None,
    address: Address = None,
    descriptor: Annotated[
        int | None, typer.Option(help="Its id: all its addresses, in place of one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Stop watching an address, or a descriptor; alerts that rested on it are judged anew."""
    if descriptor is not None and chain is None:
        gone = client().delete(f"/v1/descriptors/{descriptor}")
        emit(
            gone,
            as_json,
            lambda data: typer.echo(
                f"{data['wallets']} addresses of descriptor {data['id']} are no longer watched; "
                f"{data['alerts_changed']} alerts changed"
            ),
        )
        return
    if chain is None or address is None or descriptor is not None:
        raise InputError(
            "one wallet or descriptor is needed", field="ADDRESS",
            mend="give CHAIN and ADDRESS, or --descriptor ID",
        )  # fmt: skip
    gone = client().delete(f"/v1/wallets/{segment(chain)}/{segment(address)}")
    emit(
        gone,
        as_json,
        lambda data: typer.echo(
            f"{data['address']} is no longer watched; {data['alerts_changed']} alerts changed"
        ),
    )


def _add_descriptor(
    entity: str, given: str, gap_limit: int, how: dict[str, Any], *, wait: bool, as_json: bool
) -> None:
    service = client()
    body = {"entity": entity, "descriptor": _text(given), "gap_limit": gap_limit, **how}
    made = service.post("/v1/descriptors", body)
    shown = await_descriptor(service, made) if wait else made
    emit(shown, as_json, _described)


def _text(given: str) -> str:
    """The descriptor itself, from where `given` names it. Raises `InputError` without the text."""
    if given == "-":
        content = read_file(Path("-"))
    elif given.startswith("@"):
        content = read_file(Path(given[1:]))
    else:
        return given
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(text) > _MAX_TEXT or "\n" in text:
        raise InputError(
            "the file does not hold one descriptor", field="--descriptor", value=given,
            mend="write the descriptor in it, in one line",
        )  # fmt: skip
    return text


def _added(item: dict[str, Any]) -> None:
    _table([item])
    paragraph(opened(item))


def _described(item: dict[str, Any]) -> None:
    _descriptors([item])
    paragraph(opened(item))
    for warning in item["warnings"]:
        paragraph(f"warning: {warning}")


def _table(items: list[dict[str, Any]]) -> None:
    table(
        ("entity", "chain", "address", "role", "tier"),
        [
            (
                item["entity"],
                item["chain"],
                item["address"] + _place(item),
                item["role"],
                item["tier"],
            )
            for item in items
        ],
        empty="no wallet is known",
    )


def _place(item: dict[str, Any]) -> str:
    """Where a derived address stands: descriptor, branch and index."""
    if item.get("descriptor_id") is None:
        return ""
    return f"\ndescriptor {item['descriptor_id']}: {item['branch']}/{item['child_index']}"


def _descriptors(items: list[dict[str, Any]]) -> None:
    table(
        (">id", "entity", "descriptor", ">addresses", ">opened", "last used"),
        [
            (
                str(item["id"]),
                item["entity"],
                item["shown"],
                str(item["wallets"]),
                str(item["opened"]),
                ", ".join(f"{each['branch']}/{each['last_index']}" for each in item["used"]),
            )
            for item in items
        ],
        empty="no descriptor; add one with `tracker wallets add --descriptor @FILE --entity SLUG`",
        fold="descriptor",
    )
