"""Descriptors against the published vectors of the BIPs, and what they refuse without a leak."""

from __future__ import annotations

import json
from typing import Any

import pytest
from embit import bip39, ec
from embit.bip32 import HDKey
from embit.networks import NETWORKS as EMBIT_NETWORKS

from tests.data import shared_data
from tracker.chains.bitcoin.address import address_of, script_of
from tracker.chains.bitcoin.descriptor import Descriptor
from tracker.errors import InputError

# Keys of BIP 380 to 389's vectors.
XPUB_A = (
    "xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMz"
    "QLcgJvLJuZZvRcEL"
)
XPUB_B = (
    "xpub68NZiKmJWnxxS6aaHmn81bvJeTESw724CRDs6HbuccFQN9Ku14VQrADWgqbhhTHBaohPX4CjNLf9fq9MYo6oDaPPLPx"
    "Sb7gwQN3ih19Zm4Y"
)
XPUB_C = (
    "xpub661MyMwAqRbcGDZQUKLqmWodYLcoBQnQH33yYkkF3jjxeLvY8qr2wWGEWkiKFaaQfJCoi3HeEq3Dc5DptfbCyjD38fN"
    "hSqtKc1UHaP4ba3t"
)
XPUB_D = (
    "xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r"
    "1D3tgFxHmwMkQTPH"
)
# The accounts that BIPs 49 and 86 print.
UPUB_49 = (
    "upub5EFU65HtV5TeiSHmZZm7FUffBGy8UKeqp7vw43jYbvZPpoVsgU93oac7Wk3u6moKegAEWtGNF8DehrnHtv21XXEMYRU"
    "ocHqguyjknFHYfgY"
)
XPUB_86 = (
    "xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdD"
    "EHGCtMMj92pReUsQ"
)
KEY = "03a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd"
UNCOMPRESSED = (
    "04a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd5b8dec5235a0fa8722476c7709c025"
    "59e3aa73aa03918ba2d492eea75abea235"
)
SIXTEEN = [
    "03669b8afcec803a0d323e9a17f3ea8e68e8abe5a278020a929adbec52421adbd0",
    "0260b2003c386519fc9eadf2b5cf124dd8eea4c4e68d5e154050a9346ea98ce600",
    "0362a74e399c39ed5593852a30147f2959b56bb827dfa3e60e464b02ccf87dc5e8",
    "0261345b53de74a4d721ef877c255429961b7e43714171ac06168d7e08c542a8b8",
    "02da72e8b46901a65d4374fe6315538d8f368557dda3a1dcf9ea903f3afe7314c8",
    "0318c82dd0b53fd3a932d16e0ba9e278fcc937c582d5781be626ff16e201f72286",
    "0297ccef1ef99f9d73dec9ad37476ddb232f1238aff877af19e72ba04493361009",
    "02e502cfd5c3f972fe9a3e2a18827820638f96b6f347e54d63deb839011fd5765d",
    "03e687710f0e3ebe81c1037074da939d409c0025f17eb86adb9427d28f0f7ae0e9",
    "02c04d3a5274952acdbc76987f3184b346a483d43be40874624b29e3692c1df5af",
    "02ed06e0f418b5b43a7ec01d1d7d27290fa15f75771cb69b642a51471c29c84acd",
    "036d46073cbb9ffee90473f3da429abc8de7f8751199da44485682a989a4bebb24",
    "02f5d1ff7c9029a80a4e36b9a5497027ef7f3e73384a4a94fbfe7c4e9164eec8bc",
    "02e41deffd1b7cce11cde209a781adcffdabd1b91c0ba0375857a2bfd9302419f3",
    "02d76625f7956a7fc505ab02556c23ee72d832f1bac391bcd2d3abce5710a13d06",
    "0399eb0a5487515802dc14544cf10b3666623762fbed2ec38a3975716e2c29c232",
]


def wallet(path: str) -> HDKey:
    """The private key at `path` of the wallet that BIPs 49, 84 and 86 show."""
    words = " ".join(["abandon"] * 11 + ["about"])
    return HDKey.from_seed(bip39.mnemonic_to_seed(words)).derive(path)


def public(path: str, prefix: str, network: str = "main") -> str:
    return str(wallet(path).to_public(EMBIT_NETWORKS[network][prefix]).to_base58())


@pytest.mark.parametrize(
    ("descriptor", "scripts"),
    [
        # BIP 381
        (f"pk({KEY})", [f"21{KEY}ac"]),
        (f"pk({UNCOMPRESSED})", [f"41{UNCOMPRESSED}ac"]),
        (f"pkh([deadbeef/1/2'/3/4']{KEY})", ["76a9149a1c78a507689f6f54b847ad1cef1e614ee23f1e88ac"]),
        (f"pkh([deadbeef/1/2h/3/4h]{KEY})", ["76a9149a1c78a507689f6f54b847ad1cef1e614ee23f1e88ac"]),
        (f"pkh({UNCOMPRESSED})", ["76a914b5bd079c4d57cc7fc28ecf8213a6b791625b818388ac"]),
        (f"sh(pk({KEY}))", ["a9141857af51a5e516552b3086430fd8ce55f7c1a52487"]),
        (f"sh(pkh({KEY}))", ["a9141a31ad23bf49c247dd531a623c2ef57da3c400c587"]),
        (f"pk({XPUB_B}/0)",
         ["210379e45b3cf75f9c5f9befd8e9506fb962f6a9d185ac87001ec44a8d3df8d4a9e3ac"]),
        # BIP 382
        (f"wpkh({KEY})", ["00149a1c78a507689f6f54b847ad1cef1e614ee23f1e"]),
        (f"wpkh([ffffffff/13']{XPUB_D}/1/2/*)",
         ["0014326b2249e3a25d5dc60935f044ee835d090ba859",
          "0014af0bd98abc2f2cae66e36896a39ffe2d32984fb7",
          "00141fa798efd1cbf95cebf912c031b8a4a6e9fb9f27"]),
        (f"wsh(pkh({KEY}))",
         ["0020338e023079b91c58571b20e602d7805fb808c22473cbc391a41b1bd3a192e75b"]),
        (f"wsh(pk({KEY}))",
         ["00202e271faa2325c199d25d22e1ead982e45b64eeb4f31e73dbdf41bd4b5fec23fa"]),
        (f"sh(wsh(pkh({KEY})))", ["a914b61b92e2ca21bac1e72a3ab859a742982bea960a87"]),
        # BIP 383
        (f"multi(1,{KEY},{UNCOMPRESSED})", [f"5121{KEY}41{UNCOMPRESSED}52ae"]),
        (f"sortedmulti(1,{UNCOMPRESSED},{KEY})", [f"5121{KEY}41{UNCOMPRESSED}52ae"]),
        (f"sh(multi(2,[00000000/111'/222]{XPUB_A},{XPUB_B}/0))",
         ["a91445a9a622a8b0a1269944be477640eedc447bbd8487"]),
        (f"sortedmulti(2,{XPUB_A}/*,{XPUB_B}/0/0/*)",
         [f"5221{one}21{other}52ae" for one, other in (
             ("025d5fc65ebb8d44a5274b53bac21ff8307fec2334a32df05553459f8b1f7fe1b6",
              "02fbd47cc8034098f0e6a94c6aeee8528abf0a2153a5d8e46d325b7284c0467846"),
             ("0264fd4d1f5dea8ded94c61e9641309349b62f27fbffe807291f664e286bfbe647",
              "03f4ece6dfccfa37b211eb3d0af4d0c61dba9ef698622dc17eecdf764beeb005a6"),
             ("022ccabda84c30bad578b13c89eb3b9544ce149787e5b538175b1d1ba259cbb833",
              "024d902e1a2fc7a8755ab5b694c575fce742c48d9ff192e63df5193e4c7afe1f9c"),
         )]),
        (f"sh(wsh(multi(16,{','.join(SIXTEEN)})))",
         ["a9147fc63e13dc25e8a95a3cee3d9a714ac3afd96f1e87"]),
        # BIP 386
        (f"tr({KEY[2:]})",
         ["512077aab6e066f8a7419c5ab714c12c67d25007ed55a43cadcacb4d7a970a093f11"]),
        (f"tr({KEY})", ["512077aab6e066f8a7419c5ab714c12c67d25007ed55a43cadcacb4d7a970a093f11"]),
    ],
)
def test_the_scripts_of_the_published_vectors(descriptor: str, scripts: list[str]) -> None:
    found = Descriptor.parse(descriptor, "mainnet")
    assert [found.script(0, index).hex() for index in range(len(scripts))] == scripts
    assert found.ranged == (len(scripts) > 1)


@pytest.mark.parametrize(
    ("text", "network", "addresses"),
    [
        # BIP 44: the same wallet's first addresses, as hardware wallets' own tests show them.
        (public("m/44h/0h/0h", "xpub"), "mainnet", {
            (0, 0): "1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA",
        }),
        # BIP 49, as printed there
        (UPUB_49, "testnet", {(0, 0): "2Mww8dCYPUpKHofjgcXcBCEGmniw9CoaiD2"}),
        # BIP 84
        (public("m/84h/0h/0h", "zpub"), "mainnet", {
            (0, 0): "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
            (0, 1): "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g",
            (1, 0): "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el",
        }),
        # BIP 86
        (f"tr({XPUB_86}/<0;1>/*)", "mainnet", {
             (0, 0): "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
             (0, 1): "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh",
             (1, 0): "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7",
         }),
    ],
)
def test_the_addresses_of_published_accounts(
    text: str, network: str, addresses: dict[tuple[int, int], str]
) -> None:
    found = Descriptor.parse(text, network)
    assert found.branches == range(2)
    for place, address in addresses.items():
        assert address_of(found.script(*place), network) == address


def test_taproot_keys_without_a_script_tree_are_those_of_bip_341() -> None:
    path = shared_data() / "bitcoin" / "core_vectors" / "bip341_wallet_vectors.json"
    vectors: list[dict[str, Any]] = json.loads(path.read_text())["scriptPubKey"]
    seen = 0
    for vector in vectors:
        if vector["given"]["scriptTree"] is None:
            found = Descriptor.parse(f"tr({vector['given']['internalPubkey']})", "mainnet")
            assert found.script(0, 0).hex() == vector["expected"]["scriptPubKey"]
            seen += 1
    assert seen


def test_a_public_path_gives_the_keys_that_the_private_one_gives() -> None:
    """BIP 32's promise, on its second vector's chain."""
    seed = bytes(range(255, 191, -1))
    master = HDKey.from_seed(seed)
    account = master.derive("m/0/2147483647h")
    found = Descriptor.parse(f"pk({account.to_public().to_base58()}/<1;7>/*)", "mainnet")
    for branch, step in ((0, 1), (1, 7)):
        for index in (0, 1, 2**31 - 1):
            key = account.derive([step, index]).get_public_key().sec()
            assert found.script(branch, index) == b"\x21" + key + b"\xac"


@pytest.mark.parametrize(
    ("one", "several"),
    [  # BIP 389
        (f"pk({XPUB_B}/<0;1>)", [f"pk({XPUB_B}/0)", f"pk({XPUB_B}/1)"]),
        (f"wpkh([ffffffff/13h]{XPUB_D}/<1;3>/2/*)",
         [f"wpkh({XPUB_D}/1/2/*)", f"wpkh({XPUB_D}/3/2/*)"]),
        (f"multi(2,{XPUB_A}/<1;2>/*,{XPUB_B}/<3;4>/0/*)",
         [f"multi(2,{XPUB_A}/1/*,{XPUB_B}/3/0/*)", f"multi(2,{XPUB_A}/2/*,{XPUB_B}/4/0/*)"]),
        (f"sh(multi(2,{XPUB_A}/<1;2;3>/0/*,{XPUB_B}/0/*,{XPUB_C}/0/0/<3;4;5>/*))",
         [f"sh(multi(2,{XPUB_A}/{a}/0/*,{XPUB_B}/0/*,{XPUB_C}/0/0/{c}/*))"
          for a, c in ((1, 3), (2, 4), (3, 5))]),
    ],
)
def test_a_multipath_descriptor_is_its_branches(one: str, several: list[str]) -> None:
    found = Descriptor.parse(one, "mainnet")
    assert found.branches == range(len(several))
    for branch, text in enumerate(several):
        single = Descriptor.parse(text, "mainnet")
        for index in range(3 if found.ranged else 1):
            assert found.script(branch, index) == single.script(0, index)


def test_a_checksum_is_verified_before_anything_else() -> None:
    body, _, stated = "raw(deadbeef)#89f8spxm".partition("#")  # BIP 380
    for broken in (
        f"{body}#", f"{body}#{stated}x", f"{body}#{stated[:7]}", f"{body}##{stated[1:]}",
        f"{body.replace('d', 'e', 1)}#{stated}",
    ):
        with pytest.raises(InputError, match="checksum"):
            Descriptor.parse(broken, "mainnet")


def test_its_own_text_reads_back_and_one_wrong_letter_does_not() -> None:
    found = Descriptor.parse(f"wpkh([d34db33f/84h/0h/0h]{XPUB_A}/<0;1>/*)", "mainnet")
    again = Descriptor.parse(found.text, "mainnet")
    assert again == found
    assert again.fingerprint == found.fingerprint
    with pytest.raises(InputError, match="checksum"):
        Descriptor.parse(found.text.replace("wpkh", "wpkg"), "mainnet")


def test_bip_380_s_own_checksum_is_ours() -> None:
    with pytest.raises(InputError, match=r"raw\(\) is not read"):  # the checksum passed
        Descriptor.parse("raw(deadbeef)#89f8spxm", "mainnet")


def test_one_wallet_has_one_fingerprint_however_it_is_written() -> None:
    account = "m/84h/0h/0h"
    bare = Descriptor.parse(public(account, "zpub"), "mainnet")
    same = [
        f"wpkh({public(account, 'xpub')}/<0;1>/*)",
        f"wpkh([73c5da0a/84h/0h/0h]{public(account, 'xpub')}/<0;1>/*)",
        f"wpkh([73c5da0a/84'/0'/0']{public(account, 'zpub')}/<0;1>/*)",
        f"  wpkh({public(account, 'xpub')}/<0;1>/*)  ",
    ]
    assert {Descriptor.parse(text, "mainnet").fingerprint for text in same} == {bare.fingerprint}
    others = [
        f"wpkh({public(account, 'xpub')}/<1;0>/*)", f"pkh({public(account, 'xpub')}/<0;1>/*)",
        f"wpkh({public(account, 'xpub')}/0/*)", public("m/84h/0h/1h", "zpub"),
    ]
    assert bare.fingerprint not in {Descriptor.parse(t, "mainnet").fingerprint for t in others}
    on_test = public(account, "zpub", "test")
    prints = {Descriptor.parse(on_test, net).fingerprint for net in ("testnet", "signet")}
    assert len(prints) == 2
    assert all(len(one) == 16 for one in prints)


def test_nothing_that_people_see_holds_a_whole_extended_key() -> None:
    found = Descriptor.parse(f"wsh(sortedmulti(2,{XPUB_A}/0/*,{XPUB_B}/0/*))", "mainnet")
    assert found.shown == "wsh(sortedmulti(2,xpub6ERA…RcEL/0/*,xpub68NZ…Zm4Y/0/*))"
    for seen in (repr(found), str(found), found.shown, found.fingerprint, repr(found._root)):
        assert XPUB_A not in seen
        assert XPUB_A[20:60] not in seen


def secrets() -> list[str]:
    """Private keys in all their forms, made here."""
    single = ec.PrivateKey(bytes(range(1, 33)))
    loose = ec.PrivateKey(bytes(range(1, 33)), compressed=False)
    extended = [
        str(wallet("m/84h").to_base58(EMBIT_NETWORKS[network][prefix]))
        for network in ("main", "test")
        for prefix in ("xprv", "yprv", "zprv", "Yprv", "Zprv")
    ]
    wifs = [
        str(key.wif(EMBIT_NETWORKS[network])) for key in (single, loose)
        for network in ("main", "test")
    ]
    return [*extended, *wifs, single.secret.hex()]


@pytest.mark.parametrize("number", range(len(secrets())))
@pytest.mark.parametrize(
    "form",
    ["{}", "wpkh({})", "wpkh({}/0/*)", "pkh([d34db33f/44h]{}/<0;1>/*)", "sh(wpkh({}))", "tr({}/1)",
     "wsh(multi(1,{}))", "sh(wsh(sortedmulti(1,{}/0/*)))", "wsh(multi({}))", "wsh({})", "foo({})",
     "{}#89f8spxm", "wpkh({}", "wpkh(/{})", "wpkh(<{}>)", "wpkh(xpub/<0;{}>/*)"],
)
def test_private_keys_are_refused_and_never_repeated(number: int, form: str) -> None:
    secret = secrets()[number]
    with pytest.raises(InputError) as caught:
        Descriptor.parse(form.format(secret), "mainnet")
    error = caught.value
    for told in (str(error), repr(error), str(error.__cause__)):
        assert secret not in told
        assert secret[8:24] not in told
    if form.startswith(("wpkh({})", "sh(wpkh")) and len(secret) != 64:
        assert "private key" in str(error)
        assert error.field == "descriptor"
        assert error.mend


def test_every_private_key_of_core_s_vectors_is_refused() -> None:
    path = shared_data() / "bitcoin" / "core_vectors" / "key_io_valid.json"
    seen = 0
    for text, _, about in json.loads(path.read_text()):
        if about["isPrivkey"]:
            with pytest.raises(InputError, match="private key") as caught:
                Descriptor.parse(f"wpkh({text})", "mainnet")
            assert text not in str(caught.value)
            seen += 1
    assert seen > 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "characters"), ("wpkh(Ü)", "characters"), ("pkh(" + "a" * 20_000 + ")", "characters"),
        ("nonsense", "not a descriptor"), ("wpkh()", "checksum or character"),
        ("wpkh(xpub)", "checksum or character"),
        (f"wpkh({XPUB_A[:-1]}M/0/*)", "checksum or character"),
        (f"wpkh({XPUB_A}/0/*", "not a descriptor"),
        (f"wpkh({XPUB_A}/0/*))", "not a step"),
        (f"wpkh({XPUB_A}/3h/4h/5h/*)", "hardened"), (f"wpkh({XPUB_A}/0/*h)", "hardened"),
        (f"wpkh({XPUB_A}/0/*')", "hardened"), (f"pkh({XPUB_A}/<0h;1>/*)", "hardened"),
        (f"wpkh({XPUB_A}/2147483648)", "not a step"), (f"wpkh({XPUB_A}/1aa)", "not a step"),
        (f"wpkh({XPUB_A}/*/0)", "not a step"), (f"wpkh({XPUB_A}//*)", "not a step"),
        (f"wpkh({XPUB_A}/-1/*)", "not a step"), (f"wpkh({XPUB_A}/٣/*)", "characters"),
        # BIP 380: key origins
        (f"wpkh([deadbeef/0h/*]{KEY})", "origin"), (f"wpkh([deadbeef/0h/]{KEY})", "origin"),
        (f"wpkh([deadbef/0h]{KEY})", "origin"), (f"wpkh([deadbeeef/0h]{KEY})", "origin"),
        (f"wpkh([deadbeef/0f/0f/0f]{KEY})", "origin"), (f"wpkh([deadbeef/0H]{KEY})", "origin"),
        (f"wpkh([deadbeef/-0]{KEY})", "origin"), (f"wpkh([gaaaaaaa]{XPUB_A})", "origin"),
        (f"wpkh([aaaaaaaa][aaaaaaaa]{XPUB_A}/0)", "checksum or character"),
        (f"wpkh(aaaaaaaa]{XPUB_A}/0)", "checksum or character"),
        ("wpkh([deadbeef])", "checksum or character"),
        (f"wpkh([deadbeef/2147483648]{XPUB_A})", "origin"),
        (f"wpkh({KEY}/0)", "no path"),
        # BIP 381, 382, 386: what may stand where
        (f"pk(pk({KEY}))", "one key"), (f"pkh(pk({KEY}))", "one key"),
        (f"sh({KEY})", "not a descriptor"), (f"sh(sh(pkh({KEY})))", "not read inside sh"),
        (f"wsh(wpkh({KEY}))", "not read inside wsh"), (f"wsh(wsh(pkh({KEY})))", "inside wsh"),
        (f"sh(wsh(wsh(pkh({KEY}))))", "not read inside wsh"), (f"wpkh(wsh(pkh({KEY})))", "one key"),
        (f"wsh({KEY})", "not a descriptor"), (f"wpkh({UNCOMPRESSED})", "uncompressed"),
        (f"sh(wpkh({UNCOMPRESSED}))", "uncompressed"), (f"wsh(pk({UNCOMPRESSED}))", "uncompressed"),
        (f"wsh(multi(1,{UNCOMPRESSED}))", "uncompressed"), (f"tr({UNCOMPRESSED})", "uncompressed"),
        (f"wsh(tr({KEY[2:]}))", "inside wsh"), (f"sh(tr({KEY[2:]}))", "inside sh"),
        (f"tr({KEY[2:]}, pkh({KEY}))", "one key"), (f"wpkh({KEY[2:]})", "not a public key"),
        ("wpkh(" + "02" + "ff" * 32 + ")", "not a public key"),
        ("pkh(05" + "11" * 32 + ")", "not a public key"),
        # BIP 383
        (f"sh(multi(16,{','.join(SIXTEEN)}))", "P2SH"), (f"multi(a,{KEY},{KEY})", "number"),
        (f"multi(0,{KEY})", "number"), (f"multi(3,{KEY},{UNCOMPRESSED})", "number"),
        (f"multi(1,{KEY},{KEY},{KEY},{KEY})", "1 to 3 keys"), ("wsh(multi(1))", "1 to 20 keys"),
        (f"wsh(multi(1,{','.join([KEY] * 21)}))", "1 to 20 keys"),
        # BIP 389
        (f"pkh({XPUB_A}/<0;1>/<2;3>)", "BIP 389"), (f"pkh([deadbeef/<0;1>]{XPUB_A}/0)", "origin"),
        (f"sh(multi(2,{XPUB_A}/<1;2;3>/0/*,{XPUB_B}/0/*,{XPUB_C}/0/0/<3;4>/*))", "BIP 389"),
        (f"wpkh({XPUB_A}/<>/*)", "not a step"), (f"wpkh({XPUB_A}/0>/*)", "not a step"),
        (f"wpkh({XPUB_A}/<0/*)", "not a step"), (f"wpkh({XPUB_A}/<0;>/*)", "not a step"),
        (f"wpkh({XPUB_A}/<0>/*)", "two or more"), (f"wpkh({XPUB_A}/<1;1>/*)", "two or more"),
        # what is not read at all
        (f"combo({KEY})", "not read"), ("addr(1BoatSLRHtKNngkdXEeobR76b53LETtpyT)", "not read"),
        (f"wsh(and_v(v:pk({KEY}),older(9)))", "not read"),
        (f"tr({KEY[2:]},pk({KEY[2:]}))", "one key"),
        # prefixes of SLIP-132
        (public("m/48h/0h/0h", "Zpub"), "cannot say"),
        (public("m/48h/0h/0h", "Ypub"), "cannot say"),
        (public("m/84h/0h/0h", "zpub") + "/0/*", "cannot say"),
        (f"pkh({public('m/84h/0h/0h', 'zpub')}/0/*)", "prefix is that of wpkh"),
        (f"wsh(multi(1,{public('m/48h/0h/0h', 'Ypub')}/0/*))", "prefix"),
        # networks
        (public("m/84h/1h/0h", "zpub", "test"), "belongs to test networks"),
        (f"tr({public('m/86h/1h/0h', 'xpub', 'test')}/0/*)", "belongs to test networks"),
    ],
)
def test_what_is_refused_and_why(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Descriptor.parse(text, "mainnet")
    assert caught.value.field == "descriptor"
    assert caught.value.mend
    assert XPUB_A[10:40] not in str(caught.value)


def test_a_mainnet_key_is_refused_on_test_networks() -> None:
    for network in ("testnet", "signet", "regtest"):
        with pytest.raises(InputError, match="belongs to mainnet"):
            Descriptor.parse(f"wpkh({XPUB_A}/0/*)", network)


def test_slip_132_keys_of_multisig_wallets_stand_in_their_functions() -> None:
    for prefix, form in (("Zpub", "wsh(multi(1,{}/0/*))"), ("Ypub", "sh(wsh(multi(1,{}/0/*)))")):
        marked = Descriptor.parse(form.format(public("m/48h", prefix)), "mainnet")
        plain = Descriptor.parse(form.format(public("m/48h", "xpub")), "mainnet")
        assert marked.script(0, 5) == plain.script(0, 5)


def test_a_place_that_it_does_not_have() -> None:
    found = Descriptor.parse(f"wpkh({XPUB_A}/0/*)", "mainnet")
    for place in ((1, 0), (-1, 0), (0, -1), (0, 2**31)):
        with pytest.raises(InputError, match="no such place"):
            found.script(*place)
    single = Descriptor.parse(f"wpkh({XPUB_A}/0/7)", "mainnet")
    assert single.script(0, 0) == found.script(0, 7)
    with pytest.raises(InputError, match="no such place"):
        single.script(0, 1)
    assert single.window(()) == ((0, 0),)


def test_the_window_moves_with_what_is_used() -> None:
    found = Descriptor.parse(f"wpkh({XPUB_A}/<0;1>/*)", "mainnet")
    assert found.window((), 2) == ((0, 0), (0, 1), (1, 0), (1, 1))
    assert found.window({(1, 2)}, 2) == tuple(
        [(0, 0), (0, 1)] + [(1, index) for index in range(5)]
    )
    address = address_of(found.script(1, 2), "mainnet")
    assert address is not None
    assert script_of(address, "mainnet") == found.script(1, 2)
