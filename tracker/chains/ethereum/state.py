"""State at one block: balances of many addresses, and single calls.

State is believed: no root of it is checked here. What is made sure of is the block: the node is
asked by hash (EIP-1898), or by number with the hash of that number read before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Raw

from tracker.chains.ethereum import multicall
from tracker.chains.ethereum.abilities import Abilities
from tracker.chains.ethereum.decode import decoded, header_reply
from tracker.chains.ethereum.quantity import data_reply, hexed, quantity_reply
from tracker.chains.ethereum.rpc import Call, RpcClient
from tracker.chains.port import Probe
from tracker.errors import (
    ConfigError,
    NotFoundError,
    PrunedStateError,
    ReplyError,
    SourceUnavailableError,
    TrackerError,
)

BY_HASH = "EIP-1898"

Height = Callable[[bytes], int]
# Of these the whole question fails; any other error is that of one call.
_WHOLE = (NotFoundError, SourceUnavailableError, ConfigError)


class StateReader:
    """Questions about state, to one node. `height` finds a block's number by its hash."""

    def __init__(
        self, rpc: RpcClient, abilities: Abilities, height: Height, *, mainnet: bool
    ) -> None:
        self._rpc = rpc
        self._abilities = abilities
        self._height = height
        self._mainnet = mainnet

    def balances(
        self, keys: Sequence[bytes], tokens: Sequence[bytes], block_hash: bytes
    ) -> dict[Probe, int | None]:
        """Balances of every key, in ether (token None) and in each token, after the block.

        Base units; None where a token's call failed, or where there is no such contract. Raises
        `PrunedStateError` where the node no longer has the state.
        """
        probes = [Probe(key, token) for key in keys for token in (None, *tokens)]
        chunks = [
            probes[start : start + multicall.MAX_CALLS]
            for start in range(0, len(probes), multicall.MAX_CALLS)
        ]
        answers = self._ask(block_hash, [_eth_call(multicall.ADDRESS, multicall.encode(
            [multicall.balance_call(probe) for probe in chunk]
        )) for chunk in chunks])
        found: dict[Probe, int | None] = {}
        for chunk, answer in zip(chunks, answers, strict=True):
            data = None if isinstance(answer, TrackerError) else self._bytes(answer)
            if data:
                returned = multicall.decode(data, len(chunk), self._rpc.name)
                found.update(zip(chunk, map(multicall.amount, returned), strict=True))
            else:
                if data is not None:
                    self._check_deployed(block_hash)
                found.update(self._one_by_one(chunk, block_hash))
        return found

    def call(self, to: bytes, data: bytes, block_hash: bytes) -> bytes | None:
        """What the contract `to` returns after the block; None where it refuses the call.

        Empty where there is no contract at `to`.
        """
        answer = self._ask(block_hash, [_eth_call(to, data)])[0]
        return None if isinstance(answer, TrackerError) else self._bytes(answer)

    def _one_by_one(self, probes: Sequence[Probe], block_hash: bytes) -> dict[Probe, int | None]:
        """Without Multicall3: a batch of single questions."""
        calls = [
            Call("eth_getBalance", [hexed(probe.key)]) if probe.token is None
            else _eth_call(*multicall.balance_call(probe))
            for probe in probes
        ]
        found: dict[Probe, int | None] = {}
        for probe, answer in zip(probes, self._ask(block_hash, calls), strict=True):
            if isinstance(answer, TrackerError):
                found[probe] = None
            elif probe.token is None:
                text = decoded(answer, str, self._rpc.name, "balance")
                found[probe] = quantity_reply(text, self._rpc.name, "balance")
            else:
                found[probe] = multicall.amount(self._bytes(answer))
        return found

    def _ask(self, block_hash: bytes, calls: Sequence[Call]) -> list[Raw | TrackerError]:
        """Each call with the block as its last parameter. Raises what fails the whole question."""
        if not calls:
            return []
        if not self._abilities.may(BY_HASH):
            return self._by_number(block_hash, calls)
        place = {"blockHash": hexed(block_hash), "requireCanonical": True}
        answers = self._rpc.batch([_at(call, place) for call in calls])
        if not all(type(answer) is ReplyError for answer in answers):
            return _unless_whole(answers)
        # An error of no known kind to every call: perhaps the node knows no EIP-1898.
        answers = self._by_number(block_hash, calls)
        if any(type(answer) is not ReplyError for answer in answers):
            self._abilities.lacks(BY_HASH)
        return answers

    def _by_number(self, block_hash: bytes, calls: Sequence[Call]) -> list[Raw | TrackerError]:
        place = hex(self._height(block_hash))
        bracket = Call("eth_getBlockByNumber", [place, False])
        answers = _unless_whole(
            self._rpc.batch([bracket, *(_at(call, place) for call in calls), bracket])
        )
        for answer in (answers[0], answers[-1]):
            if isinstance(answer, TrackerError):
                raise answer
            header = header_reply(answer, self._rpc.name)
            if header is None or header.hash != hexed(block_hash):
                raise NotFoundError(
                    f"{self._rpc.name} no longer has the block on its chain", field="block",
                    value=block_hash.hex(), mend="the chain forked; the new block is asked for",
                )
        return answers[1:-1]

    def _check_deployed(self, block_hash: bytes) -> None:
        """Nothing from Multicall3 where it must be: the node has lost the state, and says nothing.

        Seen of Erigon with pruned history, whose balances are then all 0.
        """
        if self._mainnet and self._height(block_hash) >= multicall.MAINNET_SINCE:
            raise PrunedStateError(
                f"{self._rpc.name} has no state of that block, and does not say so",
                field="block", value=block_hash.hex(), mend="name an archive node",
            )

    def _bytes(self, answer: Raw) -> bytes:
        text = decoded(answer, str, self._rpc.name, "call result")
        return data_reply(text, self._rpc.name, "call result")


def _eth_call(to: bytes, data: bytes) -> Call:
    return Call("eth_call", [{"to": hexed(to), "data": hexed(data)}])


def _at(call: Call, place: Any) -> Call:
    return Call(call.method, [*call.params, place])


def _unless_whole(answers: list[Raw | TrackerError]) -> list[Raw | TrackerError]:
    for answer in answers:
        if isinstance(answer, _WHOLE):
            raise answer
    return answers
