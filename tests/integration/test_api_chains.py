"""Chains over the API: their heads, and a halted one that a person lets go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from tests.api_service import NOW, Api, running_api, services_for
from tracker.cli import main
from tracker.db.chain import Cursor
from tracker.errors import TrackerError
from tracker.ledger import repository as ledger
from tracker.operations.repository import upsert_source

WHY = "the chain forked below its final height"


@pytest.fixture
def api(postgres_url: str, tmp_path) -> Iterator[Api]:
    services = services_for(postgres_url, tmp_path, ethereum_rpc_urls=())
    with services.database.transaction() as session:
        session.add(
            Cursor(
                chain="bitcoin", height=900_000, hash=b"\x01" * 32, final_height=899_901,
                safe_height=899_995, halted=WHY, tip_advanced_at=NOW - timedelta(hours=9),
            )
        )
    with running_api(services) as found:
        yield found


def test_a_halted_chain_says_why_and_a_chain_without_a_source_says_so(api: Api) -> None:
    bitcoin, ethereum = api.get("/v1/chains")["items"]
    assert (bitcoin["state"], bitcoin["reason"]) == ("halted", WHY)
    assert (bitcoin["final_height"], bitcoin["safe_height"]) == (899_901, 899_995)
    assert (ethereum["state"], ethereum["height"]) == ("not_configured", None)
    assert "TRACKER_ETHEREUM_RPC_URLS" in ethereum["reason"]


def test_it_goes_on_once_and_a_second_time_changes_nothing(api: Api) -> None:
    done = api.write("POST", "/v1/chains/bitcoin/resume")
    assert (done.status_code, done.json()["state"]) == (200, "lagging")
    again = api.write("POST", "/v1/chains/bitcoin/resume")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    with api.services.database.transaction() as session:
        cursor = ledger.cursor_of(session, "bitcoin")
    assert cursor is not None
    assert (cursor.halted, cursor.height) == (None, 900_000)


def test_resuming_is_written_to_the_log_with_what_had_halted_it(api: Api) -> None:
    with capture_logs() as lines:
        api.write("POST", "/v1/chains/bitcoin/resume")
    (line,) = [line for line in lines if line["event"] == "chain_resumed"]
    assert (line["chain"], line["height"], line["halted"]) == ("bitcoin", 900_000, WHY)


def test_only_a_writing_key_may_and_only_a_chain_can_be_resumed(api: Api) -> None:
    assert api.request("POST", "/v1/chains/bitcoin/resume").status_code == 401
    unknown = api.write("POST", "/v1/chains/dogecoin/resume")
    assert (unknown.status_code, unknown.json()["field"]) == (404, "chain")
    assert api.write("POST", "/v1/chains/ethereum/resume").status_code == 409


def test_the_command_line_lists_and_resumes(api: Api) -> None:
    environment = {
        "TRACKER_API_URL": api.url,
        "TRACKER_DATA_DIR": str(api.services.settings.data_dir),
        "COLUMNS": "80",
    }

    def run(*words: str) -> str:
        result = CliRunner().invoke(main.app, [*words], env=environment)
        if isinstance(result.exception, TrackerError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    shown = run("chains")
    assert WHY in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert json.loads(run("chains", "--json")) == api.get("/v1/chains")
    assert "bitcoin goes on" in run("chains", "resume", "bitcoin")
    with pytest.raises(TrackerError, match="not halted"):
        run("chains", "resume", "bitcoin")


def test_a_scan_far_below_its_sources_says_that_it_catches_up(api: Api) -> None:
    def shown(height: int) -> dict[str, object]:
        with api.services.database.transaction() as session:
            upsert_source(
                session, name="esplora+https://e.example", kind="bitcoin_esplora", state="ok",
                now=NOW, height=height,
            )
        return dict(api.get("/v1/chains")["items"][0])

    with api.services.database.transaction() as session:
        cursor = ledger.cursor_of(session, "bitcoin")
        assert cursor is not None
        cursor.halted, cursor.tip_advanced_at = None, NOW
    assert shown(900_012)["state"] == "ok"
    behind = shown(900_013)
    assert (behind["state"], behind["lag_seconds"]) == ("lagging", 0)
    assert behind["reason"] == "catching up: block 900000 of 900013"
    assert behind["tip_advanced_at"] == "2026-11-22T12:00:00Z"


def test_the_doctor_tells_of_each_configured_chain(api: Api) -> None:
    environment = {
        "TRACKER_API_URL": api.url,
        "TRACKER_DATA_DIR": str(api.services.settings.data_dir),
        "TRACKER_DATABASE_URL": api.services.settings.database_url,
        "TRACKER_ETHEREUM_RPC_URLS": "",
    }

    def chains() -> list[dict[str, object]]:
        result = CliRunner().invoke(main.app, ["doctor", "--json"], env=environment)
        checks = json.loads(result.stdout)["checks"]
        return [check for check in checks if check["name"].startswith("chain ")]

    (halted,) = chains()
    assert (halted["name"], halted["ok"]) == ("chain bitcoin", False)
    assert str(halted["detail"]).startswith(f"halted: {WHY}; block 900,000, new since 2026-11-22")
    assert "tracker chains resume" in str(halted["mend"])
    with api.services.database.transaction() as session:
        cursor = ledger.cursor_of(session, "bitcoin")
        assert cursor is not None
        cursor.halted, cursor.tip_advanced_at = None, datetime.now(UTC)
    (well,) = chains()
    assert (well["ok"], well["mend"]) == (True, None)


def test_a_source_that_left_the_settings_is_forgotten_in_a_day(api: Api) -> None:
    services = api.services
    old = {"left": timedelta(hours=25), "just-left": timedelta(hours=23)}
    with services.database.transaction() as session:
        for name, age in old.items():
            for chain in ("bitcoin", "ethereum"):
                upsert_source(
                    session, name=f"{chain}-{name}", kind=f"{chain}_x", state="ok",
                    now=services.clock() - age,
                )
    services.save_sources("bitcoin")
    names = {item["name"] for item in api.get("/v1/sources")["items"]}
    assert names >= {"bitcoin-just-left", "ethereum-left", "ethereum-just-left"}
    assert "bitcoin-left" not in names
    assert len(names) == 3 + len(services.settings.bitcoin_sources)
