"""Openings of Ethereum wallets: ether and every tracked token at one block."""

from __future__ import annotations

from collections.abc import Sequence

from tracker.chains.ethereum.assets import ETHER, MAINNET, AssetTable
from tracker.chains.ethereum.network import MAINNET as MAINNET_NAME
from tracker.chains.ethereum.pool import EthereumPool
from tracker.chains.port import Probe
from tracker.db import Database
from tracker.db.registry import Wallet
from tracker.domain.chain import BlockRef
from tracker.errors import CursorMovedError, PrunedStateError
from tracker.ledger.opening import Opening
from tracker.scanning.openings import Observed, WalletOpenings, tenure_of

CHAIN = "ethereum"


class EthereumOpenings(WalletOpenings):
    """Probed balances at the very block where the ledger stands, by its hash."""

    chain = CHAIN
    batch = 100

    def __init__(
        self, database: Database, pool: EthereumPool, assets: AssetTable = MAINNET
    ) -> None:
        super().__init__(database)
        self._pool = pool
        self._assets = assets

    def observe(self, block: BlockRef, wallets: Sequence[Wallet]) -> Observed:
        """Balances of each wallet after `block`; raises `CursorMovedError` once its state is gone.

        A wallet of which one balance could not be read is left for the next tick.
        """
        keys = [wallet.key for wallet in wallets]
        tokens = [token.address for token in self._assets.tokens]
        try:
            found = self._pool.balances(keys, tokens, block.hash)
        except PrunedStateError as error:
            raise CursorMovedError(
                "no node has the state of the ledger's block any more",
                field="height",
                value=block.height,
                mend="it is taken again once the scan has caught up",
            ) from error
        openings = []
        for wallet in wallets:
            amounts = self._amounts(wallet.key, found)
            if amounts is not None:
                openings.append(
                    Opening(
                        wallet_id=wallet.id or 0,
                        tenure_id=tenure_of(wallet),
                        entity_id=wallet.entity_id,
                        key=wallet.key,
                        amounts=amounts,
                    )
                )
        return Observed(openings)

    def _amounts(
        self, key: bytes, found: dict[Probe, int | None]
    ) -> dict[tuple[str, str], int] | None:
        """Base units by asset and bucket; None where one could not be read.

        On a private chain the mainnet's tokens are missing: nobody holds any there.
        """
        known = [found.get(Probe(key, token.address)) for token in self._assets.tokens]
        ether = found.get(Probe(key, None))
        if ether is None or (None in known and self._pool.network() == MAINNET_NAME):
            return None
        amounts = {(ETHER, "liquid"): ether}
        for token, amount in zip(self._assets.tokens, known, strict=True):
            amounts[token.symbol, str(token.bucket)] = amount or 0
        return amounts
