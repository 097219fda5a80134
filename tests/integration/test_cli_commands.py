"""The command line against a running API: tables that fit, the API's own JSON, clear errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.api_service import NOW, Api, running_api, services_for
from tests.http_server import Response, serving
from tracker.cli import main
from tracker.errors import TrackerError
from tracker.operations import repository

GENESIS = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
HOLDER = ["entities", "add", "example-corp", "--name", "Example Corp", "--kind", "dat"]


class Cli:
    """Runs commands in this process as `tracker` would."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._environment = {
            "TRACKER_API_URL": api.url,
            "TRACKER_DATA_DIR": str(api.services.settings.data_dir),
            "TRACKER_DATABASE_URL": api.services.settings.database_url,
            "COLUMNS": "80",
        }

    def run(self, *words: str, **more: str) -> Any:
        return CliRunner().invoke(
            main.app, [*words], env={**self._environment, **more}, prog_name="tracker"
        )

    def text(self, *words: str) -> str:
        """What a command that must succeed prints; no line is wider than the terminal."""
        result = self.run(*words)
        assert result.exit_code == 0, (words, result.output, result.exception)
        assert all(len(line) <= 80 for line in result.stdout.splitlines()), result.stdout
        return result.stdout

    def json(self, *words: str) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == 0, (words, result.output, result.exception)
        return json.loads(result.stdout)

    def error(self, *words: str, **more: str) -> TrackerError:
        """The error that a command raised for `main` to tell."""
        result = self.run(*words, **more)
        assert isinstance(result.exception, TrackerError), (words, result.output)
        return result.exception


@pytest.fixture
def cli(postgres_url: str, tmp_path) -> Iterator[Cli]:
    with running_api(services_for(postgres_url, tmp_path)) as api:
        cli = Cli(api)
        cli.text(*HOLDER)
        yield cli


# Every command that reads, and the address whose JSON it prints.
READS = [
    (["entities"], "/v1/entities"),
    (["entities", "list"], "/v1/entities"),
    (["entities", "show", "example-corp"], "/v1/entities/example-corp"),
    (["wallets", "list", "example-corp"], "/v1/entities/example-corp/wallets"),
    (["wallets"], "/v1/wallets"),
    (["holdings"], "/v1/entities"),
    (["holdings", "example-corp"], "/v1/entities/example-corp/holdings"),
    (["transfers", "example-corp"], "/v1/entities/example-corp/transfers"),
    (["disclosures", "example-corp"], "/v1/entities/example-corp/disclosures"),
    (["mnav"], "/v1/entities"),
    (["mnav", "example-corp"], "/v1/entities/example-corp/mnav"),
    (["mnav", "example-corp", "--history"], "/v1/entities/example-corp/mnav/history"),
    (["alerts"], "/v1/alerts"),
    (["events"], "/v1/events"),
    (["webhooks"], "/v1/webhooks"),
    (["labels"], "/v1/labels"),
    (["sources"], "/v1/sources"),
]


@pytest.mark.parametrize(("words", "path"), READS, ids=str)
def test_json_is_that_of_the_api_and_the_table_fits(cli, words, path):
    assert cli.json(*words) == cli.api.get(path)
    assert cli.text(*words)


def test_a_bare_group_takes_the_options_of_its_list(cli):
    assert cli.json("entities", "--kind", "etf")["items"] == []
    assert "no entity" in cli.text("entities", "--kind", "etf")
    assert len(cli.json("entities", "--search", "EXAMPLE")["items"]) == 1


def test_help_of_a_group_is_help(cli):
    shown = cli.text("webhooks", "--help")
    for name in ("add", "list", "test", "deliveries", "replay", "rotate", "remove"):
        assert f"\n  {name} " in shown


def test_a_wallet_is_added_shown_and_removed(cli):
    made = cli.json(
        "wallets", "add", "example-corp", "bitcoin", GENESIS, "--tier", "attested",
        "--source", "https://example.org",
    )  # fmt: skip
    assert (made["address"], made["tier"]) == (GENESIS, "attested")
    assert GENESIS in cli.text("wallets", "list", "example-corp").replace("\n", "")
    shown = cli.text("entities", "show", "example-corp")
    assert "attested" in shown
    assert "on chain    unknown" in shown
    assert "no longer watched" in cli.text("wallets", "remove", "bitcoin", GENESIS)


def test_an_import_tells_bad_rows_and_exits_with_1(cli, tmp_path):
    file = tmp_path / "entities.csv"
    file.write_text("slug,name,kind\ngood-one,Good,etf\nbad,Bad,whale\n", encoding="utf-8")
    result = cli.run("entities", "import", str(file))
    assert result.exit_code == 1
    assert "1 rows taken" in result.stdout
    assert "row 3: unknown kind" in result.stdout
    assert "mend:" in result.stdout
    rows = [{"entity": "good-one", "chain": "bitcoin", "address": GENESIS}]
    wallets = tmp_path / "wallets.json"
    wallets.write_text(json.dumps(rows), encoding="utf-8")
    assert cli.json("wallets", "import", str(wallets))["accepted"] == 1


def test_a_dry_run_checks_every_row_and_writes_none(cli, tmp_path):
    file = tmp_path / "entities.csv"
    file.write_text("slug,name,kind\ngood-one,Good,etf\n", encoding="utf-8")
    report = cli.json("entities", "import", str(file), "--dry-run")
    assert (report["accepted"], report["dry_run"]) == (1, True)
    assert cli.error("entities", "show", "good-one")
    assert cli.json("entities", "import", str(file))["accepted"] == 1
    assert cli.json("entities", "show", "good-one")["name"] == "Good"


def test_disclosures_are_imported_and_holdings_name_their_source(cli, tmp_path):
    file = tmp_path / "disclosures.csv"
    file.write_text(
        "as_of,asset,kind,quantity,source\n2026-11-01,BTC,total,1000,https://example.org/filing\n"
        "2026-11-01,BTC,total,much,https://example.org/filing\n",
        encoding="utf-8",
    )
    result = cli.run("disclosures", "example-corp", "--import", str(file))
    assert (result.exit_code, "1 rows taken" in result.stdout) == (1, True)
    assert "row 3: not a number" in result.stdout
    assert "1,000" in cli.text("disclosures", "example-corp")
    shown = cli.text("holdings", "example-corp")
    assert "https://example.org/filing" in shown
    assert "no wallet of this entity is known" in shown
    assert " 0 " not in shown


def test_a_file_that_is_not_there_is_named(cli, tmp_path):
    error = cli.error("labels", "import", str(tmp_path / "none.csv"))
    assert (error.field, main.exit_code(error)) == ("FILE", 2)
    assert main.exit_code(cli.error("labels", "import", str(tmp_path))) == 2


def test_a_label_pack_goes_in_and_out(cli, tmp_path):
    pack = tmp_path / "venues.csv"
    pack.write_text(
        "# pack: venues\n# redistributable: true\nchain,address,name,category,tier,source\n"
        f"bitcoin,{GENESIS},A venue,exchange,vendor,https://example.org\n",
        encoding="utf-8",
    )
    assert "1 rows taken" in cli.text("labels", "import", str(pack))
    assert "venues" in cli.text("labels")
    copy = tmp_path / "copy.csv"
    cli.text("labels", "export", "venues", "--to", str(copy))
    assert GENESIS in copy.read_text(encoding="utf-8")
    assert "1 labels and 0 wallets removed" in cli.text("labels", "remove", "venues")


def test_an_endpoint_from_add_to_remove(cli):
    made = cli.json(
        "webhooks", "add", "http://127.0.0.1:9000/hook", "--allow-host", "127.0.0.1:9000",
        "--type", "sell_off.*", "--type", "test.ping", "--entity", "example-corp",
    )  # fmt: skip
    assert made["types"] == ["sell_off.*", "test.ping"]
    assert made["secret"].startswith("whsec_")
    endpoint = made["id"]
    assert endpoint in cli.text("webhooks", "list")
    sent = cli.json("webhooks", "test", endpoint, "--type", "sell_off.retracted")
    assert sent["queued"] == 1
    (delivery,) = cli.json("webhooks", "deliveries", endpoint)["items"]
    assert delivery["type"] == "sell_off.retracted"
    assert "sell_off.retracted" in cli.text("webhooks", "deliveries", endpoint).replace("\n", "")
    again = cli.json("webhooks", "replay", endpoint, "--delivery", str(delivery["id"]))
    assert again["queued"] == 1
    assert cli.json("webhooks", "rotate", endpoint)["secret"] != made["secret"]
    assert endpoint in cli.text("webhooks", "remove", endpoint)
    assert cli.json("webhooks")["items"] == []


def test_keys_are_made_listed_and_revoked(cli):
    made = cli.json("keys", "add", "reader")
    assert (made["key"][:4], made["scopes"]) == ("ttk_", ["read"])
    listed = cli.json("keys")["items"]
    assert [item["name"] for item in listed] == ["local command line", "reader"]
    cli.text("keys", "revoke", str(listed[1]["id"]))
    refused = cli.error("keys", TRACKER_API_KEY=made["key"])
    assert refused.http_status == 401
    assert made["key"] not in main.describe(refused)


def test_what_the_api_refuses_is_told_in_its_own_words(cli):
    error = cli.error("holdings", "exmple-corp")
    assert error.value == "exmple-corp"
    assert "example-corp" in error.mend
    assert main.exit_code(error) == 2
    assert cli.error("alerts", "show", "al_none").http_status == 404
    assert cli.error("holdings", "example-corp", "--at", "soon").field == "at"


@pytest.mark.parametrize(
    "words",
    [["holdings", "--at", "2026-01-01"], ["mnav", "--history"], ["mnav", "x", "--from", "2026-1-1"],
     ["alerts", "--limit", "0"], ["events", "--after", "-1"], ["keys", "revoke", "x"]],
)  # fmt: skip
def test_words_that_do_not_go_together_are_refused_before_any_call(cli, words):
    assert cli.run(*words).exit_code == 2


def test_without_a_service_the_mend_is_to_start_it(cli):
    error = cli.error("entities", TRACKER_API_URL="http://127.0.0.1:1")
    assert "does not answer at http://127.0.0.1:1" in error.message
    assert "tracker up" in error.mend
    assert main.exit_code(error) == 1


@pytest.mark.parametrize("url", ["localhost:80", "ftp://x", "http://name:pass@host"])
def test_an_address_that_is_none_is_refused_without_its_password(cli, url):
    error = cli.error("entities", TRACKER_API_URL=url)
    assert error.field == "TRACKER_API_URL"
    assert "pass" not in str(error).replace("password", "")


def test_the_doctor_names_what_is_missing_and_its_mend(cli):
    result = cli.run("doctor")
    assert result.exit_code == 1
    for line in ("ok      settings", "ok      database", "ok      schema", "ok      api",
                 "failed  broker", "failed  sources"):  # fmt: skip
        assert line in result.stdout
    assert "mend: start the service with `tracker up`" in result.stdout
    checks = json.loads(cli.run("doctor", "--json").stdout)["checks"]
    silent = {check["name"] for check in checks if not check["ok"]}
    assert silent == {"broker", "workers", "chain bitcoin", "chain ethereum", "sources"}


def test_the_doctor_knows_served_queues_from_silent_ones(cli):
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    with cli.api.services.database.transaction() as session:
        repository.beat(session, "scan.bitcoin", datetime.now(UTC))
    assert "ok      workers: all 1 queues are served" in cli.run("doctor").stdout
    with cli.api.services.database.transaction() as session:
        repository.beat(session, "deliver", long_ago)
    shown = cli.run("doctor").stdout
    assert "failed  workers: nobody serves deliver" in shown
    assert "celery -A workers worker" in shown


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"TRACKER_API_URL": "http://127.0.0.1:1"}, "failed  api: the service does not answer"),
        ({"TRACKER_API_URL": "ftp://x"}, "failed  api: not the address of an API"),
        ({"TRACKER_REDIS_URL": "redis://127.0.0.1:1/0"}, "failed  broker: the broker cannot be"),
        ({"TRACKER_DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "failed  database: the database"),
        ({"TRACKER_DATABASE_URL": ""}, "failed  database: no server is configured"),
        ({"TRACKER_PORT": "abc"}, "failed  settings: bad setting"),
    ],
)
def test_the_doctor_survives_every_sick_part_and_names_it(cli, environment, line):
    result = cli.run("doctor", **environment)
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert line in result.stdout
    assert "mend:" in result.stdout
    if "TRACKER_DATABASE_URL" in environment:
        assert "ok      api" in result.stdout  # the rest is still looked at


def test_something_else_at_the_address_is_not_taken_for_the_tracker(cli):
    with serving(lambda *_: Response({"status": "ok"})) as url:
        assert (
            "failed  api: something else answers" in cli.run("doctor", TRACKER_API_URL=url).stdout
        )


def test_an_unreachable_source_is_told_with_its_next_try(cli):
    with cli.api.services.database.transaction() as session:
        repository.upsert_source(
            session,
            name="esplora+https://explorer.example/api",
            kind="bitcoin_esplora",
            state="unreachable",
            now=NOW,
            last_error="no connection; field: source; value: x; mend: check the network",
            next_try=NOW,
        )
    shown = cli.text("sources")
    assert "unreachable" in shown
    assert "2026-11-22 12:00Z" in shown
    assert "esplora+https://explorer.example/api: no connection\n" in shown
    page = cli.api.request("GET", "/").text
    assert "unreachable, never reached" in page
    assert "next try" in page


def test_the_schema_is_brought_up_twice(cli):
    assert cli.json("db", "upgrade") == {"schema": "newest"}
    assert "newest" in cli.text("db", "upgrade")
