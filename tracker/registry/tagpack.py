"""GraphSense TagPacks: YAML in, records with the columns of our own label files out.

The format is described in the wiki of github.com/graphsense/graphsense-tagpacks: a header whose
fields every tag inherits, and a list of tags. docs/labels.md has the tables of what becomes what.
"""

from __future__ import annotations

from typing import Any, NoReturn

import yaml

from tracker.domain.entity import Category, Tier
from tracker.errors import InputError
from tracker.registry.packs.info import name_from
from tracker.registry.records import Record, Records, RowError, decode

# YAML takes some hundred times its size in memory. The largest public packs have 5 MB.
_MAX_BYTES = 20_000_000
_DEEPEST = 8

_CHAINS = {"BTC": "bitcoin", "ETH": "ethereum"}

# Nothing that a third party says ranks above `vendor`: its `ownership` is hearsay to us.
_TIERS = {
    "override": Tier.VENDOR,
    "ownership": Tier.VENDOR,
    "manual_transaction": Tier.VENDOR,
    "service_api": Tier.VENDOR,
    "authority_data": Tier.VENDOR,
    "trusted_provider": Tier.VENDOR,
    "service_data": Tier.VENDOR,
    "forensic": Tier.VENDOR,
    "untrusted_transaction": Tier.HEURISTIC,
    "web_crawl": Tier.HEURISTIC,
    "heuristic": Tier.HEURISTIC,
    "unknown": Tier.HEURISTIC,
}

_CATEGORIES = {
    "exchange": Category.EXCHANGE,
    "wallet_service": Category.CUSTODIAN,
    "hosted_wallet": Category.CUSTODIAN,
    "escrow_wallet": Category.CUSTODIAN,
    "custodian": Category.CUSTODIAN,
    "market_maker": Category.MARKET_MAKER,
    "miner": Category.MINING_POOL,
    "mining_service": Category.MINING_POOL,
    "mining_pool": Category.MINING_POOL,
    "mixing": Category.MIXER,
    "mixing_service": Category.MIXER,
    "coinjoin": Category.MIXER,
    "defi_dex": Category.DEX,
    "defi_lending": Category.LENDING,
    "lending": Category.LENDING,
    "defi_bridge": Category.BRIDGE,
    "bridge": Category.BRIDGE,
    "staking": Category.STAKING,
}


def read(data: bytes) -> Records:
    """The tags of a TagPack as records of a label file, the pack's description as their header.

    Raises `InputError` when the file as a whole is not a TagPack. A tag of another currency, or
    one that lacks a field, is an error of its row; tags count from 1.
    """
    document = _document(decode(data, _MAX_BYTES))
    tags = document.get("tags")
    if not isinstance(tags, list):
        raise InputError(
            "no list of tags",
            field="tags",
            mend="give a GraphSense TagPack: a header and `tags`",
        )
    said = {"title": _text(document, "title"), "creator": _text(document, "creator")}
    for name, value in said.items():
        if not value:
            raise InputError("missing", field=name, mend=f"give the pack's {name}")
    inherited = {name: value for name, value in document.items() if name != "tags"}
    rows: list[Record] = []
    errors: list[RowError] = []
    for number, tag in enumerate(tags, 1):
        try:
            rows.append(_row(number, tag, inherited))
        except InputError as error:
            errors.append(RowError.of(number, error))
    header = {**said, "pack": name_from(said["title"]), "source": _text(document, "source")}
    return Records(tuple(rows), tuple(errors), header)


def _document(text: str) -> dict[str, Any]:
    """The file as nested texts: an unquoted 0x address must not become a number, nor a date a date.

    The base loader makes nothing but texts, lists and mappings. Aliases are refused, since a few
    lines of them unfold into gigabytes, and so is deep nesting.
    """
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.CBaseLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
                _refuse(event)
        document = yaml.load(text, Loader=yaml.CBaseLoader)  # noqa: S506 - makes only texts
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            "the file is not YAML",
            field="file",
            value=f"line {mark.line + 1}" if mark is not None else None,
            mend="give a GraphSense TagPack",
        ) from None
    if not isinstance(document, dict):
        raise InputError("no header", field="file", mend="give a GraphSense TagPack")
    return document


def _refuse(event: yaml.Event) -> NoReturn:
    raise InputError(
        "the file uses YAML aliases or deep nesting",
        field="file",
        value=f"line {event.start_mark.line + 1}" if event.start_mark is not None else None,
        mend="write every tag in full, a list of fields and values",
    )


def _row(number: int, tag: object, inherited: dict[str, Any]) -> Record:
    if not isinstance(tag, dict):
        raise InputError("not a tag", field="tags", value=tag, mend="give fields and values")
    return Record(number, _cells({**inherited, **tag}))


def _cells(tag: dict[str, Any]) -> dict[str, str]:
    """The cells of one tag with the header's fields under its own."""
    currency = (_text(tag, "network") or _text(tag, "currency")).upper()
    if currency not in _CHAINS:
        raise InputError(
            "a currency that is not followed" if currency else "missing",
            field="currency",
            value=currency or None,
            mend=f"only {' and '.join(_CHAINS)} tags are taken",
        )
    confidence = _text(tag, "confidence") or "unknown"
    if confidence not in _TIERS:
        raise InputError(
            "unknown confidence",
            field="confidence",
            value=confidence,
            mend=f"use one of {', '.join(_TIERS)}",
        )
    abuse = _text(tag, "abuse")
    label = _text(tag, "label")
    return {
        "chain": _CHAINS[currency],
        "address": _text(tag, "address"),
        "name": f"{label} ({abuse})" if label and abuse else label,
        "category": _category(tag, abuse),
        "tier": str(_TIERS[confidence]),
        "source": _text(tag, "source"),
        "date": _text(tag, "lastmod")[: len("2026-01-31")],  # a time of day has no zone here
        "vendor": "true",
        "actor": _text(tag, "actor"),
    }


def _category(tag: dict[str, Any], abuse: str) -> str:
    """The first of category, concepts and abuse that has a meaning here; `other` without one."""
    concepts = tag.get("concepts")
    said = [_text(tag, "category")]
    said += (
        [concept for concept in concepts if isinstance(concept, str)]
        if isinstance(concepts, list)
        else []
    )
    for word in (*said, abuse):
        known = _CATEGORIES.get(word.strip().lower().replace(" ", "_"))
        if known is not None:
            return str(known)
    return str(Category.OTHER)


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise InputError("not a text", field=name, value=value, mend="give a text")
    return "" if value in ("null", "~") else value.strip()
