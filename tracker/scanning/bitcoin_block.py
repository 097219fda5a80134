"""What one scanned Bitcoin block means: movements, transfers, beliefs. Reads, never writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlmodel import Session

from tracker.chains.bitcoin.block import BlockScan
from tracker.db.chain import FollowedOutpoint, Transfer
from tracker.domain.chain import BlockRef
from tracker.domain.intent import SALE_VENUES, Classification, Intent, classify, swept
from tracker.domain.match import Coin, Match, ScannedTx, match, outpoint_of
from tracker.domain.netting import keys_of, net
from tracker.domain.transfer import Label, NetTransfer, Owner
from tracker.ledger.coins import repository as ledger
from tracker.ledger.effects import (
    BlockEffects,
    ClassifiedTransfer,
    FollowedCoin,
    LedgerMovement,
    MadeCoin,
)
from tracker.ledger.holdings import repository as holdings
from tracker.registry import repository as registry
from tracker.registry.owners import owners_for
from tracker.scanning.reading import BlockReading, Prices, Sweep

CHAIN = "bitcoin"
ASSET = "BTC"
FOLLOWED_PER_TRANSFER = 20


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How far unexplained coins are followed, and how scripts are named."""

    follow_blocks: int
    follow_room: int
    address_of: Callable[[bytes], str | None]


def read_block(
    session: Session,
    scan: BlockScan,
    block: BlockRef,
    *,
    watch_version: int,
    scripts: set[bytes],
    source: str,
    options: ReadingOptions,
) -> BlockReading:
    """Everything that `block` changes, judged with the facts and prices of its own time."""
    spends = {txin.outpoint for tx in scan.txs for txin in tx.inputs}
    coins = ledger.coins_at(session, CHAIN, spends, block.hash)
    followed = ledger.followed_at(session, CHAIN, spends, block.height)
    matches = match(scan.txs, scripts, coins)
    known = dict(coins)
    known.update({m.outpoint: Coin(m.script, m.amount) for m in matches if m.amount > 0})
    keys = keys_of(scan.txs) | {coin.script for coin in known.values()}
    owners = owners_for(session, CHAIN, keys)
    labels = registry.labels_for(session, CHAIN, keys - owners.keys())
    prices = Prices(session, block.time)
    _, price_as_of = prices.of(ASSET)

    transfers = []
    to_follow: list[FollowedCoin] = []
    for tx in scan.txs:
        for transfer in net(
            CHAIN,
            tx,
            block,
            coins=known,
            owners=owners,
            labels=labels,
            address_of=options.address_of,
        ):
            belief = classify(transfer, follow_blocks=options.follow_blocks)
            value = prices.value(ASSET, abs(transfer.net))
            transfers.append(ClassifiedTransfer(transfer, belief, value, price_as_of))
            room = options.follow_room - len(to_follow)
            to_follow.extend(_followed(transfer, belief, room))
    return BlockReading(
        effects=BlockEffects(
            block=block,
            source=source,
            watch_version=watch_version,
            bits=scan.header.bits,
            movements=_movements(matches, owners),
            made=_made(matches),
            spent=tuple(
                outpoint for outpoint in sorted(spends) if outpoint in known or outpoint in followed
            ),
            transfers=tuple(transfers),
            followed=tuple(to_follow),
        ),
        sweeps=_sweeps(session, scan.txs, block, followed, labels, options),
        prices=prices,
    )


def _movements(
    matches: tuple[Match, ...], owners: Mapping[bytes, Owner]
) -> tuple[LedgerMovement, ...]:
    return tuple(
        LedgerMovement(
            tx=m.txid,
            ref=m.ref,
            key=m.script,
            asset=ASSET,
            kind=m.kind,
            amount=m.amount,
            entity_id=owners[m.script].entity_id,
            wallet_id=owners[m.script].wallet_id,
        )
        for m in matches
        if m.script in owners  # a coin of a wallet that was removed is spent, not accounted
    )


def _made(matches: tuple[Match, ...]) -> tuple[MadeCoin, ...]:
    return tuple(
        MadeCoin(m.outpoint, m.script, m.amount, coinbase=m.kind == "coinbase_output")
        for m in matches
        if m.amount > 0
    )


def _followed(transfer: NetTransfer, belief: Classification, room: int) -> list[FollowedCoin]:
    """The coins of an unexplained outflow, largest first, within the caps."""
    if belief.intent is not Intent.UNKNOWN_OUT or belief.expires_height is None:
        return []
    unlabelled = [
        party
        for party in transfer.parties
        if party.key is not None
        and party.index is not None
        and party.amount
        and party.label is None
        and party.holder is None
    ]
    unlabelled.sort(key=lambda party: (-(party.amount or 0), party.index))
    return [
        FollowedCoin(
            outpoint=outpoint_of(transfer.tx, party.index or 0),
            key=party.key or b"",
            amount=party.amount or 0,
            transfer_id=transfer.id,
            entity_id=transfer.owners[0].entity_id,
            expires_height=belief.expires_height,
        )
        for party in unlabelled[: max(0, min(FOLLOWED_PER_TRANSFER, room))]
    ]


def _sweeps(
    session: Session,
    txs: tuple[ScannedTx, ...],
    block: BlockRef,
    followed: Mapping[bytes, FollowedOutpoint],
    labels: Mapping[bytes, Label],
    options: ReadingOptions,
) -> tuple[Sweep, ...]:
    found = []
    for tx in txs if followed else ():
        paid = sum(out.amount for out in tx.outputs)
        venues = [
            (out, labels[out.script])
            for out in tx.outputs
            if out.script in labels and labels[out.script].category in SALE_VENUES
        ]
        to_venues = sum(out.amount for out, _ in venues)
        # Deposits are swept together with other people's: what counts is where the whole goes.
        if not venues or to_venues * 2 < paid:
            continue
        largest, label = max(venues, key=lambda pair: pair[0].amount)
        by_transfer: dict[str, list[FollowedOutpoint]] = {}
        for txin in tx.inputs:
            coin = followed.get(txin.outpoint)
            if coin is not None:
                by_transfer.setdefault(coin.transfer_id, []).append(coin)
        for transfer_id, swept_coins in sorted(by_transfer.items()):
            origin = holdings.transfer_by_id(session, transfer_id)
            owners = [] if origin is None else _owners_now(session, origin)
            if origin is None or not owners:
                continue  # the wallet was removed meanwhile, or its holder switched off
            moved = sum(coin.amount for coin in swept_coins)
            # Of mixed coins each has its proportion of what the venue got.
            amount = moved * to_venues // paid
            out = -origin.net - origin.fee
            found.append(
                Sweep(
                    tx=tx.txid,
                    origin=origin,
                    belief=swept(
                        owners[0].entity_kind,
                        label,
                        options.address_of(largest.script),
                        share=min(1.0, amount / out) if out > 0 else 1.0,
                        blocks=block.height - origin.height,
                    ),
                    amount=amount,
                    venue=label,
                    venue_key=largest.script,
                    tiers=tuple(owner.tier for owner in owners),
                )
            )
    return tuple(found)


def _owners_now(session: Session, origin: Transfer) -> list[Owner]:
    """The entity's watched addresses of a stored transfer, as they are known now."""
    found = owners_for(session, origin.chain, holdings.keys_moved(session, origin))
    return sorted(
        (owner for owner in found.values() if owner.entity_id == origin.entity_id),
        key=lambda owner: (owner.tier.rank, owner.wallet_id),
    )
