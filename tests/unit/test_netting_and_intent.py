"""One transaction, one transfer an entity; and what it is taken for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tracker.domain.chain import BlockRef
from tracker.domain.entity import Category, Kind, Tier
from tracker.domain.intent import Intent, classify, swept
from tracker.domain.match import Coin, ScannedTx, TxIn, TxOut, outpoint_of
from tracker.domain.netting import net
from tracker.domain.transfer import Label, NetTransfer, Owner

BLOCK = BlockRef(900, b"\x09" * 32, b"\x08" * 32, datetime(2026, 5, 1, tzinfo=UTC))
TX = b"\x01" * 32
COIN = 10**8
MINE, OURS, VENUE, OTHER, RIVAL = (bytes([n]) * 22 for n in range(1, 6))


def owner(entity: int = 1, *, kind: Kind = Kind.DAT, tier: Tier = Tier.ATTESTED) -> Owner:
    return Owner(entity, entity, f"holder-{entity}", kind, "pure", "treasury", tier)


OWNERS = {MINE: owner(), OURS: owner(), RIVAL: owner(2)}
COINS = {
    outpoint_of(b"\x02" * 32, n): coin
    for n, coin in enumerate([Coin(MINE, 5 * COIN), Coin(OURS, 3 * COIN), Coin(RIVAL, 4 * COIN)])
}


def tx(inputs: list[int], outputs: list[tuple[bytes, int]], *, coinbase: bool = False) -> ScannedTx:
    return ScannedTx(
        1,
        TX,
        coinbase,
        tuple(TxIn(i, outpoint_of(b"\x02" * 32, n), None) for i, n in enumerate(inputs)),
        tuple(TxOut(i, amount, script) for i, (script, amount) in enumerate(outputs)),
    )


def netted(
    inputs: list[int],
    outputs: list[tuple[bytes, int]],
    *,
    labels: dict[bytes, Label] | None = None,
    owners: dict[bytes, Owner] | None = None,
    coinbase: bool = False,
) -> list[NetTransfer]:
    return net(
        "bitcoin",
        tx(inputs, outputs, coinbase=coinbase),
        BLOCK,
        coins=COINS,
        owners=owners or OWNERS,
        labels=labels or {},
        address_of=lambda script: script.hex(),
    )


def label(category: Category, tier: Tier = Tier.ATTESTED) -> dict[bytes, Label]:
    return {VENUE: Label("Venue", category, tier)}


def test_change_is_netted_away_and_the_fee_is_the_entitys() -> None:
    (transfer,) = netted([0], [(VENUE, 2 * COIN), (MINE, 3 * COIN - 700)])
    assert (transfer.gross_out, transfer.gross_in, transfer.fee) == (5 * COIN, 3 * COIN - 700, 700)
    assert transfer.net == -2 * COIN - 700
    assert [(p.key, p.amount) for p in transfer.parties] == [(VENUE, 2 * COIN)]


def test_wallets_of_one_entity_move_as_one() -> None:
    (transfer,) = netted([0, 1], [(OURS, 8 * COIN - 500)])
    assert transfer.net == -500
    assert classify(transfer).intent is Intent.INTERNAL


def test_two_holders_in_one_transaction_are_two_transfers() -> None:
    first, second = netted([0], [(RIVAL, 5 * COIN - 100)])
    assert (first.net, second.net) == (-5 * COIN, 5 * COIN - 100)
    assert first.parties[0].holder == "holder-2"
    assert classify(first).intent is Intent.UNKNOWN_OUT
    assert classify(second).intent is Intent.UNKNOWN_IN


def test_a_shared_transaction_gives_no_fee_to_anybody() -> None:
    first, second = netted([0, 2], [(VENUE, 8 * COIN)])
    assert first.fee == second.fee == 0


def test_of_a_shared_transaction_each_holder_sold_no_more_than_its_own() -> None:
    first, second = netted([0, 2], [(VENUE, 9 * COIN)])
    assert first.part_of_outflow(first.parties) == 5 * COIN
    assert second.part_of_outflow(second.parties) == 4 * COIN


def test_with_unknown_inputs_a_holders_part_is_in_proportion() -> None:
    """One input is somebody's, its amount unknown: 1 of 4 coins paid went to the venue."""
    (transfer,) = netted([0, 9], [(VENUE, 10 * COIN), (OTHER, 30 * COIN)])
    venue = [party for party in transfer.parties if party.key == VENUE]
    assert transfer.fee == 0
    assert transfer.part_of_outflow(venue) == 5 * COIN // 4


def test_alone_a_holder_sold_what_the_venue_received_to_the_satoshi() -> None:
    (transfer,) = netted([0], [(VENUE, 2 * COIN + 1), (OTHER, COIN), (MINE, 2 * COIN - 701)])
    venue = [party for party in transfer.parties if party.key == VENUE]
    assert transfer.part_of_outflow(venue) == 2 * COIN + 1


def test_an_inflow_sold_nothing() -> None:
    (transfer,) = netted([9], [(MINE, 3 * COIN), (VENUE, COIN)])
    assert transfer.part_of_outflow(transfer.parties) == 0


def test_a_coin_of_a_removed_wallet_is_somebody_elses_input() -> None:
    (transfer,) = netted([0, 1], [(VENUE, 7 * COIN)], owners={MINE: owner()})
    assert (transfer.gross_out, transfer.fee) == (5 * COIN, 0)


def test_a_reward_is_mining() -> None:
    (transfer,) = netted([], [(MINE, 3 * COIN)], coinbase=True)
    belief = classify(transfer)
    assert belief.intent is Intent.MINING
    assert belief.probability > 0.98


@pytest.mark.parametrize(
    ("category", "intent"),
    [
        (Category.EXCHANGE, Intent.SALE),
        (Category.EXCHANGE_DEPOSIT, Intent.SALE),
        (Category.MARKET_MAKER, Intent.SALE),
        (Category.CUSTODIAN, Intent.CUSTODY_MOVE),
        (Category.LENDING, Intent.COLLATERAL),
        (Category.STAKING, Intent.STAKING),
        (Category.BRIDGE, Intent.BRIDGE),
        (Category.OTHER, Intent.UNKNOWN_OUT),
    ],
)
def test_the_destination_names_the_intent(category: Category, intent: Intent) -> None:
    (transfer,) = netted([0], [(VENUE, 5 * COIN - 10)], labels=label(category))
    assert classify(transfer).intent is intent


def test_a_weak_label_lowers_the_probability() -> None:
    beliefs = [
        classify(netted([0], [(VENUE, 4 * COIN)], labels=label(Category.EXCHANGE, tier))[0])
        for tier in (Tier.ATTESTED, Tier.VENDOR, Tier.HEURISTIC)
    ]
    assert [b.intent for b in beliefs] == [Intent.SALE] * 3
    probabilities = [b.probability for b in beliefs]
    assert probabilities == sorted(probabilities, reverse=True)
    assert len(set(probabilities)) == 3


def test_a_little_of_much_to_a_venue_is_not_reportable() -> None:
    (transfer,) = netted(
        [0],
        [(VENUE, COIN // 10), (OTHER, 4 * COIN)],
        labels=label(Category.EXCHANGE, Tier.HEURISTIC),
    )
    belief = classify(transfer)
    assert belief.intent is Intent.SALE
    assert belief.probability < 0.6


def test_an_estate_pays_its_creditors() -> None:
    (transfer,) = netted(
        [0],
        [(VENUE, 4 * COIN)],
        labels=label(Category.EXCHANGE),
        owners={MINE: owner(kind=Kind.ESTATE)},
    )
    assert classify(transfer).intent is Intent.DISTRIBUTION


def test_an_unexplained_outflow_is_followed_for_a_while() -> None:
    (transfer,) = netted([0], [(OTHER, 4 * COIN)])
    belief = classify(transfer, follow_blocks=10)
    assert (belief.intent, belief.expires_height) == (Intent.UNKNOWN_OUT, 910)


def test_dust_means_nothing() -> None:
    (transfer,) = netted([], [(MINE, 546)])
    assert classify(transfer).intent is Intent.DUST


def test_an_inflow_from_a_venue_may_be_a_purchase() -> None:
    coins = {**COINS, outpoint_of(b"\x02" * 32, 3): Coin(VENUE, COIN)}
    (transfer,) = net(
        "bitcoin",
        tx([3], [(MINE, COIN - 10)]),
        BLOCK,
        coins=coins,
        owners=OWNERS,
        labels=label(Category.EXCHANGE),
        address_of=lambda script: script.hex(),
    )
    assert transfer.parties[0].amount == COIN
    assert classify(transfer).intent is Intent.PURCHASE


def test_a_sweep_says_its_delay_and_is_weaker_for_a_part() -> None:
    venue = Label("Venue", Category.EXCHANGE, Tier.ATTESTED)
    whole = swept(Kind.DAT, venue, "addr", share=1.0, blocks=7)
    part = swept(Kind.DAT, venue, "addr", share=0.2, blocks=7)
    assert whole.intent is Intent.SALE
    assert whole.probability > part.probability
    assert whole.evidence[0].data["blocks"] == 7
