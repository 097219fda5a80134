"""Settings: what each source gives, and the error that each mistake gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.data import ROOT
from tracker import config
from tracker.config import Settings
from tracker.errors import ConfigError

PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a settings file, and no setting in the environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TRACKER_{name.upper()}", raising=False)
    monkeypatch.delenv("TRACKER_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tracker.toml"


def refused(**overrides: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        config.load(**overrides)
    assert caught.value.mend
    return caught.value


def test_environment_over_file_over_default(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_file.write_text('port = 9000\nwebhook_ports = [443, 9443]\nlog_level = "DEBUG"\n')
    monkeypatch.setenv("TRACKER_PORT", "9001")
    found = config.load(log_level="ERROR")
    assert (found.port, found.webhook_ports, found.log_level) == (9001, (443, 9443), "ERROR")
    assert found.bitcoin_network == "mainnet"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("webhook_ports", "443, 8443", (443, 8443)),
        ("webhook_ports", "443", (443,)),
        ("coin_quote_sources", "kraken, bitstamp,", ("kraken", "bitstamp")),
        ("share_quote_sources", "", ()),
        ("database_url", "postgres://u:p@h:5432/d", "postgresql+psycopg://u:p@h:5432/d"),
        ("redis_url", "rediss://:p@h:6380/1", "rediss://:p@h:6380/1"),
        ("live_quotes", "false", False),
        ("bitcoin_start_height", "0", 0),
    ],
)
def test_what_the_environment_may_hold(
    name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TRACKER_{name.upper()}", text)
    assert getattr(config.load(), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "0"),
        ("port", "eighty"),
        ("bitcoin_network", "mainet"),
        ("bitcoin_start_height", "-1"),
        ("market_poll_seconds", "inf"),
        ("market_poll_seconds", "nan"),
        ("bitcoin_poll_seconds", "0"),
        ("news_max_age_hours", "inf"),
        ("webhook_ports", "443;8443"),
        ("webhook_ports", "443,70000"),
        ("head_concurrency", "0"),
        ("user_agent", "two\nlines"),
        ("user_agent", "naïve"),
        ("log_level", "LOUD"),
    ],
)
def test_a_value_that_cannot_be_is_named(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TRACKER_{name.upper()}", text)
    error = refused()
    assert error.field == f"TRACKER_{name.upper()}"
    assert error.value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("database_url", "mysql://user:hunter2@host/db"),
        ("database_url", "postgresql://user:hunter2/x@host/db"),
        ("redis_url", "amqp://user:hunter2@host"),
        ("redis_url", "redis://:hunter2#@host:6379"),
    ],
)
def test_a_bad_address_is_named_without_its_password(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TRACKER_{name.upper()}", text)
    error = refused()
    assert error.field == f"TRACKER_{name.upper()}"
    assert "hunter2" not in str(error)
    assert error.__cause__ is None


def test_an_unknown_key_is_named_without_its_value(settings_file: Path) -> None:
    settings_file.write_text('databse_url = "postgresql://user:hunter2@host/db"\n')
    error = refused()
    assert error.field == "databse_url"
    assert "did you mean database_url?" in str(error)
    assert "hunter2" not in str(error)


def test_a_key_written_as_in_the_environment_is_understood_as_a_mistake(
    settings_file: Path,
) -> None:
    settings_file.write_text("TRACKER_PORT = 9000\n")
    assert "did you mean port?" in str(refused())


@pytest.mark.parametrize("content", [b"port = \n", b"port 9000", b"\xff\xfe", b'a = "' + b"\x00"])
def test_a_file_that_is_no_toml(settings_file: Path, content: bytes) -> None:
    settings_file.write_bytes(content)
    error = refused()
    assert error.field == "TRACKER_CONFIG"
    assert "cannot be read" in error.message


def test_a_file_that_cannot_be_opened(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_file.write_text("port = 9000\n")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Root opens every file, so the system's refusal is put in its place.
    monkeypatch.setattr(Path, "open", denied)
    monkeypatch.setattr("builtins.open", denied)
    error = refused()
    assert (error.field, error.value) == ("TRACKER_CONFIG", "tracker.toml")
    assert "Permission denied" in error.message


def test_a_file_that_was_named_must_be_there(
    tmp_path: Path, settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "other.toml"
    monkeypatch.setenv("TRACKER_CONFIG", str(named))
    assert refused().value == str(named)
    named.write_text("port = 9100\n")
    settings_file.write_text("port = 9000\n")
    assert config.load().port == 9100
    monkeypatch.setenv("TRACKER_CONFIG", "")
    assert config.load().port == Settings.model_fields["port"].default


# -- docs/configuration.md -------------------------------------------------------------------------


def documented() -> dict[str, str]:
    """Setting and default, by the page's table."""
    rows = re.findall(r"^\| `TRACKER_([A-Z_]+)` \| (.+?) \| .+ \|$", PAGE, re.MULTILINE)
    assert len({name for name, _ in rows}) == len(rows)
    return {name.lower(): default.strip("`") for name, default in rows}


def test_every_setting_is_documented_and_nothing_else() -> None:
    # `TRACKER_CONFIG` and the like stand in a table of two columns: they are no settings.
    assert set(documented()) == set(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(Settings.model_fields.keys() - {"data_dir"}))
def test_the_documented_default_is_the_default(name: str) -> None:
    default = Settings.model_fields[name].default
    if isinstance(default, tuple):
        text = ",".join(str(item) for item in default)
    elif isinstance(default, bool):
        text = str(default).lower()
    elif isinstance(default, float):
        text = f"{default:g}"
    else:
        text = str("" if default is None else default)
    assert documented()[name] == (text or "empty")
