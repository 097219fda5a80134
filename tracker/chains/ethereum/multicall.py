"""Many balances in one call: Multicall3's `aggregate3`, coded by hand.

The contract and its address on nearly every chain: https://github.com/mds1/multicall . ABI
encoding: https://docs.soliditylang.org/en/latest/abi-spec.html ; shapes in abi/multicall3.json and
abi/erc20.json. All words are 32 bytes, addresses stand at their right end.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak

from tracker.chains.port import Probe
from tracker.errors import ReplyError

ADDRESS = bytes.fromhex("ca11bde05977b3631167028862be2a173976ca11")
MAINNET_SINCE = 14_353_601  # the mainnet block that it was deployed in
MAX_CALLS = 500

_WORD = 32


def _selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


_AGGREGATE = _selector("aggregate3((address,bool,bytes)[])")
_ETH_BALANCE = _selector("getEthBalance(address)")
_TOKEN_BALANCE = _selector("balanceOf(address)")


def balance_call(probe: Probe) -> tuple[bytes, bytes]:
    """Contract and calldata that answer `probe` within the aggregate."""
    selector = _ETH_BALANCE if probe.token is None else _TOKEN_BALANCE
    return probe.token or ADDRESS, selector + bytes(12) + probe.key


def encode(calls: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Calldata of `aggregate3` for `(contract, calldata)` pairs, each of which may fail alone."""
    tails = [
        bytes(12) + target + _word(1) + _word(3 * _WORD) + _word(len(data)) + _padded(data)
        for target, data in calls
    ]
    offset = len(tails) * _WORD
    heads = []
    for tail in tails:
        heads.append(_word(offset))
        offset += len(tail)
    return b"".join((_AGGREGATE, _word(_WORD), _word(len(tails)), *heads, *tails))


def decode(data: bytes, count: int, source: str) -> list[bytes | None]:
    """What each of `count` calls returned, None where it failed; raises `ReplyError`."""
    try:
        base = _number(data, 0) + _WORD
        places = [_number(data, base + index * _WORD) for index in range(-1, count)]
        found = [_result(data, base + place) for place in places[1:]]
    except ValueError as error:
        raise ReplyError(
            f"{source} answered a multicall with something else: {error}", field="aggregate3",
            value=f"{len(data)} bytes", mend="it is asked again; another source may answer",
        ) from None
    if places[0] != count:
        raise ReplyError(
            f"{source} answered a multicall of {count} calls with {places[0]} results",
            field="aggregate3", value=places[0], mend="another source is asked",
        )
    return found


def amount(returned: bytes | None) -> int | None:
    """The uint256 that a balance call returned; None where it failed or there is no contract."""
    return int.from_bytes(returned[:_WORD]) if returned and len(returned) >= _WORD else None


def _result(data: bytes, at: int) -> bytes | None:
    succeeded = _number(data, at)
    where = at + _number(data, at + _WORD)
    size = _number(data, where)
    found = data[where + _WORD : where + _WORD + size]
    if len(found) != size:
        raise ValueError("it breaks off")
    return found if succeeded else None


def _number(data: bytes, at: int) -> int:
    word = data[at : at + _WORD]
    if len(word) != _WORD:
        raise ValueError("it breaks off")
    return int.from_bytes(word)


def _word(value: int) -> bytes:
    return value.to_bytes(_WORD)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _WORD)
