"""Proof of work: a header is mined at the difficulty that its place in the chain demands.

Rules: a hash is at most its target; every 2016 blocks the target follows the time that the last
2016 took, by a factor of 4 at most (Bitcoin Core, pow.cpp). Where the headers that this needs are
not at hand, the target is bounded from the nearest checkpoint, by a factor of 4 an epoch between:
a forger must then still mine near the real difficulty.

On signet the block's signature (BIP 325) is not checked. On testnet and regtest any target up to
the network's limit is allowed, as the networks themselves allow it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tracker.chains.bitcoin.header import Header
from tracker.chains.bitcoin.network import Network, network_named
from tracker.errors import InvalidBlockError

EPOCH_BLOCKS = 2016
EPOCH_SECONDS = 14 * 24 * 60 * 60
MAX_FACTOR = 4


class Ancestor(Protocol):
    """What the rules need of an earlier header: a `Header`, or a row that kept these three."""

    @property
    def hash(self) -> bytes:
        """The block's hash, in display order."""

    @property
    def time(self) -> datetime:
        """The header's own time."""

    @property
    def bits(self) -> int:
        """The compact target."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A block of the real chain: its hash in display order, and its compact target."""

    height: int
    hash: str
    bits: int


# Mainnet, read from the blocks' own headers (80 bytes each, hashed here). The first one is the
# genesis block (Bitcoin Core, kernel/chainparams.cpp); the others can be looked up by height in any
# explorer.
CHECKPOINTS: tuple[Checkpoint, ...] = (
    Checkpoint(0, "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", 0x1D00FFFF),
    Checkpoint(175, "00000000fd4afcc15f0fdda9b24be4c62068d8cf82fe6277730fd096712d9d08", 0x1D00FFFF),
    Checkpoint(
        300025, "0000000000000000821c4e0acc40f88bedbce3b73ba2358b5ade58a9022cc78c", 0x1900896C
    ),
    Checkpoint(
        482683, "000000000000000000c238240ef6dcb26c37e75e16514e6ffc0aef7eee73e747", 0x18013CE9
    ),
    Checkpoint(
        866342, "000000000000000000014ce9ba7c6760053c3c82ce6ab43d60afb101d3c8f1f1", 0x17030ECD
    ),
    Checkpoint(
        951658, "00000000000000000001cbe4b4add61d60d9a470e0958f1b4024f202db9ca628", 0x1702068F
    ),
)


def target_of(bits: int) -> int:
    """The 256-bit target that the compact form `bits` stands for; 0 where it stands for none."""
    exponent, mantissa = bits >> 24, bits & 0x7FFFFF
    if bits & 0x800000:  # the sign bit: no target is negative
        return 0
    target = mantissa >> 8 * (3 - exponent) if exponent <= 3 else mantissa << 8 * (exponent - 3)
    return target if target < 1 << 256 else 0


def bits_of(target: int) -> int:
    """The compact form of `target`, rounded down as consensus rounds it."""
    size = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if mantissa & 0x800000:
        mantissa >>= 8
        size += 1
    return mantissa | size << 24


def work_of(bits: int) -> int:
    """How many hashes a block at `bits` takes on average; 0 for a target that stands for none."""
    target = target_of(bits)
    return (1 << 256) // (target + 1) if target else 0


def retarget(first: Ancestor, last: Ancestor, limit_bits: int) -> int:
    """The bits of the epoch that follows the one from `first` to `last`, both in it.

    The 2016 blocks span 2015 intervals: the well-known off-by-one is consensus.
    """
    spent = int(last.time.timestamp()) - int(first.time.timestamp())
    spent = min(max(spent, EPOCH_SECONDS // MAX_FACTOR), EPOCH_SECONDS * MAX_FACTOR)
    return bits_of(min(target_of(last.bits) * spent // EPOCH_SECONDS, target_of(limit_bits)))


def check_work(header: Header, network: str) -> None:
    """Raise `InvalidBlockError` unless `header` meets a target that `network` allows at all."""
    limit = target_of(network_named(network).limit_bits)
    target = target_of(header.bits)
    if not 0 < target <= limit:
        raise _refused("the target is above the network's limit", header)
    if int.from_bytes(header.hash, "big") > target:
        raise _refused("too little work: the hash is above the target", header)


def check_header(
    header: Header, height: int, network: str, *,
    previous: Ancestor | None = None, epoch_start: Ancestor | None = None,
) -> None:
    """Raise `InvalidBlockError` unless `header` may stand at `height` of `network`.

    `previous` is the header below it and `epoch_start` the first header of the epoch that
    `previous` closes (height - 2016), used only where height is a multiple of 2016. Each may be
    None; what cannot be derived without it is bounded from the checkpoints instead.
    Raises `ConfigError` for an unknown network.
    """
    parameters = network_named(network)
    check_work(header, network)
    if previous is not None and header.parent != previous.hash:
        raise _refused("the header does not link to the block below it", header, height)
    if parameters.rule == "retarget":
        _check_bits(header, height, parameters, previous, epoch_start)
    if network == "mainnet":
        _check_checkpoints(header, height)


def _check_bits(
    header: Header, height: int, network: Network, previous: Ancestor | None,
    epoch_start: Ancestor | None,
) -> None:
    if previous is None:
        return
    if height % EPOCH_BLOCKS:
        if header.bits != previous.bits:
            raise _refused("the target changes inside an epoch", header, height)
    elif epoch_start is not None:
        if header.bits != retarget(epoch_start, previous, network.limit_bits):
            raise _refused("the target is not what the retarget demands", header, height)
    elif target_of(header.bits) > MAX_FACTOR * target_of(previous.bits):
        raise _refused("the target rises by more than 4 at a retarget", header, height)


def _check_checkpoints(header: Header, height: int) -> None:
    target = target_of(header.bits)
    for checkpoint in CHECKPOINTS:
        if height == checkpoint.height and header.hash.hex() != checkpoint.hash:
            raise _refused("another block than the real chain has here", header, height)
        epochs = abs(height // EPOCH_BLOCKS - checkpoint.height // EPOCH_BLOCKS)
        if epochs == 0 and header.bits != checkpoint.bits:
            raise _refused("another target than the real chain's epoch has", header, height)
        if target > target_of(checkpoint.bits) * MAX_FACTOR**epochs:
            raise _refused(
                f"too little work: easier than {epochs} retargets from block {checkpoint.height} "
                "allow", header, height,
            )


def _refused(message: str, header: Header, height: int | None = None) -> InvalidBlockError:
    return InvalidBlockError(
        message, field="header" if height is None else f"header at {height}",
        value=f"{header.hash.hex()} bits {header.bits:08x}",
        mend="take the block from another source; check the configured network and height",
    )
