"""Openings of Ethereum wallets: ether and every tracked token at one block."""

from __future__ import annotations

from collections.abc import Sequence

from tracker.chains.ethereum import multicall
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
            absent = self._absent(found, block)
        except PrunedStateError as error:
            raise CursorMovedError(
                "no node has the state of the ledger's block any more",
                field="height",
                value=block.height,
                mend="it is taken again once the scan has caught up",
            ) from error
        openings = []
        for wallet in wallets:
            amounts = self._amounts(wallet.key, found, absent)
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

    def _absent(self, found: dict[Probe, int | None], block: BlockRef) -> set[bytes]:
        """The tokens that are not there after `block`: nobody holds any.

        On a private chain they are those of the mainnet; there, those that were made later.
        """
        silent: dict[bytes, Probe] = {}
        for probe, amount in found.items():
            if probe.token is not None and amount is None:
                silent.setdefault(probe.token, probe)
        if self._pool.network() != MAINNET_NAME:
            return set(silent)
        return {
            token
            for token, probe in silent.items()
            if self._pool.call(*multicall.balance_call(probe), block.hash) == b""
        }

    def _amounts(
        self, key: bytes, found: dict[Probe, int | None], absent: set[bytes]
    ) -> dict[tuple[str, str], int] | None:
        """Base units by asset and bucket; None where one could not be read."""
        ether = found.get(Probe(key, None))
        if ether is None:
            return None
        amounts = {(ETHER, "liquid"): ether}
        for token in self._assets.tokens:
            amount = 0 if token.address in absent else found.get(Probe(key, token.address))
            if amount is None:
                return None
            amounts[token.symbol, str(token.bucket)] = amount
        return amounts
