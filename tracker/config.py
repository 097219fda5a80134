"""Settings: `TRACKER_*` environment variables over `tracker.toml` over the defaults below.

Lists are comma-separated in the environment and arrays in the file. Each knob says its unit;
docs/configuration.md tells users the same.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tracker.errors import ConfigError

CommaList = Annotated[tuple[str, ...], NoDecode]
Port = Annotated[int, Field(ge=1, le=65535)]
PortList = Annotated[tuple[Port, ...], NoDecode]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
BitcoinNetwork = Literal["mainnet", "testnet", "signet", "regtest"]

_DEFAULT_FILE = "tracker.toml"
_HEADER_TEXT = re.compile(r"[\x20-\x7e]{1,200}")


def default_data_dir() -> Path:
    """`/var/lib/treasury-tracker` for root, else `~/.local/share/treasury-tracker`."""
    if os.geteuid() == 0:
        return Path("/var/lib/treasury-tracker")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "treasury-tracker"


class Settings(BaseSettings):
    """All knobs of one installation."""

    model_config = SettingsConfigDict(env_prefix="TRACKER_", extra="forbid", frozen=True)

    # where it listens and keeps its data
    host: str = "127.0.0.1"
    port: Port = 8321
    data_dir: Path = Field(default_factory=default_data_dir)

    # own servers; empty means the embedded ones of `tracker up`
    database_url: str = ""
    redis_url: str = ""

    # chains. A Bitcoin source is `esplora+https://…`, `core+http://user:pass@host:port`
    # or `files:/folder/of/raw/blocks`
    bitcoin_network: BitcoinNetwork = "mainnet"
    bitcoin_sources: CommaList = (
        "esplora+https://mempool.space/api",
        "esplora+https://blockstream.info/api",
    )
    bitcoin_poll_seconds: Seconds = 10.0
    bitcoin_start_height: int | None = Field(None, ge=0)  # None: follow from the tip at first start
    bitcoin_checks: Literal["full", "trusted"] = "full"  # trusted: skips merkle and proof of work
    bitcoin_max_blocks_per_tick: int = Field(50, ge=1, le=2000)

    # Ethereum: JSON-RPC endpoints, best first; empty follows no Ethereum
    ethereum_rpc_urls: CommaList = (
        "https://ethereum-rpc.publicnode.com",
        "https://eth.drpc.org",
        "https://eth.llamarpc.com",
    )
    ethereum_chain_id: int = Field(1, ge=1)
    ethereum_poll_seconds: Seconds = 6.0
    ethereum_start_height: int | None = Field(None, ge=0)
    ethereum_checks: Literal["full", "trusted"] = "full"  # trusted: skips hashes and roots
    ethereum_max_blocks_per_tick: int = Field(50, ge=1, le=2000)
    ethereum_traces: Literal["auto", "off"] = "auto"
    # how often new wallets are opened and old blocks read on; how often balances are probed
    backfill_poll_seconds: Seconds = 10.0
    reconcile_poll_seconds: Seconds = 60.0
    beacon_url: str = ""  # a consensus client, for validators' balances

    # markets
    market_poll_seconds: Seconds = 60.0
    coin_quote_sources: CommaList = ("coinbase", "kraken", "bitstamp", "binance", "coingecko")
    share_quote_sources: CommaList = ("yahoo",)
    live_quotes: bool = True

    # judgement
    # ground older than this is history, not news (at most a thousand years)
    news_max_age_hours: float = Field(24.0, gt=0, le=10_000_000, allow_inf_nan=False)
    # found later than this says `detected_late`
    detected_late_minutes: float = Field(120.0, gt=0, le=600_000_000, allow_inf_nan=False)
    follow_blocks: int = Field(1008, ge=1)  # how long unexplained outflows are followed, in blocks
    follow_max_outpoints: int = Field(10_000, ge=0)

    # webhooks
    webhook_timeout_seconds: float = Field(15.0, gt=0, le=60)
    webhook_ports: PortList = (443, 80, 8080, 8443)
    webhook_allow_http: bool = False
    webhook_concurrency: int = Field(100, ge=1, le=512)

    # fleet
    head_concurrency: int = Field(2, ge=1, le=256)  # processes
    bulk_concurrency: int = Field(2, ge=1, le=256)
    api_keys_required_for_reads: bool = False

    http_timeout_seconds: float = Field(20.0, gt=0, le=600)
    user_agent: str = "treasury-tracker/0.1 (set TRACKER_USER_AGENT to name a contact)"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_json: bool = False

    @field_validator(
        "bitcoin_sources", "ethereum_rpc_urls", "coin_quote_sources", "share_quote_sources",
        "webhook_ports", mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("database_url")
    @classmethod
    def _postgres_only(cls, value: str) -> str:
        if value.startswith(("postgres://", "postgresql://")):
            value = "postgresql+psycopg://" + value.split("://", 1)[1]
        if value and not value.startswith("postgresql+psycopg://"):
            raise ValueError("only PostgreSQL is supported: postgresql://user:pass@host/db")
        _check_port(value)
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_only(cls, value: str) -> str:
        if value and not value.startswith(("redis://", "rediss://", "redis+socket://")):
            raise ValueError("only Redis and Valkey are supported: redis://:pass@host:6379/0")
        _check_port(value)
        return value

    @field_validator("user_agent")
    @classmethod
    def _one_header(cls, value: str) -> str:
        if not _HEADER_TEXT.fullmatch(value):
            raise ValueError("a header has 1 to 200 printable ASCII characters")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over environment over the file named by `TRACKER_CONFIG` (./tracker.toml)."""
        sources = (init_settings, env_settings)
        path = _settings_file()
        return sources if path is None else (*sources, TomlConfigSettingsSource(settings_cls, path))

    @property
    def run_dir(self) -> Path:
        """Folder of pid files, logs and the bearer key, inside the data folder."""
        return self.data_dir / "run"

    @property
    def key_file(self) -> Path:
        """The file (mode 0600) that holds the bearer key of the local command line."""
        return self.data_dir / "admin.key"

    @property
    def servers_file(self) -> Path:
        """JSON file (mode 0600) where `tracker up` leaves the addresses of its servers."""
        return self.run_dir / "servers.json"


def load(**overrides: Any) -> Settings:
    """Settings from arguments, environment and file.

    Raises `ConfigError` naming the knob, its value (never one that may be a secret) and the mend.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise _explained(error) from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the settings file cannot be read: {error}",
            field="TRACKER_CONFIG",
            value=os.environ.get("TRACKER_CONFIG", _DEFAULT_FILE),
            mend="correct the file; it is TOML with one key a setting",
        ) from None


@lru_cache(maxsize=1)
def current() -> Settings:
    """The settings of this process, read once."""
    return load()


def _settings_file() -> Path | None:
    """The file to read; None where there is none. One that was named must be there."""
    named = os.environ.get("TRACKER_CONFIG")
    path = Path(_DEFAULT_FILE if named is None else named)
    if path.is_file():
        return path
    if named:
        raise ConfigError(
            "there is no such settings file",
            field="TRACKER_CONFIG",
            value=named,
            mend="correct the path; leave it empty to read no file",
        )
    return None


def _explained(error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    if first["type"] == "extra_forbidden":
        near = get_close_matches(name.lower().removeprefix("tracker_"), Settings.model_fields, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return ConfigError(
            "unknown setting",
            field=name,  # without its value: a mistyped name may be that of a secret
            mend=f"{hint}correct the line in {_DEFAULT_FILE}; keys are written in small letters, "
            "without TRACKER_",
        )
    secret = name.endswith(("_url", "_urls", "_sources"))
    return ConfigError(
        f"bad setting: {first['msg']}",
        field=f"TRACKER_{name.upper()}",
        value=None if secret else first.get("input"),
        mend=f"correct the environment variable, or the line in {_DEFAULT_FILE}",
    )


def _check_port(url: str) -> None:
    try:
        urlsplit(url).port  # noqa: B018  raises where the port is no number
    except ValueError:
        # A password with such a sign unquoted ends up where the port is read.
        raise ValueError("not a URL; write / # ? @ in a password as %2F %23 %3F %40") from None
