"""Calls of contracts, coded from the JSON in abi/: the one place that uses web3.

For what is asked seldom. What every block needs is coded by hand where it is used, and web3, which
takes a second and 58 MB to import, is not loaded until the first call here.
"""

from __future__ import annotations

import json
import sys
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from tracker import resources
from tracker.errors import InputError, ReplyError

if TYPE_CHECKING:
    from web3 import Web3

_lock = threading.Lock()


def call_data(contract: str, function: str, *arguments: object) -> bytes:
    """The data of a call of `function`, as abi/`contract`.json declares it.

    Arguments are ints, bytes, and addresses as checksummed text. Raises `InputError` for a contract
    or a function that is not declared, and for arguments that do not fit.
    """
    declared = _function(contract, function)
    with _lock:
        library = _web3()
        from eth_abi.exceptions import EncodingError
        from web3.exceptions import Web3Exception

        try:
            text = library.eth.contract(abi=[declared]).encode_abi(function, args=list(arguments))
        except (Web3Exception, EncodingError, TypeError, ValueError):
            raise InputError(
                f"{contract}.{function} does not take these arguments", field="arguments",
                value=arguments, mend=f"see abi/{contract}.json",
            ) from None
    return bytes.fromhex(text.removeprefix("0x"))


def returned(contract: str, function: str, data: bytes) -> tuple[Any, ...]:
    """The values that `data`, the answer to such a call, holds.

    Raises `InputError` as `call_data` does, and `ReplyError` for data that is not what the function
    returns.
    """
    declared = _function(contract, function)
    with _lock:
        library = _web3()
        from eth_abi.exceptions import DecodingError
        from eth_utils.abi import get_abi_output_types

        types = get_abi_output_types(declared)  # type: ignore[arg-type]
        try:
            return tuple(library.codec.decode(types, data))
        except (DecodingError, OverflowError):
            raise ReplyError(
                f"{contract}.{function} does not return this", field="call result",
                value=data.hex(), mend="check that the address is that of the contract",
            ) from None


@cache
def _function(contract: str, function: str) -> dict[str, Any]:
    path = resources.folder("abi") / f"{contract}.json"
    if not path.is_file():
        raise InputError(
            "no such ABI is shipped", field="contract", value=contract, mend="see abi/SOURCES.md"
        )
    declared: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    for entry in declared:
        if entry["type"] == "function" and entry["name"] == function:
            return entry
    raise InputError(
        f"{contract} has no such function", field="function", value=function,
        mend=f"see abi/{contract}.json",
    )


@cache
def _web3() -> Web3:
    # A library below web3 (py_ecc) raises Python's recursion limit to 100,000 for the whole
    # process; deeply nested JSON of a provider would then overrun the stack and end the process
    # instead of raising an error. Only under `_lock`: a second importer would take the raised
    # limit for the one to restore.
    limit = sys.getrecursionlimit()
    try:
        from web3 import Web3
        from web3.providers import BaseProvider
    finally:
        sys.setrecursionlimit(limit)
    return Web3(BaseProvider())  # it codes only: nobody is asked
