"""Output descriptors: a whole wallet in one line, for users who follow their own treasury.

Sources: BIP 380 (keys, checksum), 381 to 383 and 386 (pk, pkh, sh, wpkh, wsh, multi, tr), 389
(`<0;1>`). What is not read here is refused, not guessed: a wrong script would be watched in
silence. Those are miniscript, script trees, musig, combo, addr and raw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from embit import script as scripts
from embit.descriptor.checksum import checksum

from tracker.chains.bitcoin.descriptor_parser import Expression, Keys, parse_expression
from tracker.chains.bitcoin.extended_key import FIELD, HARDENED, parse_extended_key
from tracker.errors import InputError

GAP_LIMIT = 20  # BIP 44: addresses in a row without a use
MAX_DESCRIPTOR_CHARS = 10_000
_FUNCTION_OF = {None: "pkh({})", "sh(wpkh)": "sh(wpkh({}))", "wpkh": "wpkh({})"}
# BIP 380's character set, in which the checksum counts.
_CHARSET = frozenset(
    "0123456789()[],'/*abcdefgh@:$%{}"
    "IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~"
    "ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
)
_CHECKSUM_CHARS = frozenset("qpzry9x8gf2tvdw0s3jn54khce6mua7l")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A checked descriptor of public keys. Its text is private; `shown` is for people and logs."""

    network: str
    ranged: bool
    branch_count: int
    shown: str
    text: str = field(repr=False)
    _root: Expression = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, network: str) -> Descriptor:
        """The descriptor `text` of `network`, its checksum verified where it has one.

        A bare extended key is read by its prefix: xpub as BIP 44 (pkh), ypub as BIP 49, zpub as
        BIP 84, with the branches 0 (receiving) and 1 (change). Raises `InputError`, without any
        private key or whole extended key in it, and `ConfigError` for an unknown network.
        """
        body = _without_checksum(text.strip())
        if body[1:4] in ("pub", "prv") and "(" not in body:
            body = _of_bare_key(body, network)
        keys = Keys(network)
        root = parse_expression(body, keys)
        canonical = root.text()
        return cls(
            network=network, ranged=keys.ranged, branch_count=keys.branch_count, shown=root.shown(),
            text=f"{canonical}#{checksum(canonical)}", _root=root,
        )

    @property
    def branches(self) -> range:
        """The branches: 0 receives, 1 (where the descriptor has two) is change (BIP 389)."""
        return range(self.branch_count)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name the scripts: the same however the descriptor is written.

        Key origins do not count. Nobody can find the keys from it.
        """
        return hashlib.sha256(f"{self.network}\n{self._root.text()}".encode()).hexdigest()[:16]

    def script(self, branch: int, index: int) -> bytes:
        """The scriptPubKey at `index` of `branch`; a descriptor without `*` has index 0 only.

        Raises `InputError` for a place that it does not have.
        """
        top = HARDENED if self.ranged else 1
        if branch not in self.branches or not 0 <= index < top:
            raise InputError(
                "the descriptor has no such place", field="branch/index", value=f"{branch}/{index}",
                mend=f"branches are 0 to {self.branch_count - 1}, indexes 0 to {top - 1}",
            )
        return _script(self._root, branch, index)

    def window(
        self, used: Collection[tuple[int, int]], limit: int = GAP_LIMIT
    ) -> tuple[tuple[int, int], ...]:
        """The places (branch, index) to watch while those in `used` are known to be used."""
        if not self.ranged:
            return tuple((branch, 0) for branch in self.branches)
        return gap(used, limit, branches=self.branches)


def gap(
    used: Collection[tuple[int, int]], limit: int = GAP_LIMIT, *,
    branches: Sequence[int] = (0, 1),
) -> tuple[tuple[int, int], ...]:
    """The places (branch, index) to watch: on each branch all up to `limit` beyond the last used.

    Raises `ValueError` for a limit below 1, or a used place that no branch has.
    """
    if limit < 1:
        raise ValueError("a gap of less than one address watches nothing")
    ends = dict.fromkeys(branches, 0)
    for branch, index in used:
        if branch not in ends or not 0 <= index < HARDENED:
            raise ValueError(f"no such place: {branch}/{index}")
        ends[branch] = max(ends[branch], index + 1)
    return tuple(
        (branch, index)
        for branch in branches for index in range(min(ends[branch] + limit, HARDENED))
    )


def _without_checksum(text: str) -> str:
    if not 0 < len(text) <= MAX_DESCRIPTOR_CHARS or not _CHARSET.issuperset(text):
        raise InputError(
            f"a descriptor has 1 to {MAX_DESCRIPTOR_CHARS} characters of BIP 380's set",
            field=FIELD, value=f"{len(text)} characters", mend="copy the descriptor again",
        )
    body, mark, stated = text.partition("#")
    if not mark:
        return body
    if len(stated) != 8 or not _CHECKSUM_CHARS.issuperset(stated) or checksum(body) != stated:
        raise InputError(
            "the descriptor's checksum does not fit it", field=FIELD,
            value=f"{len(stated)} characters behind #",
            mend="copy the descriptor again, whole, with the 8 characters behind #",
        )
    return body


def _of_bare_key(text: str, network: str) -> str:
    key, slash, _ = text.partition("/")
    purpose = parse_extended_key(key, network).purpose
    function = _FUNCTION_OF.get(purpose)
    if function is None or slash:
        raise InputError(
            "a bare extended key cannot say which scripts it stands for here", field=FIELD,
            mend="write a descriptor, such as wpkh(xpub…/<0;1>/*) or "
            "wsh(sortedmulti(2,xpub…/<0;1>/*,xpub…/<0;1>/*))",
        )
    return function.format(f"{key}/<0;1>/*")


def _script(node: Expression, branch: int, index: int) -> bytes:
    if node.name in ("sh", "wsh"):
        inner = scripts.Script(_script(node.inner[0], branch, index))
        made = scripts.p2sh(inner) if node.name == "sh" else scripts.p2wsh(inner)
        return bytes(made.data)
    keys = [key.at(branch, index) for key in node.keys]
    if node.name == "pk":
        return _push(keys[0].sec()) + b"\xac"  # OP_CHECKSIG
    if node.name in ("multi", "sortedmulti"):
        pushed = [key.sec() for key in keys]
        if node.name == "sortedmulti":
            pushed.sort()
        data = b"".join(map(_push, pushed))
        return _number(node.threshold) + data + _number(len(keys)) + b"\xae"  # OP_CHECKMULTISIG
    one = {"pkh": scripts.p2pkh, "wpkh": scripts.p2wpkh, "tr": scripts.p2tr}[node.name]
    return bytes(one(keys[0]).data)


def _push(data: bytes) -> bytes:
    return bytes([len(data)]) + data  # keys of 33 or 65 bytes push themselves


def _number(value: int) -> bytes:
    """OP_1 to OP_16, or a push of one byte: a multisig has 20 keys at most."""
    return bytes([0x50 + value]) if value <= 16 else bytes([1, value])
