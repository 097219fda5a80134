"""`tracker inspect bitcoin`: the answers files to the satoshi, forms of files, refusals."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.data import shared_data
from tests.recorded_blocks import answers, first_blocks, raw_block
from tracker.cli.inspect import app

MARA = "15MdAHnkxt9TMC2Rj595hsg8Hnv693pPBB"
TINY = 482683
runner = CliRunner()


def blocks(name: str) -> str:
    return str(shared_data() / "bitcoin" / "blocks" / f"mainnet_{name}")


def run(*arguments: str) -> dict[str, Any]:
    result = runner.invoke(app, ["bitcoin", "--json", *arguments])
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(*arguments: str) -> str:
    result = runner.invoke(app, ["bitcoin", "--json", *arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "field: " in result.stderr
    assert "mend: " in result.stderr
    return result.stderr


def watch_all(folder: Path, addresses: list[str]) -> str:
    path = folder / "watch.txt"
    path.write_text("# all of them\n\n" + "\n".join(f"{text}  # one" for text in addresses))
    return str(path)


@pytest.mark.parametrize("height", [300025, 866342])
def test_flows_of_every_address_with_the_spent_coins(height: int, tmp_path: Path) -> None:
    known = answers(height)
    flows: dict[str, dict[str, int]] = known["address_flows_sats"]
    found = run(
        "--raw", blocks(f"{height}.raw.gz"), "--spent", blocks(f"{height}.spent_utxos.json.gz"),
        "--watch-file", watch_all(tmp_path, list(flows)),
    )
    assert (found["height"], found["hash"]) == (height, known["hash"])
    assert {
        total["address"]: {name: int(total[name]) for name in ("received", "spent", "net")}
        for total in found["totals"]
    } == flows
    moved: dict[str, int] = dict.fromkeys(flows, 0)
    for move in found["movements"]:
        moved[move["address"]] += int(move["amount"])
    assert moved == {address: flow["net"] for address, flow in flows.items()}


@pytest.mark.parametrize(
    ("height", "file"), [(482683, "482683.raw"), (951658, "951658.getblock_v1_plus_hex.json.gz")]
)
def test_receipts_of_every_address_without_them(height: int, file: str, tmp_path: Path) -> None:
    known = answers(height)
    received: dict[str, int] = known["address_received_sats"]
    found = run("--raw", blocks(file), "--watch-file", watch_all(tmp_path, list(received)))
    assert found["height"] == height
    assert {total["address"]: int(total["received"]) for total in found["totals"]} == received
    assert all(total["spent"] is None and total["net"] is None for total in found["totals"])
    assert all("--spent" in total["reason"] for total in found["totals"])


def test_the_shape_of_the_contract() -> None:
    found = run("--raw", blocks("866342.raw.gz"), "--watch", MARA, "--watch", f" {MARA} ")
    assert found == {
        "chain": "bitcoin", "network": "mainnet", "height": 866342,
        "hash": "000000000000000000014ce9ba7c6760053c3c82ce6ab43d60afb101d3c8f1f1",
        "time": "2024-10-19T10:49:30Z",
        "movements": [{
            "address": MARA, "asset": "BTC", "amount": "317526183",
            "tx": "3521e329fe2ab1449b1a9b6b135a8a40a6b071eaeef5fcbccdea85e465c9c453",
            "ref": "vout:0", "kind": "coinbase_output",
        }],
        "totals": [{
            "address": MARA, "asset": "BTC", "received": "317526183", "spent": None, "net": None,
            "reason": "coins made in earlier blocks are unknown without --spent",
        }],
    }


def test_both_sides_of_one_block_for_people() -> None:
    result = runner.invoke(app, [
        "bitcoin", "--raw", blocks("866342.raw.gz"),
        "--spent", blocks("866342.spent_utxos.json.gz"),
        "--watch", "bc1qm34lsc65zpw79lxes69zkqmk6ee3ewf0j77s3h",
    ])
    assert result.exit_code == 0
    for text in ("block 866342", "2024-10-19 10:49:30 UTC", "0.18473957", "-0.48618938", "vin:0"):
        assert text in result.stdout


@pytest.mark.parametrize("form", [
    "raw", "raw.gz", "hex", "hex.gz", "string", "result", "reply", "recorded", "verbose",
])
def test_every_form_of_the_block_gives_the_same(form: str, tmp_path: Path) -> None:
    raw = raw_block(TINY)
    text = raw.hex()
    forms: dict[str, bytes] = {
        "raw": raw, "hex": f"{text}\n".encode(), "string": json.dumps(text).encode(),
        "result": json.dumps({"result": text}).encode(),
        "reply": json.dumps({"jsonrpc": "1.0", "result": text, "error": None, "id": 1}).encode(),
        "recorded": json.dumps(
            [{"request": {"method": "getblock"}, "response": {"result": text, "id": 1}}]
        ).encode(),
        "verbose": json.dumps({"result": {"height": TINY, "tx": [], "block": text}}).encode(),
    }
    data = forms[form.removesuffix(".gz")]
    path = tmp_path / "block"
    path.write_bytes(gzip.compress(data) if form.endswith(".gz") else data)
    address = next(iter(answers(TINY)["address_received_sats"]))
    expected = run("--raw", blocks("482683.raw"), "--watch", address)
    assert expected["movements"]
    assert run("--raw", str(path), "--watch", address) == expected


def test_a_block_of_version_1_has_no_height_unless_given(tmp_path: Path) -> None:
    path = tmp_path / "170.raw"
    path.write_bytes(first_blocks()[170])  # the first payment: 10 BTC to a bare key, 40 back
    change = (
        "script:410411db93e1dcdb8a016b49840f8c53bc1eb68a382e97b1482ecad7b148a6909a5cb2e0eaddfb84ccf97"
        "44464f82e160bfa9b8b64f9d4c03f999b8643f656b412a3ac"
    )
    found = run("--raw", str(path), "--watch", change)
    assert found["height"] is None
    assert "--height" in found["reason"]
    assert [(move["ref"], move["amount"]) for move in found["movements"]] == [
        ("vout:1", "4000000000")
    ]
    assert run("--raw", str(path), "--watch", change, "--height", "170")["height"] == 170
    assert "real chain's epoch" in refused(
        "--raw", str(path), "--watch", change, "--height", "866300"
    )


def test_bad_input_names_field_value_and_mend(tmp_path: Path) -> None:
    raw = blocks("866342.raw.gz")
    assert "--watch" in refused("--raw", raw)
    assert "checksum" in refused("--raw", raw, "--watch", MARA[:-1] + "C")
    assert "belongs to testnet" in refused(
        "--raw", raw, "--watch", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"
    )
    assert "unknown Bitcoin network" in refused(
        "--raw", raw, "--watch", MARA, "--network", "litecoin"
    )
    assert "cannot be read" in refused("--raw", str(tmp_path / "none"), "--watch", MARA)
    assert "height" in refused("--raw", raw, "--watch", MARA, "--height", "1")
    watch = tmp_path / "watch"
    watch.write_text(f"{MARA}\nnonsense\nbc1qqqq\n")
    said = refused("--raw", raw, "--watch-file", str(watch))
    assert "--watch-file line 2" in said
    assert "--watch-file line 3" in said
    watch.write_bytes(b"\xff\xfe\x00")
    assert "not text" in refused("--raw", raw, "--watch-file", str(watch))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no raw block"), (b"zz", "no raw block"), (b"{}", "no raw block"),
        (b'{"result": null}', "no raw block"), (b"{broken", "not valid JSON"),
        (b"\x1f\x8b\x08broken", "cannot be read"), (b"\0" * 40, "80 bytes"),
        (b"[" * 5000, "not valid JSON"),
    ],
)
def test_a_file_without_a_block_is_refused(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "block"
    path.write_bytes(data)
    assert message in refused("--raw", str(path), "--watch", MARA)


def test_a_changed_or_cut_block_is_refused(tmp_path: Path) -> None:
    raw = raw_block(866342)
    path = tmp_path / "block"
    path.write_bytes(raw[:-100])
    assert "ends inside a transaction" in refused("--raw", str(path), "--watch", MARA)
    at = raw.index(bytes.fromhex("2fc701e2049ee4957b07134b6c1d771dd5a96b21"))
    path.write_bytes(raw[:at] + b"\x00" + raw[at + 1 :])
    assert "merkle root" in refused("--raw", str(path), "--watch", MARA)
    path.write_bytes(raw[:76] + bytes(4) + raw[80:])
    assert "too little work" in refused("--raw", str(path), "--watch", MARA)


def test_spent_coins_of_another_block_or_order_are_refused(tmp_path: Path) -> None:
    raw = blocks("300025.raw.gz")
    assert "not of this block" in refused(
        "--raw", raw, "--spent", blocks("866342.spent_utxos.json.gz"), "--watch", MARA
    )
    coins = json.loads(
        gzip.decompress(Path(blocks("300025.spent_utxos.json.gz")).read_bytes())
    )
    path = tmp_path / "spent.json"
    path.write_text(json.dumps(coins[::-1]))
    assert "--spent row" in refused("--raw", raw, "--spent", str(path), "--watch", MARA)
    for bad in ({"value": 1.5}, {"value": -1, "script_pubkey": "00"}, "text", {"txout": None}):
        path.write_text(json.dumps([bad, *coins[1:]]))
        assert "row 0" in refused("--raw", raw, "--spent", str(path), "--watch", MARA)
    path.write_text('{"a": 1}')
    assert "not a list" in refused("--raw", raw, "--spent", str(path), "--watch", MARA)
