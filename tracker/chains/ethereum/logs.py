"""What logs say of balances: token transfers, wrapped ether, deposits to the beacon chain."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from eth_hash.auto import keccak

from tracker.chains.ethereum.assets import ETHER, AssetTable, Token
from tracker.chains.ethereum.deposits import DEPOSIT_EVENT, owner_text, stake_deposit
from tracker.chains.ethereum.reading import malformed, number, octets
from tracker.chains.ethereum.records import Log
from tracker.domain.account import AccountKind, AccountMove, Bucket

TRANSFER = "0x" + keccak(b"Transfer(address,address,uint256)").hex()
WRAP = "0x" + keccak(b"Deposit(address,uint256)").hex()
UNWRAP = "0x" + keccak(b"Withdrawal(address,uint256)").hex()

_NOBODY = bytes(20)
_WORD = 66  # characters of a 32-byte word with its 0x


class _Everyone:
    """The watch set that holds every address."""

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, bytes) or len(key) != 20:
            raise ValueError(key)
        return True


EVERYONE: Container[bytes] = _Everyone()


def log_moves(
    logs: Iterable[Log], watched: Container[bytes] | None, assets: AssetTable
) -> Iterator[AccountMove]:
    """The movements that logs state: token transfers, wrapping, deposits to the beacon chain.

    The zero address holds no tokens: from it is a mint, to it a burn, and both have one side.
    Transfers of NFTs, with a fourth topic, are none. Raises `ReplyError` for malformed data.
    """
    keys = EVERYONE if watched is None else watched
    by_text, deposit_contract = assets.by_text, f"0x{assets.deposit_contract.hex()}"
    for log in logs:
        address = log.address.lower()
        topics = log.topics
        token = by_text.get(address)
        try:
            if token is None:
                if address == deposit_contract and topics and topics[0] == DEPOSIT_EVENT:
                    owner = owner_text(log)
                    if owner is not None and bytes.fromhex(owner) in keys and not log.removed:
                        yield _stake(log, assets.deposit_contract)
                continue
            count = len(topics)
            if count == 3 and topics[0] == TRANSFER:
                source = bytes.fromhex(topics[1][26:])
                target = bytes.fromhex(topics[2][26:])
                if (source in keys or target in keys) and not log.removed:
                    yield from _transfer(log, token, source, target, keys)
            elif token.wraps_ether and count == 2 and topics[0] in (WRAP, UNWRAP):
                key = bytes.fromhex(topics[1][26:])
                if key in keys and not log.removed:
                    yield _wrap(log, token, key)
        except ValueError:
            raise malformed(f"log {log.log_index}", " ".join(topics)) from None


def _transfer(
    log: Log, token: Token, source: bytes, target: bytes, keys: Container[bytes]
) -> Iterator[AccountMove]:
    tx, ref, amount = _logged(log)
    payer = None if source == _NOBODY else source
    payee = None if target == _NOBODY else target
    kind = AccountKind.ERC20_TRANSFER
    if payer is not None and payer in keys:
        yield AccountMove(tx, ref, kind, payer, token.symbol, -amount, payee, token.bucket)
    if payee is not None and payee in keys:
        yield AccountMove(tx, ref, kind, payee, token.symbol, amount, payer, token.bucket)


def _wrap(log: Log, token: Token, key: bytes) -> AccountMove:
    tx, ref, amount = _logged(log)
    kind, sign = (
        (AccountKind.WRAP, 1) if log.topics[0] == WRAP else (AccountKind.UNWRAP, -1)
    )
    return AccountMove(
        tx, ref, kind, key, token.symbol, sign * amount, token.address, token.bucket
    )


def _stake(log: Log, contract: bytes) -> AccountMove:
    deposit = stake_deposit(log)
    tx = octets(log.transaction_hash, 32, f"log {log.log_index}.transactionHash")
    return AccountMove(
        tx, f"log:{number(log.log_index, 'log index')}", AccountKind.STAKE_DEPOSIT,
        deposit.credentials[12:], ETHER, deposit.amount, contract, Bucket.PENDING_DEPOSIT,
    )


def _logged(log: Log) -> tuple[bytes, str, int]:
    """Transaction, ref and amount of a log whose only data is one number."""
    field = f"log {log.log_index}"
    if len(log.data) != _WORD:
        raise malformed(f"{field}.data", log.data)
    if any(len(topic) != _WORD for topic in log.topics):
        raise malformed(f"{field}.topics", " ".join(log.topics))
    return (
        octets(log.transaction_hash, 32, f"{field}.transactionHash"),
        f"log:{number(log.log_index, f'{field}.logIndex')}",
        number(log.data, f"{field}.data"),
    )
