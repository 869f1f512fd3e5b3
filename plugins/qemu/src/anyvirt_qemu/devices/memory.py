"""What a guest's memory is made of: back ends, their pages, their nodes of the host, memory modules, I/O threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from anyvirt.api import DimmAddress, Domain, MemoryBacking, MemoryDevice, NumaTune, meaningless, plain

from anyvirt_qemu.devices.common import virtio
from anyvirt_qemu.planning.build import Build

KIB: Final = 1 << 10
MIB: Final = 1 << 20
PAGE: Final = 4 * KIB
MODULE: Final = 2 * MIB
BLOCKS: Final = {"ppc64": 256 * MIB}  # sizes of which a guest's memory is a multiple
POLICIES: Final = {"strict": "bind", "preferred": "preferred", "interleave": "interleave", "restrictive": None}


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of memory.

    :param cell: the guest's NUMA cell that it belongs to; None where there are none.
    :param page: size of its huge pages, 0 for ordinary ones.
    :param nodes: nodes of the host that it comes from, where it has its own.
    :param path: file that holds it.
    :param main: it is the whole memory that the machine has at boot.
    :param lazy: pages are taken as the guest asks for them, never before.
    """

    ident: str
    size: int
    cell: int | None = None
    page: int = 0
    access: str | None = None
    discard: bool | None = None
    nodes: frozenset[int] | None = None
    path: str = ""
    main: bool = False
    lazy: bool = False


def ram(b: Build, domain: Domain) -> str | None:
    """Id of the back end of all memory; None where NUMA cells have their own, or the machine takes none."""
    return None if domain.cpu is not None and domain.cpu.cells else b.machine.ram


def memory(b: Build, domain: Domain) -> None:
    """How much there is, what it is made of, and what the balloon leaves of it."""
    total = domain.memory
    if domain.memory_backing is not None:  # what ordinary pages do not need has no effect on them
        meaningless(domain.memory_backing, "hugepages", "source", "access", "discard", "allocation")
        meaningless(domain.memory_backing, "allocation_threads")
    if not total:
        b.problem(domain, "memory", "the guest has no memory", "write <memory unit='MiB'>512</memory>")
        return
    size = initial(domain, BLOCKS.get(b.caps.arch, MIB))
    if size <= 0:
        b.problem(domain, "memory", "its modules hold more than all of it", "make <memory> the sum of all")
        return
    most: dict[str, Any] = {}
    if domain.max_memory is not None:
        if domain.max_memory < total:
            b.problem(domain, "max_memory", f"is less than the {total} bytes of <memory>", "correct one of the two")
        most = {
            "slots": domain.max_memory_slots or None,
            "maxmem": f"{_up(domain.max_memory, BLOCKS.get(b.caps.arch, MIB)) >> 10}k",
        }
    elif domain.memory_devices:
        b.problem(domain.memory_devices[0], "", "modules need room to be plugged in", "write <maxMemory slots='16'>")
    b.options("-m", "", {"size": f"{size >> 10}k", **most})
    _balloon(b, domain, total, size)
    ident = ram(b, domain)
    if ident is not None:
        access = domain.memory_backing.access if domain.memory_backing else None
        piece = Piece(ident, size, page=_page(b, domain.memory_backing, None), access=access, main=True)
        back_end(b, domain, piece)
    elif not (domain.cpu and domain.cpu.cells) and domain.memory_backing is not None and _special(domain):
        text = f"machine {b.machine.name} of this QEMU takes no memory back end"
        b.refuse(domain, "memory_backing", "take it out", text=text)


def initial(domain: Domain, block: int = MIB) -> int:
    """Bytes of memory at boot, in whole blocks: of all cells, or all but what the modules hold."""
    cells = domain.cpu.cells if domain.cpu is not None else ()
    if cells:
        return sum(_up(cell.memory or 0, block) for cell in cells)
    return _up((domain.memory or 0) - sum(x.size or 0 for x in domain.memory_devices), block)


def _balloon(b: Build, domain: Domain, total: int, size: int) -> None:
    now = domain.current_memory
    if now is None or now >= total:
        return
    if domain.memballoon is None or domain.memballoon.model == "none":
        if now >= size:  # it leaves out the modules, which no balloon takes back
            return
        b.problem(domain, "current_memory", "without a balloon the guest keeps all memory", "make both sizes equal")
    else:
        b.step("balloon", {"value": now})


def options(b: Build, domain: Domain) -> dict[str, Any]:
    """Switches of the machine that are about memory."""
    backing = domain.memory_backing or MemoryBacking()
    kinds = {x.model for x in plain(domain).memory_devices}
    epc = [f"mem{x.alias}" for x in plain(domain).memory_devices if x.model == "sgx-epc"]
    found: dict[str, Any] = {
        "dump-guest-core": bool(domain.memory_dump_core),
        "mem-merge": False if backing.nosharepages else None,
        "memory-backend": ram(b, domain),
        "nvdimm": True if "nvdimm" in kinds else None,
    }
    for number, ident in enumerate(epc):
        found[f"sgx-epc.{number}.memdev"] = ident
    return found


def _special(domain: Domain) -> bool:
    x = domain.memory_backing
    return x is not None and bool(x.hugepages or x.source or x.access or x.allocation or x.discard)


def _page(b: Build, x: MemoryBacking | None, cell: int | None) -> int:
    """Size of the huge pages that a cell gets; 0 for ordinary pages."""
    if x is None:
        return 0
    if not x.pages:
        return b.paths.hugepage if x.hugepages else 0
    size = 0
    for page in x.pages:
        wanted = page.size or b.paths.hugepage
        if page.nodeset is None:
            size = size or wanted
        elif (cell or 0) in page.nodeset and (cell is not None or len(x.pages) == 1):
            return _huge(wanted)
    return _huge(size)


def _huge(size: int) -> int:
    return 0 if size == PAGE else size


def back_end(b: Build, domain: Domain, piece: Piece, file: Mapping[str, Any] = MappingProxyType({})) -> None:
    """The object that holds a piece of memory.

    :param file: what is special about the file that holds it.
    """
    backing = domain.memory_backing or MemoryBacking()
    found: dict[str, Any] = _source(b, backing, piece) | dict(file)
    kind = found["qom-type"]
    if not b.caps.has_object(kind):
        b.refuse(backing, "source", "choose another source", text=f"this QEMU ({b.caps.binary}) has no {kind}")
    if kind != "memory-backend-ram" and piece.main and b.caps.has_feature("memory.ramblock-id"):
        found["x-use-canonical-path-for-ramblock-id"] = False
    if piece.access is not None:
        found["share"] = piece.access == "shared"
    if backing.allocation == "immediate" and not piece.lazy:
        found["prealloc"] = True
    if piece.lazy:
        _needs(b, backing, "", "memory.reserve", "reserve")
        found["reserve"] = False
    found["size"] = piece.size
    _nodes(domain, piece, found)
    _threads(b, backing, piece, found)
    b.qom(found | {"id": piece.ident})


def _source(b: Build, backing: MemoryBacking, piece: Piece) -> dict[str, Any]:
    mount = b.paths.hugepages.get(piece.page, "")
    wanted = backing.source
    if not piece.path and (wanted == "memfd" or (piece.page and not mount)):
        found: dict[str, Any] = {"qom-type": "memory-backend-memfd"}
        if piece.page:
            _needs(b, backing, "hugepages", "memory.hugetlb", "hugetlb")
            found |= {"hugetlb": True, "hugetlbsize": piece.page, "prealloc": None if piece.lazy else True}
        return found
    if not (piece.page or piece.path or piece.access or wanted == "file"):
        return {"qom-type": "memory-backend-ram"}
    found = {"qom-type": "memory-backend-file"}
    if piece.path:
        found["mem-path"] = piece.path
    elif piece.page:
        found |= {"mem-path": mount, "prealloc": None if piece.lazy else True}
    else:  # a folder: QEMU makes a file there that has no name and goes when the guest goes
        found["mem-path"] = b.paths.memory or b.paths.guest
    discard = piece.discard if piece.discard is not None else backing.discard or None
    if discard is not None and not piece.path:  # what is in a file that the user names is the user's
        _needs(b, backing, "discard", "memory.discard-data", "discard-data")
        found["discard-data"] = discard
    return found


def _needs(b: Build, x: Any, field: str, feature: str, member: str) -> None:
    if not b.caps.has_feature(feature):
        text = f"memory back ends of this QEMU ({b.caps.binary}) have no {member}"
        b.refuse(x, field, "take it out, or use a QEMU that has it", text=text)


def _nodes(domain: Domain, piece: Piece, found: dict[str, Any]) -> None:
    """Where on the host it comes from."""
    tune = domain.numatune
    mode, nodes = tuned(tune, piece.cell)
    nodes = piece.nodes if piece.nodes is not None else nodes
    policy = POLICIES[mode or "strict"]
    if nodes and policy is not None:
        found |= {"host-nodes": sorted(nodes), "policy": policy}


def tuned(tune: NumaTune | None, cell: int | None) -> tuple[str | None, frozenset[int] | None]:
    """How strictly a cell keeps to which nodes of the host."""
    if tune is None:
        return None, None
    for node in tune.memnodes:
        if cell is not None and node.cellid == cell:
            return node.mode, node.nodeset
    return tune.mode, tune.nodeset


def _threads(b: Build, backing: MemoryBacking, piece: Piece, found: dict[str, Any]) -> None:
    """Who takes the pages before the guest starts: several threads, on the nodes that the pages come from."""
    if not found.get("prealloc"):
        return
    if backing.allocation_threads:
        _needs(b, backing, "allocation_threads", "memory.prealloc-threads", "prealloc-threads")
        found["prealloc-threads"] = backing.allocation_threads
    if "host-nodes" in found and b.caps.has_feature("memory.prealloc-context"):
        context = f"tc-{piece.ident}"
        b.qom({"qom-type": "thread-context", "id": context, "node-affinity": found["host-nodes"]})
        found["prealloc-context"] = context


def cell_piece(b: Build, domain: Domain, number: int, size: int, access: str | None, discard: bool | None) -> Piece:
    """The memory of a NUMA cell."""
    backing = domain.memory_backing
    access = access or (backing.access if backing is not None else None)
    page = _page(b, backing, number)
    return Piece(f"ram-node{number}", _up(size, BLOCKS.get(b.caps.arch, MIB)), number, page, access, discard)


def plain_cells(b: Build, domain: Domain) -> bool:
    """Whether the cells of an old machine type may be given by size alone, as they were when it was new."""
    if not b.machine.sizes or domain.cpu is None:
        return False
    backing = domain.memory_backing or MemoryBacking()
    cells = domain.cpu.cells
    if backing.hugepages or backing.source in {"file", "memfd"} or backing.access or backing.allocation_threads:
        return False
    return not any(cell.mem_access or tuned(domain.numatune, cell.id)[1] for cell in cells)


def device(b: Build, x: MemoryDevice, domain: Domain) -> None:
    """A memory module and what is behind it."""
    piece = _piece(b, x, domain)
    ident = piece.ident
    meaningless(x, "current")
    if x.model == "sgx-epc":
        if not b.caps.has_object("memory-backend-epc"):
            b.refuse(x, "model", "use another QEMU", text=f"this QEMU ({b.caps.binary}) has no memory-backend-epc")
        b.qom({"qom-type": "memory-backend-epc", "id": ident, "prealloc": True, "size": piece.size} | _own_nodes(x))
        return
    if x.model == "virtio-mem":
        _growing(b, x, domain, piece)
        return
    file: dict[str, Any] = {}
    if x.model == "nvdimm":
        file = {"prealloc": True, "align": x.alignsize}
        if x.pmem:
            _needs(b, x, "pmem", "memory.pmem", "pmem")
            file["pmem"] = True
    back_end(b, domain, piece, file)
    if x.model == "virtio-pmem":
        b.device({**virtio(b, x, "virtio-pmem"), "memdev": ident})
        return
    place = x.address if isinstance(x.address, DimmAddress) else DimmAddress()
    meaningless(place)
    options: dict[str, Any] = {
        "driver": b.has(x, "model", "nvdimm" if x.model == "nvdimm" else "pc-dimm"),
        "node": x.node,
        "label-size": x.label_size if x.model == "nvdimm" else None,
        "uuid": x.uuid if x.model == "nvdimm" and b.caps.arch == "ppc64" else None,
        "unarmed": True if x.model == "nvdimm" and x.readonly else None,
        "memdev": ident,
        "id": x.alias,
        "slot": place.slot,
        "addr": place.base,
    }
    b.device(options)


def _piece(b: Build, x: MemoryDevice, domain: Domain) -> Piece:
    cells = {cell.id: cell for cell in domain.cpu.cells} if domain.cpu is not None else {}
    cell = cells.get(x.node)
    if x.node is not None and cells and cell is None:
        b.problem(x, "node", f"the guest has no NUMA cell {x.node}", f"use one of {sorted(one or 0 for one in cells)}")
    if x.model in {"nvdimm", "virtio-pmem"}:
        path = b.path(x, "path", x.path)
        page = 0
    else:
        path = ""
        page = _page(b, domain.memory_backing, x.node) if x.pagesize is None else _huge(x.pagesize)
    backing = domain.memory_backing or MemoryBacking()
    piece = Piece(
        f"mem{x.alias}", _up(x.size or 0, BLOCKS.get(b.caps.arch, MODULE)), x.node, page, nodes=x.nodemask, path=path
    )
    if not x.size:
        b.problem(x, "size", "the module has no size", "write <size unit='MiB'>512</size>")
    if x.model == "virtio-pmem":
        if x.access == "private":
            b.problem(x, "access", "what virtio-pmem shows is shared with the file", "write access='shared'")
        return replace(piece, access="shared")
    access = x.access or (cell.mem_access if cell is not None else None) or backing.access
    discard = x.discard if x.discard is not None else (cell.discard if cell is not None else None)
    return replace(piece, access=access, discard=discard)


def _own_nodes(x: MemoryDevice) -> dict[str, Any]:
    return {"host-nodes": sorted(x.nodemask), "policy": "bind"} if x.nodemask else {}


def _growing(b: Build, x: MemoryDevice, domain: Domain, piece: Piece) -> None:
    """A module that grows and shrinks while the guest runs."""
    backing = domain.memory_backing or MemoryBacking()
    back_end(b, domain, replace(piece, lazy=True))
    if x.requested is not None and x.requested > (x.size or 0):
        b.problem(x, "requested", f"is more than the {x.size} bytes of the module", "ask for less")
    options = virtio(b, x, "virtio-mem")
    options |= {
        "node": x.node,
        "block-size": x.block,
        "requested-size": x.requested,
        "memdev": piece.ident,
        "prealloc": True if piece.page or backing.allocation == "immediate" else None,
        "memaddr": x.target_base,
        "dynamic-memslots": x.dynamic_memslots,
    }
    b.device(options)


def iothreads(b: Build, domain: Domain) -> None:
    """Threads for I/O, and how many workers they have."""
    numbers = iothread_numbers(domain)
    if numbers and not b.caps.has_object("iothread"):
        field = "iothread_ids" if domain.iothreads is None else "iothreads"
        b.refuse(domain, field, "take it out", text=f"this QEMU ({b.caps.binary}) has no object iothread")
    pools = {x.id: _pool(b, x, x.thread_pool_min, x.thread_pool_max) for x in domain.iothread_ids}
    for number in numbers:
        b.qom({"qom-type": "iothread", "id": f"iothread{number}"} | pools.get(number, {}))
    main = _pool(b, domain, domain.default_iothread_pool_min, domain.default_iothread_pool_max)
    if main:
        if not b.caps.has_object("main-loop"):
            text = f"this QEMU ({b.caps.binary}) has no main-loop"
            b.refuse(domain, "default_iothread_pool_max", "take it out", text=text)
        b.qom({"qom-type": "main-loop", "id": "main-loop"} | main)


def iothread_numbers(domain: Domain) -> list[int]:
    """Numbers of the threads for I/O: those that are listed, and the lowest free ones up to their count."""
    numbers = [x.id for x in domain.iothread_ids if x.id is not None]
    free = (n for n in range(1, len(numbers) + (domain.iothreads or 0) + 1) if n not in numbers)
    missing = max(domain.iothreads or 0, len(domain.iothread_ids)) - len(numbers)
    return sorted([*numbers, *(next(free) for _ in range(missing))])


def _pool(b: Build, x: Any, least: int | None, most: int | None) -> dict[str, Any]:
    found = {"thread-pool-min": least, "thread-pool-max": most}
    found = {key: value for key, value in found.items() if value is not None}
    if found and not b.caps.has_feature("iothread.pool"):
        text = f"threads of this QEMU ({b.caps.binary}) have no thread-pool-max"
        b.refuse(x, "", "take the sizes of its pool out", text=text)
    return found


def _up(size: int, unit: int) -> int:
    return -(-size // unit) * unit
