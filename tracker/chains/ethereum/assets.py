"""Tracked tokens on Ethereum: their contracts, and what holding one means.

Where the addresses of mainnet are published:

- WETH, WBTC, cbBTC, tBTC, cbETH, USDC, USDT, DAI, USDS: Uniswap's default token list 22.21.0, and
  Aave's address book 4.68.1 (`src/AaveV3Ethereum.sol`); rETH, weETH and Aave's own tokens: there.
- stETH, wstETH: https://docs.lido.fi/deployed-contracts/, and Aave's address book.
- LsETH: https://github.com/liquid-collective/liquid-collective-protocol ("Deployment Addresses"),
  and Uniswap's list.
- mETH: https://www.comp.xyz/t/add-meth-market-on-ethereum/5647, its issuer's proposal.
- The deposit contract: `DEPOSIT_CONTRACT_ADDRESS` of the consensus specifications.

Decimals are those of `tracker.domain.units`. A rebasing token's balance changes without a log, so
its transfers do not sum to it (https://docs.lido.fi/guides/lido-tokens-integration-guide/).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracker.domain import units
from tracker.domain.account import Bucket
from tracker.errors import InputError

ETHER = "ETH"
DEPOSIT_CONTRACT = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")


@dataclass(frozen=True, slots=True)
class Token:
    """An ERC-20 contract that is followed.

    `rebasing`: balances change without a `Transfer`. `wraps_ether`: `Deposit` and `Withdrawal` mint
    and burn without one (WETH9). `is_debt`: a balance is owed, so it counts as less, not more.
    """

    symbol: str
    address: bytes
    bucket: Bucket = Bucket.LIQUID
    rebasing: bool = False
    is_debt: bool = False
    wraps_ether: bool = False

    @property
    def decimals(self) -> int:
        """Decimals of one whole token; raises `InputError` for a symbol without an entry."""
        return units.decimals(self.symbol)


class AssetTable:
    """The tokens followed on one network, found by the address text of a log or by symbol."""

    def __init__(
        self, tokens: Iterable[Token], deposit_contract: bytes = DEPOSIT_CONTRACT
    ) -> None:
        """Raise `InputError` where an address or a symbol stands twice, or an address is none."""
        self.tokens = tuple(tokens)
        self.deposit_contract = deposit_contract
        self.by_text = {f"0x{token.address.hex()}": token for token in self.tokens}
        self.by_symbol = {token.symbol: token for token in self.tokens}
        for token in self.tokens:
            if len(token.address) != 20:
                raise InputError(
                    "not an Ethereum address", field=f"token {token.symbol}",
                    value=token.address.hex(), mend="give its 20 bytes",
                )
            if self.by_symbol[token.symbol] != token or self.of(token.address) != token:
                raise InputError(
                    "a token stands twice in the table", field=f"token {token.symbol}",
                    value=token.address.hex(), mend="give each symbol and each address once",
                )

    def of(self, address: bytes) -> Token | None:
        """The token whose contract is at `address`, None for any other."""
        return self.by_text.get(f"0x{address.hex()}")


def _token(symbol: str, address: str, *, wraps_ether: bool = False) -> Token:
    return Token(symbol, bytes.fromhex(address), wraps_ether=wraps_ether)


def _staked(symbol: str, address: str, *, rebasing: bool = False) -> Token:
    return Token(symbol, bytes.fromhex(address), Bucket.LIQUID_STAKED, rebasing)


def _aave(symbol: str, address: str) -> Token:
    debt = symbol.startswith("variableDebt")
    return Token(symbol, bytes.fromhex(address), Bucket.LENT, rebasing=True, is_debt=debt)


MAINNET = AssetTable((
    _token("WETH", "C02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", wraps_ether=True),
    _token("WBTC", "2260FAC5E5542a773Aa44fBCfeDf7C193bc2C599"),
    _token("cbBTC", "cbB7C0000aB88B473b1f5aFd9ef808440eed33Bf"),
    _token("tBTC", "18084fbA666a33d37592fA2633fD49a74DD93a88"),
    _token("USDC", "A0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"),
    _token("USDT", "dAC17F958D2ee523a2206206994597C13D831ec7"),
    _token("DAI", "6B175474E89094C44Da98b954EedeAC495271d0F"),
    _token("USDS", "dC035D45d973E3EC169d2276DDab16f1e407384F"),
    _staked("stETH", "ae7ab96520DE3A18E5e111B5EaAb095312D7fE84", rebasing=True),
    _staked("wstETH", "7f39C581F595B53c5cb19bD0b3f8dA6c935E2Ca0"),
    _staked("rETH", "ae78736Cd615f374D3085123A210448E74Fc6393"),
    _staked("cbETH", "Be9895146f7AF43049ca1c1AE358B0541Ea49704"),
    _staked("weETH", "Cd5fE23C85820F7B72D0926FC9b05b43E359b7ee"),
    _staked("LsETH", "8c1BEd5b9a0928467c9B1341Da1D7BD5e10b6549"),
    _staked("mETH", "d5F7838F5C461fefF7FE49ea5ebaF7728bB0ADfa"),
    _aave("aEthWETH", "4d5F47FA6A74757f35C14fD3a6Ef8E3C9BC514E8"),
    _aave("aEthWBTC", "5Ee5bf7ae06D1Be5997A1A72006FE6C607eC6DE8"),
    _aave("aEthwstETH", "0B925eD163218f6662a35e0f0371Ac234f9E9371"),
    _aave("aEthUSDC", "98C23E9d8f34FEFb1B7BD6a91B7FF122F4e16F5c"),
    _aave("aEthUSDT", "23878914EFE38d27C4D67Ab83ed1b93A74D4086a"),
    _aave("variableDebtEthWETH", "eA51d7853EEFb32b6ee06b1C12E6dcCA88Be0fFE"),
    _aave("variableDebtEthUSDC", "72E95b8931767C79bA4EeE721354d6E99a61D004"),
    _aave("variableDebtEthUSDT", "6df1C1E379bC5a00a7b4C6e67A203333772f45A8"),
))
