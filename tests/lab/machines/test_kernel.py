"""Kernels that are loaded without a disk, and are no Linux: a few instructions that write on the console."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from anyvirt.client._generated_sync import Connection
from machine_stage import Kind, told

SAID: Final = "a kernel of its own"
WORDS: Final = "console=ttyS0 root='a, b' id=x,y"
# adr x1, text; mov x0, #0x9000000 (the port); ldrb w2, [x1], #1; cbz w2, end; strb w2, [x0]; b back; end: wfi; b end
AARCH64: Final = struct.pack(
    "<8I", 0x10000101, 0xD2A12000, 0x38401422, 0x34000062, 0x39000002, 0x17FFFFFD, 0xD503207F, 0x17FFFFFF
)
# auipc t0, 0; addi t0, t0, 36; lui t1, 0x10000 (the port); lbu t2, 0(t0); beqz t2, end; sb t2, 0(t1);
# addi t0, t0, 1; j back; end: j end
RISCV64: Final = struct.pack(
    "<9I", 0x00000297, 0x02428293, 0x10000337, 0x0002C383, 0x00038863, 0x00730023, 0x00128293, 0xFF1FF06F, 0x0000006F
)
# mov esi, [ebx + 24] (the command line); mov dx, 0x3f8; lodsb; test al, al; jz end; out dx, al; jmp back;
# end: cli; hlt; jmp end
X86: Final = bytes.fromhex("8b7318 66baf803 ac 84c0 7403 ee ebf8 fa f4 ebfc")
PLACE: Final = 0x100000
ENTRY_NOTE: Final = 18  # where Xen's way to start a kernel enters it


def pvh() -> bytes:
    """An ELF file for x86 that is entered in 32 bits, as its note says."""
    note = struct.pack("<3I4sI", 4, 4, ENTRY_NOTE, b"Xen\0", PLACE)
    begin = 52 + 2 * 32
    head = b"\x7fELF\1\1\1".ljust(16, b"\0")
    head += struct.pack("<2H5I6H", 2, 3, 1, PLACE, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    code = begin + len(note)
    load = struct.pack("<8I", 1, code, PLACE, PLACE, len(X86), len(X86), 5, 4)
    told_by = struct.pack("<8I", 4, begin, 0, 0, len(note), len(note), 4, 4)
    return head + load + told_by + note + X86


KERNELS: Final = {
    "aarch64-kernel": (Kind("aarch64", "virt", (SAID,), "qemu-system-aarch64"), AARCH64 + SAID.encode() + b"\0"),
    "riscv64-kernel": (
        Kind(
            "riscv64",
            "virt",
            (SAID,),
            "qemu-system-riscv64",
            "/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin",
        ),
        RISCV64 + SAID.encode() + b"\0",
    ),
    "microvm-kernel": (Kind("x86_64", "microvm", (WORDS,), "qemu-system-x86_64"), pvh()),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_of_a_few_instructions_is_loaded_and_runs(name: str, connection: Connection, tmp_path: Path) -> None:
    kind, code = KERNELS[name]
    place = tmp_path / "kernel"
    place.write_bytes(code)
    words = f"<kernel>{place}</kernel><cmdline>{WORDS}</cmdline>"
    told(name, replace(kind, os=words), connection, tmp_path)
