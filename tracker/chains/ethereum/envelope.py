"""Transactions and receipts as the bytes that a block commits to (EIP-2718 envelopes).

Types 0 (legacy, EIP-155), 1 (EIP-2930), 2 (EIP-1559), 3 (EIP-4844), 4 (EIP-7702). Field orders are
those of the EIPs. Functions raise `ValueError` for a field that is missing or is no hexadecimal.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from tracker.chains.ethereum import rlp
from tracker.chains.ethereum.quantity import number, octets
from tracker.chains.ethereum.records import Header, Log, Receipt, Transaction, Withdrawal

LEGACY, ACCESS_LIST, DYNAMIC_FEE, BLOB, SET_CODE = range(5)
BLOB_GAS = 131_072  # gas of one blob (EIP-4844)


class AccessEntry(Struct, rename="camel"):
    """An address and the slots that a transaction says it will touch."""

    address: str
    storage_keys: list[str]


class Authorization(Struct, rename="camel"):
    """One delegation that a type-4 transaction carries."""

    chain_id: str
    address: str
    nonce: str
    r: str
    s: str
    y_parity: str | None = None
    v: str | None = None


class SignedTransaction(Transaction, rename="camel"):
    """A transaction with everything that its hash covers."""

    chain_id: str | None = None
    v: str | None = None
    r: str | None = None
    s: str | None = None
    y_parity: str | None = None
    access_list: list[AccessEntry] | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None
    max_fee_per_blob_gas: str | None = None
    blob_versioned_hashes: list[str] | None = None
    authorization_list: list[Authorization] | None = None


class SealedHeader(Header, rename="camel"):
    """A header with the fields of Amsterdam too (EIP-7928, EIP-7843)."""

    block_access_list_hash: str | None = None
    slot_number: str | None = None


class SealedBlock(SealedHeader, rename="camel"):
    """A full block as it must be decoded to be checked."""

    transactions: list[SignedTransaction] = field(default_factory=list)
    withdrawals: list[Withdrawal] | None = None


def kind_of(record: Transaction | Receipt) -> int:
    """The EIP-2718 type; nodes of before Berlin name none."""
    return LEGACY if record.type is None else number(record.type)


def transaction_bytes(tx: SignedTransaction) -> tuple[bytes, bytes]:
    """The signed envelope, and what was signed.

    The keccak-256 of the first is the transaction's hash, that of the second the signed digest.
    """
    kind, fields = kind_of(tx), _fields(tx)
    v = _number(tx.v) if kind == LEGACY else parity(tx)
    envelope = _enveloped(kind, [
        *fields, rlp.integer(v), rlp.integer(_number(tx.r)), rlp.integer(_number(tx.s)),
    ])
    if kind == LEGACY and v >= 35:  # EIP-155 puts the chain where the signature goes
        fields += [rlp.integer((v - 35) // 2), b"\x80", b"\x80"]
    return envelope, _enveloped(kind, fields)


def parity(tx: SignedTransaction) -> int:
    """Which of the two keys signed: 0 or 1; anything else is no signature."""
    if kind_of(tx) == LEGACY:
        v = _number(tx.v)
        return (v - 35) % 2 if v >= 35 else v - 27
    return _number(tx.y_parity if tx.y_parity is not None else tx.v)


def effective_price(tx: SignedTransaction, base_fee: int) -> int:
    """Wei that the sender paid for a unit of gas (EIP-1559)."""
    if kind_of(tx) in (LEGACY, ACCESS_LIST):
        return _number(tx.gas_price)
    return min(_number(tx.max_fee_per_gas), base_fee + _number(tx.max_priority_fee_per_gas))


def receipt_bytes(receipt: Receipt) -> bytes:
    """The receipt's envelope. Before Byzantium its first field is a state root (EIP-658)."""
    if receipt.status is not None:
        outcome = rlp.integer(number(receipt.status))
    elif receipt.root is not None:
        outcome = rlp.text(octets(receipt.root))
    else:
        raise ValueError("a receipt has a status or, before Byzantium, a root")
    return _enveloped(kind_of(receipt), [
        outcome,
        rlp.integer(number(receipt.cumulative_gas_used)),
        rlp.text(octets(receipt.logs_bloom)),
        rlp.items(_log(log) for log in receipt.logs),
    ])


def withdrawal_bytes(withdrawal: Withdrawal) -> bytes:
    """A withdrawal as its trie holds it (EIP-4895)."""
    return rlp.items((
        rlp.integer(number(withdrawal.index)),
        rlp.integer(number(withdrawal.validator_index)),
        rlp.text(octets(withdrawal.address)),
        rlp.integer(number(withdrawal.amount)),
    ))


def header_bytes(header: SealedHeader) -> bytes:
    """The header's RLP, whose keccak-256 is the block hash. Each fork appended its fields."""
    fields = [
        *(rlp.text(octets(text)) for text in (
            header.parent_hash, header.sha3_uncles, header.miner, header.state_root,
            header.transactions_root, header.receipts_root, header.logs_bloom,
        )),
        *(rlp.integer(number(text)) for text in (
            header.difficulty, header.number, header.gas_limit, header.gas_used, header.timestamp,
        )),
        rlp.text(octets(header.extra_data)),
        rlp.text(octets(_given(header.mix_hash))),
        rlp.text(octets(_given(header.nonce))),
    ]
    appended: tuple[tuple[str | None, bool], ...] = (
        (header.base_fee_per_gas, True),  # London
        (header.withdrawals_root, False),  # Shanghai
        (header.blob_gas_used, True),  # Cancun, three fields
        (header.excess_blob_gas, True),
        (header.parent_beacon_block_root, False),
        (header.requests_hash, False),  # Prague
        (header.block_access_list_hash, False),  # Amsterdam, two fields
        (header.slot_number, True),
    )
    for text, is_number in appended:
        if text is not None:
            fields.append(rlp.integer(number(text)) if is_number else rlp.text(octets(text)))
    return rlp.items(fields)


def _fields(tx: SignedTransaction) -> list[bytes]:
    """The encoded fields of its type, without the signature."""
    kind = kind_of(tx)
    if kind > SET_CODE:
        raise ValueError(f"transactions of type {kind} are not known")
    fields = [] if kind == LEGACY else [rlp.integer(_number(tx.chain_id))]
    fields.append(rlp.integer(_number(tx.nonce)))
    if kind in (LEGACY, ACCESS_LIST):
        fields.append(rlp.integer(_number(tx.gas_price)))
    else:
        fields.append(rlp.integer(_number(tx.max_priority_fee_per_gas)))
        fields.append(rlp.integer(_number(tx.max_fee_per_gas)))
    fields += [
        rlp.integer(_number(tx.gas)),
        b"\x80" if tx.to is None else rlp.text(octets(tx.to)),
        rlp.integer(number(tx.value)),
        rlp.text(octets(_given(tx.input))),
    ]
    if kind != LEGACY:
        fields.append(_access_list(tx.access_list or ()))
    if kind == BLOB:
        fields.append(rlp.integer(_number(tx.max_fee_per_blob_gas)))
        fields.append(rlp.items(rlp.text(octets(item)) for item in tx.blob_versioned_hashes or ()))
    if kind == SET_CODE:
        fields.append(rlp.items(_authorization(item) for item in tx.authorization_list or ()))
    return fields


def _access_list(entries: Sequence[AccessEntry]) -> bytes:
    return rlp.items(
        rlp.items((
            rlp.text(octets(entry.address)),
            rlp.items(rlp.text(octets(key)) for key in entry.storage_keys),
        ))
        for entry in entries
    )


def _authorization(item: Authorization) -> bytes:
    return rlp.items((
        rlp.integer(number(item.chain_id)),
        rlp.text(octets(item.address)),
        rlp.integer(number(item.nonce)),
        rlp.integer(_number(item.y_parity if item.y_parity is not None else item.v)),
        rlp.integer(number(item.r)),
        rlp.integer(number(item.s)),
    ))


def _log(log: Log) -> bytes:
    return rlp.items((
        rlp.text(octets(log.address)),
        rlp.items(rlp.text(octets(topic)) for topic in log.topics),
        rlp.text(octets(log.data)),
    ))


def _enveloped(kind: int, fields: Sequence[bytes]) -> bytes:
    body = rlp.items(fields)
    return body if kind == LEGACY else bytes((kind,)) + body


def _number(text: str | None) -> int:
    return number(_given(text))


def _given(text: str | None) -> str:
    if text is None:
        raise ValueError("a field that the hash covers is missing")
    return text
