"""Mounts of huge pages are found where this user may write, with the size of their pages."""

from __future__ import annotations

from pathlib import Path

from anyvirt_qemu.readiness import hugepages


def test_mounts_are_told_by_the_size_of_their_pages(tmp_path: Path) -> None:
    usual, big, spaced = tmp_path / "usual", tmp_path / "big", tmp_path / "a b"
    for folder in (usual, big, spaced):
        folder.mkdir()
    table, memory = tmp_path / "mounts", tmp_path / "meminfo"
    table.write_text(
        f"proc /proc proc rw 0 0\nhugetlbfs {usual} hugetlbfs rw,relatime 0 0\n"
        f"hugetlbfs {big} hugetlbfs rw,pagesize=1024M 0 0\nhugetlbfs {tmp_path}/none hugetlbfs rw,pagesize=64K 0 0\n"
        f"hugetlbfs {str(spaced).replace(' ', chr(92) + '040')} hugetlbfs rw,pagesize=16G 0 0\n"
    )
    memory.write_text("MemTotal: 1 kB\nHugepagesize:       4096 kB\n")
    found = hugepages.mounts(table, memory)
    assert found == (4 << 20, {4 << 20: str(usual), 1 << 30: str(big), 16 << 30: str(spaced)})


def test_a_host_without_huge_pages_has_none(tmp_path: Path) -> None:
    assert hugepages.mounts(tmp_path / "none", tmp_path / "none") == (2 << 20, {})
