"""GraphSense TagPacks, in the shapes that their repository holds."""

from __future__ import annotations

import pytest

from tracker.errors import InputError
from tracker.registry import tagpack

# The header holds what all tags share, as in the public packs.
INHERITING = b"""
---
title: Cold Wallets, Tagpack!
creator: A Team
confidence: service_data
category: exchange
currency: BTC
lastmod: 2023-01-26
source: https://a.example/page
actor: acme
is_cluster_definer: true
tags:
  - address: 3NDzzVxiLBUs1WPvVGRfCYDTAD2Ua2PvW4
    label: Acme holdings
  - address: 0xFA8E3920daF271daB92Be9B87d9998DDd94FEF08
    label: Acme hot
    currency: ETH
    network: ETH
    lastmod: "2024-05-06 10:00:00"
    confidence: web_crawl
    category: null
    concepts: [organization, mixing_service]
  - address: qrzeh0y2uv2rdmjmkfqcmd39h9yqjrqwmqzaztef9w
    label: Acme cash
    currency: BCH
  - address: 1Archive1n2C579dMsAu3iC6tWzuQJz8dN
    label: Bad guys
    category: ""
    abuse: ransomware
    confidence: gut_feeling
"""


def test_tags_inherit_the_header_and_say_more_of_their_own() -> None:
    found = tagpack.read(INHERITING)
    assert found.header == {
        "title": "Cold Wallets, Tagpack!",
        "creator": "A Team",
        "pack": "cold-wallets-tagpack",
        "source": "https://a.example/page",
    }
    bitcoin, ethereum = found.rows
    assert bitcoin.cells == {
        "chain": "bitcoin",
        "address": "3NDzzVxiLBUs1WPvVGRfCYDTAD2Ua2PvW4",
        "name": "Acme holdings",
        "category": "exchange",
        "tier": "vendor",
        "source": "https://a.example/page",
        "date": "2023-01-26",
        "vendor": "true",
        "actor": "acme",
    }
    # An unquoted 0x address is a number to YAML; here it stays what was written.
    assert ethereum.cells["address"] == "0xFA8E3920daF271daB92Be9B87d9998DDd94FEF08"
    assert (ethereum.cells["category"], ethereum.cells["tier"]) == ("mixer", "heuristic")
    assert ethereum.cells["date"] == "2024-05-06"


def test_other_currencies_and_confidences_are_refused_tag_by_tag() -> None:
    errors = tagpack.read(INHERITING).errors
    assert [(error.row, error.field, error.value) for error in errors] == [
        (3, "currency", "BCH"),
        (4, "confidence", "gut_feeling"),
    ]
    assert errors[1].mend is not None
    assert "service_data" in errors[1].mend


def test_abuse_is_said_in_the_name_and_gives_a_category_where_it_has_one() -> None:
    data = b"""
title: t
creator: c
currency: BTC
tags:
  - {address: a, label: Gang, abuse: ransomware}
  - {address: b, label: Blender, abuse: mixing}
"""
    first, second = tagpack.read(data).rows
    assert (first.cells["name"], first.cells["category"]) == ("Gang (ransomware)", "other")
    assert second.cells["category"] == "mixer"
    assert first.cells["tier"] == "heuristic"


BOMB = b"title: t\ncreator: c\na0: &a0 [x]\n" + b"".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n".encode() for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("data", "field", "says"),
    [
        (BOMB, "file", "line 4"),
        (b"tags: " + b"[" * 5_000, "file", "deep nesting"),
        (b"tags: " + b"{a: " * 50, "file", "deep nesting"),
        (b"title: [", "file", "not YAML"),
        (b"- a\n- b\n", "file", "no header"),
        (b"", "file", "no header"),
        (b"title: t\ncreator: c\n", "tags", "list of tags"),
        (b"title: t\ncreator: c\ntags: x\n", "tags", "list of tags"),
        (b"creator: c\ntags: []\n", "title", "missing"),
        (b"title: {a: b}\ncreator: c\ntags: []\n", "title", "not a text"),
        (b"title: !!python/object:os.system x\ncreator: c\ntags: []\n? [a]\n: b", "file", "YAML"),
        (b" " * 20_000_001, "file", "larger than 20 MB"),
    ],
)
def test_what_is_no_tagpack_is_one_error(data: bytes, field: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        tagpack.read(data)
    assert caught.value.field == field
    assert says in str(caught.value)


def test_a_tag_that_is_no_mapping_is_its_own_error() -> None:
    found = tagpack.read(b"title: t\ncreator: c\ncurrency: BTC\ntags: [x, {address: [1]}]\n")
    assert [(error.row, error.field) for error in found.errors] == [(1, "tags"), (2, "address")]
