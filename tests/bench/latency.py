"""From a block that a source serves to the webhook that arrives. `python -m tests.bench.latency`.

A real `tracker up` polls a folder of regtest blocks once a second; each block holds a sale; a real
`tracker listen` prints when the event is verified. Measured from the moment the folder holds the
block. Budget: p95 <= 2 s.
"""

from __future__ import annotations

import shutil
import statistics
import time

from tests import fleet as fleets
from tests.folders import passable_folder
from tests.regtest import RegtestChain, key
from tests.scenarios.test_fleet import _address, _pack
from tests.scene import FEE, FIRST, FUNDS, NETWORK

SALES = 30
BUDGET_SECONDS = 2.0


def main() -> None:
    """Play the sales and print the times."""
    chain = RegtestChain(mature=False)
    holder, exchange = chain.add_key(key(1)), chain.add_key(key(2))
    chain.mine(FIRST - 1)
    chain.mine(1, txs=[chain.spend(chain.coinbase(1), [(holder, FUNDS)], fee=FEE)])
    with passable_folder() as folder:
        blocks = folder / "blocks"
        chain.write_folder(blocks)
        fleet = fleets.Fleet(
            folder,
            TRACKER_BITCOIN_NETWORK=NETWORK,
            TRACKER_BITCOIN_SOURCES=f"files:{blocks}",
            TRACKER_NEWS_MAX_AGE_HOURS="10000000",
            TRACKER_DETECTED_LATE_MINUTES="600000000",
            TRACKER_BITCOIN_START_HEIGHT=str(FIRST),
        )
        fleet.start()
        listener = None
        try:
            fleet.run("entities", "add", "acme", "--name", "Acme", "--kind", "dat")
            fleet.run("wallets", "add", "acme", "bitcoin", _address(holder), "--tier", "attested")
            pack = folder / "pack.csv"
            pack.write_text(_pack(_address(exchange)))
            fleet.run("labels", "import", str(pack), "--name", "venues")
            paid = next(u for u in chain.at(FIRST).utxos if u.script == holder)
            moved = chain.spend(paid, [(holder, FUNDS - FEE)], fee=FEE)

            def publish(transaction: object) -> object:
                block = chain.mine(1, txs=[transaction])[0]
                fresh = chain.write_folder(folder / "next")
                old = blocks.rename(folder / "old")
                fresh.rename(blocks)
                shutil.rmtree(old)
                return block

            block = publish(moved)
            fleet.until(
                lambda: fleet.get("/v1/entities/acme/transfers")["items"], "the inflow"
            )
            listener = fleets.Listener(fleet)
            fleet.until(lambda: fleet.run("webhooks", "list")["items"], "the endpoint")
            times = []
            for _ in range(SALES):
                coin = next(u for u in block.utxos if u.script == holder)
                sale = chain.spend(coin, [(exchange, 10**7)], change=holder, fee=FEE)
                block = publish(sale)
                started = time.monotonic()
                listener.next()
                times.append(time.monotonic() - started)
        finally:
            if listener is not None:
                listener.stop()
            fleet.stop()
    p95 = sorted(times)[int(len(times) * 0.95)]
    print(f"block served -> webhook received, {SALES} sales, 1 s poll: p95 {p95:.2f} s, "
          f"median {statistics.median(times):.2f} s   "
          f"budget p95 <= {BUDGET_SECONDS:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
