"""Bad input on the Ethereum side, case by case: over a real node, through the whole scan."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.account_scene import CHAIN, ETHER, AccountScene, key_of
from tests.anvil import GWEI, WETH, Anvil, Contract, run
from tests.rpc_lies import TRACES, Lies
from tests.simulation import assert_books
from tests.simulation_ethereum import quick_pool
from tests.withdrawals import RpcProxy, proxying
from tracker.chains.ethereum.assets import AssetTable, Token
from tracker.chains.ethereum.pool import open_pool
from tracker.errors import DeepForkError, SourceUnavailableError
from tracker.ledger import repository as ledger
from tracker.reconciliation.ethereum import EthereumReconcile

SHORT = ("--slots-in-an-epoch", "4")
FINAL_LAG = 8
TOKEN = "USDC"  # a symbol with decimals; the contract behind it is the test's own


@pytest.fixture
def node() -> Iterator[Anvil]:
    with run(options=SHORT) as anvil:
        anvil.place_canonical()
        yield anvil


@pytest.fixture
def proxies(node: Anvil) -> Iterator[tuple[RpcProxy, RpcProxy]]:
    with proxying(node) as first, proxying(node) as second:
        yield first, second


@pytest.fixture
def scene(
    postgres_url: str, node: Anvil, proxies: tuple[RpcProxy, RpcProxy]
) -> Iterator[AccountScene]:
    found = AccountScene(
        postgres_url, node, rpc_urls=[each.url for each in proxies],
        options={"http_timeout_seconds": 5.0},
    )  # fmt: skip
    found.tick()
    found.open()
    yield found
    found.database.dispose()


def assert_true(scene: AccountScene, first: int) -> None:
    """Every watched account's delta of every block is the node's."""
    assert_books(scene.database, CHAIN, "a case")
    for address in (scene.treasury, scene.second, scene.rival):
        assert scene.deltas(address) == scene.true_deltas(address, first), address
        assert scene.balance(address) == scene.node.balance(address), address


def _name(lies: Lies) -> str:
    honest = Lies()
    return ",".join(
        name for name in Lies.__dataclass_fields__ if getattr(lies, name) != getattr(honest, name)
    ) + ("" if not lies.null else f"-{lies.null[0]}")


# -- what a source does wrong ----------------------------------------------------------------------

LYING = [
    Lies(retry_after="7"), Lies(status=503), Lies(cut=True), Lies(cut_unsaid=True), Lies(behind=3),
    Lies(chain_id=5), Lies(keep_logs=0), Lies(null=("eth_getBlockByHash",)),
    Lies(null=("eth_getBlockReceipts",)),
]  # fmt: skip


@pytest.mark.parametrize("lies", LYING, ids=_name)
def test_one_bad_source_of_two_changes_nothing(
    scene: AccountScene, proxies: tuple[RpcProxy, RpcProxy], lies: Lies
) -> None:
    weth = scene.node.at("Weth", WETH)
    first = scene.node.height + 1
    proxies[0].lies = lies
    scene.scan = scene.new_scan()
    weth.send("deposit", value=ETHER, sender=scene.treasury)
    scene.node.send(scene.second, scene.rival, 5)
    scene.node.mine(3)
    scene.tick()
    scene.tick()  # a source that is behind is passed over once the other showed more
    assert_true(scene, first)
    assert scene.balance(scene.treasury, "WETH") == ETHER


@pytest.mark.parametrize("lies", LYING, ids=_name)
def test_when_every_source_is_bad_nothing_is_written_until_one_is_well(
    scene: AccountScene, proxies: tuple[RpcProxy, RpcProxy], lies: Lies
) -> None:
    weth = scene.node.at("Weth", WETH)
    first = scene.node.height + 1
    weth.send("deposit", value=ETHER, sender=scene.treasury)
    scene.node.mine(2)
    for proxy in proxies:
        proxy.lies = lies
    scene.scan = scene.new_scan()
    if lies.behind:
        scene.tick()  # old, but true
    else:
        with pytest.raises(SourceUnavailableError) as caught:
            scene.tick()
        assert caught.value.mend
    assert_books(scene.database, CHAIN, "lied to")
    assert scene.balance(scene.treasury, "WETH") in (None, 0)
    for proxy in proxies:
        proxy.lies = Lies()
    scene.scan = scene.new_scan()
    scene.tick()
    assert_true(scene, first)
    assert scene.balance(scene.treasury, "WETH") == ETHER


def test_a_source_that_does_not_answer_in_time_is_left_for_the_other(
    postgres_url: str, node: Anvil, proxies: tuple[RpcProxy, RpcProxy]
) -> None:
    scene = AccountScene(
        postgres_url, node, rpc_urls=[each.url for each in proxies],
        options={"http_timeout_seconds": 0.3},
    )  # fmt: skip
    proxies[0].lies = Lies(delay=30.0)
    scene.tick()
    assert scene.tick().height == node.height
    assert [each.state for each in scene.scan._pool.states()] == ["unreachable", "ok"]
    scene.database.dispose()


def test_sources_that_flap_between_two_tips_never_roll_the_ledger_back(
    scene: AccountScene, proxies: tuple[RpcProxy, RpcProxy]
) -> None:
    first = scene.node.height + 1
    scene.node.send(scene.treasury, scene.rival, 7)
    scene.node.mine(4)
    for turn in range(6):
        proxies[turn % 2].lies = Lies(behind=3)
        proxies[1 - turn % 2].lies = Lies()
        assert scene.tick().orphaned == 0
    assert_true(scene, first)


# -- the chain: gaps, forks, the seam --------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_gap_of_a_thousand_blocks_is_closed_block_by_block(
    postgres_url: str, node: Anvil
) -> None:
    scene = AccountScene(
        postgres_url, node,
        options={"ethereum_checks": "trusted", "ethereum_max_blocks_per_tick": 400},
    )  # fmt: skip
    scene.scan = scene.new_scan(quick_pool(scene.settings))
    scene.tick()
    scene.open()
    first = node.height + 1
    node.send(scene.treasury, scene.rival, 7)
    node.mine(998)
    node.send(scene.second, scene.rival, 9)
    ticks = [scene.tick() for _ in range(3)]
    assert [(each.applied, each.more) for each in ticks] == [(400, True), (400, True), (200, False)]
    assert scene.deltas(scene.rival) == {first: 7, first + 999: 9}
    assert scene.balance(scene.rival) == node.balance(scene.rival)
    assert_books(scene.database, CHAIN, "a gap")
    scene.database.dispose()


def test_forks_of_every_depth_to_finality_are_followed(scene: AccountScene) -> None:
    scene.scan = scene.new_scan(quick_pool(scene.settings))
    first = scene.node.height + 1
    scene.node.mine(2 * FINAL_LAG)
    for depth in range(1, FINAL_LAG + 1):
        for number in range(depth):
            scene.node.send(scene.treasury, scene.rival, 10 * depth + number)
        scene.tick()
        again = scene.node.request(scene.second, scene.rival, depth)
        scene.node.reorg(depth, (again, 0))
        scene.node.mine(1)
        assert scene.tick().orphaned == depth
        assert_true(scene, first)


def test_a_fork_past_finality_halts_the_chain_and_touches_nothing(scene: AccountScene) -> None:
    scene.node.mine(2 * FINAL_LAG)
    scene.node.send(scene.treasury, scene.rival, 5)
    scene.tick()
    before = [(m.height, m.ref, m.amount) for m in scene.movements(scene.rival)]
    scene.node.reorg(FINAL_LAG + 3)
    scene.node.mine(2)
    with pytest.raises(DeepForkError) as caught:
        scene.tick()
    assert caught.value.mend
    with scene.database.transaction() as session:
        cursor = ledger.cursor_of(session, CHAIN)
    assert cursor is not None
    assert "below its final height" in (cursor.halted or "")
    assert [(m.height, m.ref, m.amount) for m in scene.movements(scene.rival)] == before
    assert_books(scene.database, CHAIN, "halted")
    with pytest.raises(DeepForkError, match="halted"):
        scene.new_scan().tick()
    # Who lets it go on without a mend of the sources meets the same fork.
    with scene.database.transaction() as session:
        ledger.halt(session, CHAIN, None)
    with pytest.raises(DeepForkError):
        scene.new_scan().tick()
    assert [(m.height, m.ref, m.amount) for m in scene.movements(scene.rival)] == before


def test_a_wallet_added_while_its_block_is_read_is_counted_once(
    scene: AccountScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = scene.node.accounts[5]
    scene.node.send(late, scene.treasury, 2 * ETHER)
    height = scene.node.height
    fetch = scene.scan.fetch
    added: list[int] = []

    def fetched(at: int, *rest: object) -> object:
        found = fetch(at, *rest)  # type: ignore[arg-type]
        if not added:
            added.append(at)
            scene.watch(late)  # after the block was matched, before it is written
        return found

    monkeypatch.setattr(scene.scan, "fetch", fetched)
    scene.tick()
    assert added == [height]
    kinds = sorted(m.kind for m in scene.movements(late) if m.height == height)
    assert kinds == ["fee", "value"]
    scene.open()
    scene.node.send(late, scene.treasury, ETHER)
    scene.tick()
    assert scene.balance(late) == scene.node.balance(late)
    assert_true(scene, height)
    assert scene.deltas(late) == scene.true_deltas(late, height)


def test_a_worker_with_a_stale_watch_set_reads_its_block_again(scene: AccountScene) -> None:
    stale = scene.new_scan()
    scene.node.mine(1)
    stale.tick()  # now it has the set in memory
    late = scene.node.accounts[5]
    scene.watch(late)
    scene.node.send(late, scene.rival, 3)
    height = scene.node.height
    stale.tick()
    assert scene.deltas(late) == scene.true_deltas(late, height)


# -- what transactions do --------------------------------------------------------------------------

CASES = (
    "withdrawal", "self-transfer", "zero value", "failed transaction", "contract creation",
    "selfdestruct", "reverted internal call", "fee recipient", "wrap and unwrap",
)  # fmt: skip


def happen(case: str, scene: AccountScene, mover: Contract, proxy: RpcProxy) -> None:
    """One block, or some, with what the case names."""
    node, ours, other = scene.node, scene.treasury, scene.stranger
    if case == "withdrawal":
        proxy.withdraw(node, (ours, 3_000_000_007, 12), (scene.rival, 1, 13))
    elif case == "self-transfer":
        node.send(ours, ours, 5 * ETHER)
    elif case == "zero value":
        node.send(ours, other, 0)
        node.send(other, ours, 0)
    elif case == "failed transaction":
        mover.send("fail", sender=ours, value=ETHER)
        mover.send("forwardThenFail", ours, sender=other, value=ETHER)
    elif case == "contract creation":
        node.deploy("Mover", sender=ours)
        mover.send("createPaying", ours, sender=scene.second, value=9)
    elif case == "selfdestruct":
        mover.send("createAndDestroy", ours, sender=other, value=ETHER)
    elif case == "reverted internal call":
        mover.send("tryForward", ours, sender=other, value=ETHER)
        mover.send("tryThenForward", ours, sender=other, value=11)
    elif case == "fee recipient":
        node.set_fee_recipient(ours)
        node.send(other, scene.exchange, 1, gasPrice=hex(3 * GWEI))
        mover.send("payFeeRecipient", sender=other, value=13)
    else:
        weth = node.at("Weth", WETH)
        weth.send("deposit", sender=ours, value=ETHER)
        weth.send("withdraw", ETHER // 3, sender=ours)


@pytest.mark.parametrize("traces", [True, False], ids=["traces", "no traces"])
@pytest.mark.parametrize("case", CASES)
def test_the_delta_of_every_block_is_the_nodes(
    postgres_url: str, node: Anvil, proxies: tuple[RpcProxy, RpcProxy], case: str, traces: bool
) -> None:
    proxy = proxies[0]
    mover = node.deploy("Mover")
    if not traces:
        proxy.lies = Lies(hidden=TRACES)
    # A block with withdrawals that its hash does not hold is a trusted node's matter.
    scene = AccountScene(
        postgres_url, node, rpc_urls=[proxy.url],
        options={"ethereum_checks": "trusted" if case == "withdrawal" else "full"},
    )  # fmt: skip
    scene.tick()
    scene.open()
    first = node.height + 1
    happen(case, scene, mover, proxy)
    node.mine(FINAL_LAG + 1)
    scene.tick()
    report = EthereumReconcile(scene.database, scene.pool, scene.now, probe_gap=1).tick()
    assert report.unresolved == 0
    assert_true(scene, first)
    residuals = [m for who in (scene.treasury, scene.second) for m in scene.movements(who)
                 if m.kind == "residual"]  # fmt: skip
    inside = case in (
        "contract creation", "selfdestruct", "reverted internal call", "fee recipient",
        "wrap and unwrap",
    )  # fmt: skip
    assert bool(residuals) == (inside and not traces)
    assert {row.explanation for row in scene.discrepancies()} <= {"internal"}
    scene.database.dispose()


def token_scene(
    url: str, node: Anvil, token: Contract, *, rebasing: bool = False
) -> AccountScene:
    """A scene that follows this token, each of its wallets holding some."""
    for holder in node.accounts[1:4]:
        token.send("transfer", holder, 10**9)
    assets = AssetTable([Token(TOKEN, key_of(token.address), rebasing=rebasing)])
    scene = AccountScene(url, node, assets=assets)
    scene.tick()
    scene.open()
    return scene


def probed(scene: AccountScene) -> None:
    scene.node.mine(FINAL_LAG + 1)
    scene.tick()
    EthereumReconcile(
        scene.database, open_pool(scene.settings), scene.now, scene.assets, probe_gap=1
    ).tick()
    assert_books(scene.database, CHAIN, "a token")


def test_a_fee_on_transfer_token_is_put_right_by_a_residual_that_blames_the_token(
    postgres_url: str, node: Anvil
) -> None:
    token = node.deploy("FeeToken", 10**18, 100, True, node.accounts[7])
    scene = token_scene(postgres_url, node, token)
    token.send("transfer", scene.second, 10_000, sender=scene.stranger)  # it has none: fails
    token.send("transfer", scene.second, 10_000, sender=scene.treasury)
    height = node.height
    probed(scene)
    for who in (scene.treasury, scene.second):
        assert scene.balance(who, TOKEN) == token.call("balanceOf", who)
    residual = [m for m in scene.movements(scene.second, TOKEN) if m.kind == "residual"]
    assert [(m.height, m.amount) for m in residual] == [(height, -100)]
    [found] = scene.discrepancies()
    assert (found.explanation, found.state, found.amount) == ("token", "explained", -100)
    assert (found.observed, found.expected) == (
        token.call("balanceOf", scene.second), token.call("balanceOf", scene.second) + 100
    )  # fmt: skip
    scene.database.dispose()


def test_interest_of_every_block_is_one_rebase_a_probe_and_not_one_a_block(
    postgres_url: str, node: Anvil
) -> None:
    token = node.deploy("Rebasing")
    token.send("mint", node.accounts[0], 10**18)
    scene = token_scene(postgres_url, node, token, rebasing=True)
    for percent in range(101, 121):
        token.send("setPooled", 10**16 * percent)
    probed(scene)
    for who in (scene.treasury, scene.second, scene.rival):
        assert scene.balance(who, TOKEN) == token.call("balanceOf", who)
    found = scene.discrepancies()
    assert [(row.explanation, row.amount) for row in found] == [("rebase", 2 * 10**8)] * 3
    causes = {m.cause for m in scene.movements(scene.rival, TOKEN) if m.kind == "residual"}
    assert causes == {"rate"}
    scene.database.dispose()


def test_a_token_whose_log_lies_is_found_out_in_its_block(postgres_url: str, node: Anvil) -> None:
    token = node.deploy("LyingToken", 10**18)
    scene = token_scene(postgres_url, node, token)
    token.send("pretend", scene.treasury, scene.second, 400)
    told = node.height
    node.mine(2)
    token.send("moveQuietly", scene.rival, scene.treasury, 77)
    quiet = node.height
    probed(scene)
    for who in (scene.treasury, scene.second, scene.rival):
        assert scene.balance(who, TOKEN) == token.call("balanceOf", who)
        assert scene.deltas(who, TOKEN).get(told, 0) == 0
    said = {(row.height, row.amount): row.explanation for row in scene.discrepancies()}
    assert said == {
        (told, 400): "token", (told, -400): "token",
        # Nothing in that block tells of it: it stays open for a person.
        (quiet, 77): None, (quiet, -77): None,
    }  # fmt: skip
    assert {row.state for row in scene.discrepancies() if row.explanation is None} == {"open"}
    scene.database.dispose()
