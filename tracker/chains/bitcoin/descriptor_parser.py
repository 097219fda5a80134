"""The grammar of output descriptors: functions, and the keys in them (BIP 380 to 383, 386, 389)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from embit import ec
from embit.bip32 import HDKey

from tracker.chains.bitcoin.extended_key import (
    FIELD,
    HARDENED,
    parse_extended_key,
    public_key,
    refuse_private,
    shortened,
)
from tracker.errors import InputError

# Which functions may stand at the top and inside which.
_TOP = frozenset({"pk", "pkh", "wpkh", "sh", "wsh", "tr", "multi", "sortedmulti"})
_INSIDE = {
    "sh": frozenset({"pk", "pkh", "wpkh", "wsh", "multi", "sortedmulti"}),
    "wsh": frozenset({"pk", "pkh", "multi", "sortedmulti"}),
}
_MULTI = frozenset({"multi", "sortedmulti"})
_MAX_KEYS = 20  # consensus: MAX_PUBKEYS_PER_MULTISIG
_MAX_BARE_KEYS = 3  # of a standard multisig without P2SH (BIP 383)
_MAX_REDEEM_BYTES = 520  # of what a P2SH output's script may be (BIP 16)
_CALL = re.compile(r"([a-z_]{1,20})\((.*)\)\Z", re.DOTALL)
# Core and BIP 380's vectors take h and ' for a hardened step, and no capital H.
_ORIGIN = re.compile(r"\[([0-9a-fA-F]{8})((?:/\d{1,10}[h']?)*)\]")
_STEP = re.compile(r"(\d{1,10})([h']?)\Z")
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}\Z|[0-9a-fA-F]{66}\Z|[0-9a-fA-F]{130}\Z")


@dataclass(frozen=True, slots=True)
class KeyExpression:
    """A key, fixed or derived: `parents` are a branch's key each, `*` being its children."""

    fixed: ec.PublicKey | None = field(repr=False)
    parents: tuple[HDKey, ...] = field(repr=False)
    ranged: bool
    whole: str = field(repr=False)
    short: str

    def at(self, branch: int, index: int) -> ec.PublicKey:
        """The public key at a place; the same for every branch where it has only one."""
        if self.fixed is not None:
            return self.fixed
        parent = self.parents[branch if len(self.parents) > 1 else 0]
        return (parent.child(index) if self.ranged else parent).key


@dataclass(frozen=True, slots=True)
class Expression:
    """A function with what stands in it: another function, or keys and perhaps a threshold."""

    name: str
    inner: tuple[Expression, ...] = ()
    keys: tuple[KeyExpression, ...] = ()
    threshold: int = 0

    def text(self) -> str:
        """The whole text, always written in the same way, without key origins."""
        return self._written([key.whole for key in self.keys], [one.text() for one in self.inner])

    def shown(self) -> str:
        """The same with extended keys shortened."""
        return self._written([key.short for key in self.keys], [one.shown() for one in self.inner])

    def _written(self, keys: list[str], inner: list[str]) -> str:
        threshold = [str(self.threshold)] if self.name in _MULTI else []
        return f"{self.name}({','.join([*threshold, *keys, *inner])})"


class Keys:
    """Reads keys of one network, and holds them to one number of branches."""

    def __init__(self, network: str) -> None:
        self._network = network
        self.branch_count = 1
        self.ranged = False

    def read(self, text: str, path: tuple[str, ...]) -> KeyExpression:
        """The key expression `text` inside the functions `path`; raises `InputError`."""
        text = _without_origin(text)
        head, *steps = text.split("/")
        refuse_private(head)
        if _HEX_KEY.match(head):
            if steps:
                raise _refused("a single key has no path", "take the path off, or give an xpub")
            return _fixed(head, path)
        extended = parse_extended_key(head, self._network)
        wanted = "(".join(path[:2]) + ")" * (len(path[:2]) - 1)
        if extended.purpose is not None and extended.purpose != wanted:
            raise _refused(
                f"the key's prefix is that of {extended.purpose}, not of {wanted}",
                "give the key in its xpub form if the function is meant", shortened(head),
            )
        ranged = bool(steps) and steps[-1] == "*"
        branches, written = self._branches(steps[:-1] if ranged else steps)
        self.ranged = self.ranged or ranged
        tail = written + ("/*" if ranged else "")
        return KeyExpression(
            fixed=None, parents=tuple(extended.key.derive(list(steps)) for steps in branches),
            ranged=ranged, whole=extended.text + tail, short=extended.shown + tail,
        )

    def _branches(self, steps: list[str]) -> tuple[list[tuple[int, ...]], str]:
        """The path of each branch, and how the steps are written."""
        choices: list[list[int]] = []
        for step in steps:
            if step.startswith("<") and step.endswith(">"):
                several = [_step(one) for one in step[1:-1].split(";")]
                if len(several) < 2 or len(set(several)) < len(several):
                    raise _refused("<…> holds two or more different numbers", "write <0;1>", step)
                choices.append(several)
            else:
                choices.append([_step(step)])
        counts = [len(choice) for choice in choices if len(choice) > 1]
        if len(counts) > 1:
            raise _refused("a key has one <…> at most (BIP 389)", "write it as two descriptors")
        count = counts[0] if counts else 1
        if count > 1:
            if self.branch_count not in (1, count):
                raise _refused("the keys' <…> differ in length (BIP 389)", "make them alike")
            self.branch_count = count
        written = "".join(
            f"/{choice[0]}" if len(choice) == 1 else f"/<{';'.join(map(str, choice))}>"
            for choice in choices
        )
        paths = [
            tuple(choice[branch] if len(choice) > 1 else choice[0] for choice in choices)
            for branch in range(count)
        ]
        return paths, written


def parse_expression(text: str, keys: Keys, path: tuple[str, ...] = ()) -> Expression:
    """The function in `text`, which stands inside the functions `path`; raises `InputError`."""
    call = _CALL.match(text)
    if call is None:
        refuse_private(text)
        raise _refused("not a descriptor", "write it as function(key), as in wpkh(xpub…/<0;1>/*)")
    name, content = call.groups()
    allowed = _INSIDE[path[-1]] if path else _TOP
    if name not in allowed:
        where = f"inside {path[-1]}()" if path else "here"
        raise _refused(
            f"{name}() is not read {where}", f"use one of {', '.join(sorted(allowed))}; give other "
            "addresses one by one", name,
        )
    inside = (*path, name)
    if name in _INSIDE:
        found = Expression(name, inner=(parse_expression(content, keys, inside),))
        _check_size(found)
        return found
    if name in _MULTI:
        return _multi(name, content, keys, path)
    if "," in content or "(" in content or "{" in content:
        raise _refused(f"{name}() holds one key here", "script trees are not read", name)
    return Expression(name, keys=(keys.read(content, inside),))


def _multi(name: str, content: str, keys: Keys, path: tuple[str, ...]) -> Expression:
    first, *rest = content.split(",")
    most = _MAX_KEYS if path else _MAX_BARE_KEYS
    if not 1 <= len(rest) <= most:
        raise _refused(f"{name}() has 1 to {most} keys here", "see BIP 383", f"{len(rest)} keys")
    threshold = int(first) if first.isascii() and first.isdigit() and len(first) < 4 else 0
    if not 1 <= threshold <= len(rest):
        for one in content.split(","):
            refuse_private(one)
        raise _refused(f"{name}() needs a number from 1 to its count of keys first",
                       f"as in {name}(2,xpub…/<0;1>/*,xpub…/<0;1>/*)")
    return Expression(
        name, keys=tuple(keys.read(one, path or (name,)) for one in rest), threshold=threshold
    )


def _check_size(found: Expression) -> None:
    inner = found.inner[0]
    if found.name == "sh" and inner.name in _MULTI:
        sizes = [len(key.at(0, 0).sec()) + 1 for key in inner.keys]
        if sum(sizes) + 3 > _MAX_REDEEM_BYTES:
            raise _refused("more keys than a P2SH script holds (BIP 16)", "use wsh()",
                           f"{len(sizes)} keys")


def _fixed(text: str, path: tuple[str, ...]) -> KeyExpression:
    whole = "02" + text if len(text) == 64 and path == ("tr",) else text
    if len(text) == 130 and {"wpkh", "wsh", "tr"}.intersection(path):
        raise _refused("an uncompressed key cannot stand in segwit scripts", "give the key's form "
                       "of 33 bytes")
    try:
        key = public_key(bytes.fromhex(whole))
    except ValueError:
        # Not repeated: 32 bytes in hexadecimal may as well be a private key.
        raise _refused(f"not a public key for {path[-1]}()", "check the key") from None
    # In tr() the first byte is not part of the script, so it is not part of the text either.
    whole = text.lower()[-64:] if path == ("tr",) else text.lower()
    return KeyExpression(fixed=key, parents=(), ranged=False, whole=whole, short=whole)


def _without_origin(text: str) -> str:
    if not text.startswith("["):
        return text
    origin = _ORIGIN.match(text)
    if origin is None or any(int(step) >= HARDENED for step in _numbers(origin[2])):
        raise _refused("a key origin is [8 hex digits/path]", "as in [d34db33f/84h/0h/0h]xpub…")
    return text[origin.end() :]


def _numbers(path: str) -> list[str]:
    return re.findall(r"\d+", path)


def _step(text: str) -> int:
    found = _STEP.match(text)
    if (found and found[2]) or text in ("*h", "*'"):
        raise _refused(
            "hardened steps behind an extended public key need the private key (BIP 32)",
            "derive them in the wallet, and give the extended public key below them", text,
        )
    if found is None or int(found[1]) >= HARDENED:
        raise _refused("not a step of a path", "steps are 0 to 2147483647, <0;1>, and a last *")
    return int(found[1])


def _refused(reason: str, mend: str, value: str | None = None) -> InputError:
    return InputError(reason, field=FIELD, value=value, mend=mend)
