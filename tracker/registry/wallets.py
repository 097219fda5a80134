"""Wallets that the operator adds, imports and removes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Session

from tracker.chains import address as addresses
from tracker.db.registry import Entity, Wallet
from tracker.domain.entity import Role, Tier
from tracker.errors import ConflictError, InputError, NotFoundError, TrackerError
from tracker.registry import repository
from tracker.registry.records import Columns, ImportReport, Record, Records, RowError, record
from tracker.registry.replacement import Removal, WalletRow, closed_wallet, replace_wallets

COLUMNS = Columns(
    required=("entity", "chain", "address"),
    optional=("role", "tier", "source", "note", "valid_from", "valid_to"),
)

# What an address is for. `custody` and `reserve` hold coins of others beside the holder's own.
ROLES = (
    "treasury", "cold", "hot", "custody", "reserve", "fund", "multisig", "mining", "staking",
    "deposit", "estate", "seized", "donation",
)  # fmt: skip


def add(
    session: Session,
    *,
    entity: str,
    chain: str,
    address: str,
    now: datetime,
    network: str = "mainnet",
    **more: Any,
) -> Wallet:
    """Watch an address of the holder with slug `entity` from the next block on; returns the wallet.

    `more` are the optional `COLUMNS`; the role defaults to `treasury` and the tier to `user`.
    Raises `NotFoundError`, `AddressError`, `InputError`, or `ConflictError` naming the owner.
    """
    unknown = set(more) - set(COLUMNS.optional)
    if unknown:
        raise TypeError(f"no such column of a wallet: {', '.join(sorted(unknown))}")
    holder = repository.get_entity(session, entity)
    row = checked(record(entity=entity, chain=chain, address=address, **more), holder, network)
    changes = replace_wallets(session, [], [row], now, owner="operator")
    wallet = repository.open_at(session, row.chain, [row.key])[row.key]
    if changes.foreign:
        owners = repository.entities_by_id(session, [wallet.entity_id])
        raise _taken(row, wallet, owners[wallet.entity_id])
    return wallet


def import_rows(
    session: Session,
    records: Records,
    now: datetime,
    *,
    network: str = "mainnet",
    dry_run: bool = False,
) -> ImportReport:
    """Add the wallets of a file (`records.read(data, form, COLUMNS)`), row by row.

    A row that is wrong, stands twice, or whose address is taken is reported and left out; one that
    says what is known already changes nothing. A dry run writes nothing.
    """
    rejected = list(records.errors)
    fresh, numbers = checked_rows(session, records.rows, rejected, network)
    unchanged = 0
    new: list[WalletRow] = []
    owners = _owners(session, fresh)
    for row in fresh:
        owner = owners.get((row.chain, row.key))
        if owner is None:
            new.append(row)
        elif _says_the_same(row, owner[0]):
            unchanged += 1
        else:
            rejected.append(RowError.of(numbers[row.chain, row.key], _taken(row, *owner)))
    accepted = len(new)
    if new and not dry_run:
        changes = replace_wallets(session, [], new, now, owner="operator")
        accepted = changes.opened
        owners = _owners(session, changes.foreign)
        rejected += [
            RowError.of(numbers[row.chain, row.key], _taken(row, *owners[row.chain, row.key]))
            for row in changes.foreign
        ]
    ordered = tuple(sorted(rejected, key=lambda error: error.row))
    return ImportReport(accepted, ordered, unchanged, dry_run)


def remove(
    session: Session, *, chain: str, address: str, now: datetime, network: str = "mainnet"
) -> Removal:
    """Stop watching an address; its row is closed and what it saw stays.

    A bundled wallet that is removed stays removed when the registry is synchronised again. Returns
    what no longer stands. Raises `NotFoundError` where no open wallet has the address.
    """
    parsed = addresses.parse(chain, address, network)
    wallet = repository.open_at(session, parsed.chain, [parsed.key]).get(parsed.key)
    if wallet is None or wallet.id is None:
        raise NotFoundError(
            "no wallet has this address",
            field="address",
            value=parsed.address,
            mend="list them: `tracker wallets list`",
        )
    repository.bump_watch_set(session, parsed.chain)
    repository.close_wallets(session, [wallet.id], now, owner="operator")
    return Removal(wallets=(closed_wallet(wallet),))


def checked(row: Record, holder: Entity | None, network: str) -> WalletRow:
    """The wallet that a row describes, of `holder`. Raises `InputError` or `NotFoundError`."""
    if holder is None or holder.id is None:
        raise NotFoundError(
            "no such entity",
            field="entity",
            value=row.text("entity"),
            mend="add the entity first, or correct its slug (`tracker entities list`)",
        )
    require_holder(holder)
    parsed = addresses.parse(row.text("chain"), row.text("address"), network, wallet=True)
    valid_from, valid_to = row.instant("valid_from"), row.instant("valid_to")
    if valid_from is not None and valid_to is not None and valid_to <= valid_from:
        raise InputError(
            "it ends before it begins",
            field="valid_to",
            value=valid_to.isoformat(),
            mend="give a later valid_to, or leave it empty",
        )
    return WalletRow(
        entity_id=holder.id,
        chain=parsed.chain,
        address=parsed.address,
        key=parsed.key,
        role=row.choice("role", ROLES, "treasury"),
        tier=row.member("tier", Tier, Tier.USER),
        source=row.optional("source"),
        note=row.optional("note"),
        valid_from=valid_from,
        valid_to=valid_to,
    )


def require_holder(entity: Entity) -> None:
    """Raise `InputError` for a venue, which owns no wallets here."""
    if entity.role != Role.HOLDER:
        raise InputError(
            f"{entity.slug} is a venue: its addresses are destinations, known by label",
            field="entity",
            value=entity.slug,
            mend="import them with `tracker labels import`",
        )


def checked_rows(
    session: Session, rows: tuple[Record, ...], rejected: list[RowError], network: str
) -> tuple[list[WalletRow], dict[tuple[str, bytes], int]]:
    """The wallets that `rows` describe, and in which row each stands.

    A row that is wrong, or whose address an earlier row has, is put among the `rejected`.
    """
    holders = repository.entities_by_slug(session, {row.cells.get("entity", "") for row in rows})
    numbers: dict[tuple[str, bytes], int] = {}
    good: list[WalletRow] = []
    for row in rows:
        try:
            wallet = checked(row, holders.get(row.text("entity")), network)
            first = numbers.setdefault((wallet.chain, wallet.key), row.row)
            if first != row.row:
                raise ConflictError(
                    f"the address stands in row {first} too",
                    field="address",
                    value=wallet.address,
                    mend="keep one of the rows",
                )
            good.append(wallet)
        except TrackerError as error:
            rejected.append(RowError.of(row.row, error))
    return good, numbers


def _owners(
    session: Session, rows: list[WalletRow] | tuple[WalletRow, ...]
) -> dict[tuple[str, bytes], tuple[Wallet, Entity]]:
    """The open wallets at the addresses of `rows`, with their entities."""
    wallets = {
        (chain, key): wallet
        for chain in {row.chain for row in rows}
        for key, wallet in repository.open_at(
            session, chain, [row.key for row in rows if row.chain == chain]
        ).items()
    }
    entities = repository.entities_by_id(session, {each.entity_id for each in wallets.values()})
    return {place: (wallet, entities[wallet.entity_id]) for place, wallet in wallets.items()}


def _says_the_same(row: WalletRow, known: Wallet) -> bool:
    return (row.entity_id, row.role, row.tier) == (known.entity_id, known.role, known.tier)


def _taken(row: WalletRow, wallet: Wallet, owner: Entity) -> ConflictError:
    if wallet.entity_id == row.entity_id:
        says = f"{owner.slug} has this address already, as {wallet.role} and {wallet.tier}"
    else:
        says = f"the address is a wallet of {owner.slug}"
    return ConflictError(
        says,
        field="address",
        value=row.address,
        mend="remove that wallet first (`tracker wallets remove`), if it is wrong",
    )
