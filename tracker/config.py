"""Settings: `TRACKER_*` environment variables over `tracker.toml` over the defaults below.

Lists are comma-separated in the environment and arrays in the file. Each knob says its unit.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

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
BitcoinNetwork = Literal["mainnet", "testnet", "signet", "regtest"]


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
    port: int = Field(8321, ge=1, le=65535)
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
    bitcoin_poll_seconds: float = Field(10.0, gt=0)
    bitcoin_start_height: int | None = Field(None, ge=0)  # None: follow from the tip at first start
    bitcoin_checks: Literal["full", "trusted"] = "full"  # trusted: skips merkle and proof of work
    bitcoin_max_blocks_per_tick: int = Field(50, ge=1, le=2000)

    # markets
    market_poll_seconds: float = Field(60.0, gt=0)
    coin_quote_sources: CommaList = ("coinbase", "kraken", "bitstamp", "binance", "coingecko")
    share_quote_sources: CommaList = ("yahoo",)
    live_quotes: bool = True

    # judgement
    news_max_age_hours: float = Field(24.0, gt=0)  # ground older than this is history, not news
    detected_late_minutes: float = Field(120.0, gt=0)  # found later than this says `detected_late`
    follow_blocks: int = Field(1008, ge=1)  # how long unexplained outflows are followed, in blocks
    follow_max_outpoints: int = Field(10_000, ge=0)

    # webhooks
    webhook_timeout_seconds: float = Field(15.0, gt=0, le=60)
    webhook_ports: tuple[int, ...] = (443, 80, 8080, 8443)
    webhook_allow_http: bool = False
    webhook_concurrency: int = Field(64, ge=1, le=512)

    # fleet
    head_concurrency: int = Field(2, ge=1)
    bulk_concurrency: int = Field(1, ge=1)
    api_keys_required_for_reads: bool = False

    http_timeout_seconds: float = Field(20.0, gt=0)
    user_agent: str = "treasury-tracker/0.1 (set TRACKER_USER_AGENT to name a contact)"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_json: bool = False

    @field_validator("bitcoin_sources", "coin_quote_sources", "share_quote_sources", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("database_url")
    @classmethod
    def _postgres_only(cls, value: str) -> str:
        if value.startswith(("postgres://", "postgresql://")):
            return "postgresql+psycopg://" + value.split("://", 1)[1]
        if value and not value.startswith("postgresql+psycopg://"):
            raise ValueError("only PostgreSQL is supported: postgresql://user:pass@host/db")
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
        path = Path(os.environ.get("TRACKER_CONFIG", "tracker.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, path)

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

    Raises `ConfigError` naming the knob, its value and the mend.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        secret = any(word in name for word in ("url", "sources"))
        raise ConfigError(
            f"bad setting: {first['msg']}",
            field=f"TRACKER_{name.upper()}",
            value=None if secret else first.get("input"),
            mend="correct the environment variable, or the line in tracker.toml",
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the settings file cannot be read: {error}",
            field="TRACKER_CONFIG",
            value=os.environ.get("TRACKER_CONFIG", "tracker.toml"),
            mend="correct the file; it is TOML with one key a setting",
        ) from None


@lru_cache(maxsize=1)
def current() -> Settings:
    """The settings of this process, read once."""
    return load()
