"""Partition tables as sfdisk tells of them, and what is free in them; no disk is needed for that."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest
from anyvirt.api import Failed, Invalid
from anyvirt_host.storage.kinds.table import KINDS, Span, Table, fitting, free, number_of, read, room_behind

MIB = 1 << 20
SIZE = 128 * MIB
# What sfdisk 2.38.1 said of a loop device of 128 MiB.
GPT = """{
   "partitiontable": {
      "label": "gpt", "id": "C570B91C-AB05-A949-90EF-2A871DD86913", "device": "/dev/loop0", "unit": "sectors",
      "firstlba": 2048, "lastlba": 262110, "sectorsize": 512,
      "partitions": [
         {"node": "/dev/loop0p2", "start": 18432, "size": 20480, "type": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
          "uuid": "57304185-6AC8-2B4B-9510-8AA68EE09BD8"}
      ]
   }
}"""
DOS = """{
   "partitiontable": {
      "label": "dos", "id": "0x37f3c34a", "device": "/dev/loop0", "unit": "sectors", "sectorsize": 512,
      "partitions": [
         {"node": "/dev/loop0p1", "start": 2048, "size": 16384, "type": "83"},
         {"node": "/dev/loop0p2", "start": 18432, "size": 100352, "type": "5"},
         {"node": "/dev/loop0p5", "start": 20480, "size": 16384, "type": "82"},
         {"node": "/dev/loop0p6", "start": 40960, "size": 8192, "type": "1c"}
      ]
   }
}"""


def test_a_gpt_is_understood() -> None:
    table = read(GPT, SIZE)
    assert (table.label, table.sector, table.usable) == ("gpt", 512, Span(MIB, 262111 * 512))
    assert [(part.number, part.start, part.size, part.kind) for part in table.parts] == [
        (2, 9 * MIB, 10 * MIB, "linux-swap")
    ]
    assert free(table) == [Span(MIB, 9 * MIB), Span(19 * MIB, 262111 * 512)]
    assert fitting(table, 4 * MIB, "linux") == (1, Span(MIB, 5 * MIB))
    assert fitting(table, 9 * MIB, "fat32") == (1, Span(19 * MIB, 28 * MIB))
    with pytest.raises(Invalid):
        fitting(table, 4 * MIB, "extended")


def test_logical_partitions_have_room_for_their_own_tables() -> None:
    table = read(DOS, SIZE)
    assert [part.kind for part in table.parts] == ["linux", "extended", "linux-swap", "unknown"]
    assert free(table) == [Span(25 * MIB, 58 * MIB), Span(58 * MIB, SIZE)]
    assert fitting(table, MIB, "linux")[0] == 3
    with pytest.raises(Invalid, match="extended partition already"):
        fitting(table, MIB, "extended")
    five = table.find(5)
    assert five
    assert room_behind(table, five) == 9 * MIB


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"partitiontable": {"label": "dos", "partitions": [{}]}}'])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(Failed):
        read(text, SIZE)


@pytest.mark.parametrize(
    ("name", "device", "number"),
    [
        ("sda2", "sda", 2),
        ("loop0p12", "loop0", 12),
        ("mpatha-part3", "mpatha", 3),
        ("sdb1", "sda", 0),
        ("sda", "sda", 0),
        ("sda0", "sda", 0),
        ("sdax", "sda", 0),
        ("sda1/../x", "sda", 0),
    ],
)
def test_the_number_of_a_partition_is_in_its_name(name: str, device: str, number: int) -> None:
    assert number_of(name, device) == number


def made(label: str, seed: int) -> list[Table]:
    """Tables after each of many makings and deletings."""
    chance = random.Random(seed)
    rows: list[dict[str, Any]] = []
    seen = []
    for _ in range(40):
        head = {"label": label, "sectorsize": 512, "firstlba": 2048, "lastlba": 262110, "partitions": rows}
        table = read(json.dumps({"partitiontable": head}), SIZE)
        seen.append(table)
        if rows and chance.random() < 0.3:
            gone = chance.choice(rows)
            if not (gone["type"] == "5" and any(row["number"] > 4 for row in rows)):
                rows = [row for row in rows if row is not gone]
            continue
        kind = "extended" if label == "dos" and chance.random() < 0.2 else "linux"
        try:
            number, span = fitting(table, chance.randrange(1, 24 * MIB), kind)
        except (Failed, Invalid):
            continue
        code = KINDS[label][kind][0]
        rows = [
            *rows,
            {
                "number": number,
                "node": f"/dev/sda{number}",
                "start": span.start // 512,
                "size": (span.end - span.start) // 512,
                "type": code,
            },
        ]
    return seen


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_partitions_never_meet_whatever_is_made_and_deleted(label: str) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    for table in made(label, seed):
        outer = sorted((part.start, part.end) for part in table.parts if not table.logical(part))
        inner = sorted((part.start, part.end) for part in table.parts if table.logical(part))
        for spans in (outer, inner):
            assert all(one[1] <= other[0] for one, other in pairwise(spans)), seed
        assert all(table.usable.start <= start and end <= table.usable.end for start, end in outer), seed
        extended = table.extended
        assert not inner or extended, seed
        assert all(extended and extended.start < start and end <= extended.end for start, end in inner), seed
        for span in free(table):
            assert span.start % MIB == 0, seed
            assert not any(span.start < end and start < span.end for start, end in inner), seed
