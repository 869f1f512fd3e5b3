"""Documents that contract tests use where an author gives none."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr


def plain_guest(
    kind: str,
    name: str,
    *,
    uuid: str | None = None,
    title: str | None = None,
    memory: int = 64,
    disk: object = None,
    unknown: str = "",
) -> str:
    """A domain of type ``kind`` with one processor, a serial console and what is wished for."""
    parts = [f"<domain type={quoteattr(kind)}>", f"<name>{escape(name)}</name>"]
    parts += [f"<uuid>{uuid}</uuid>"] if uuid else []
    parts += [f"<title>{escape(title)}</title>"] if title else []
    parts += [f"<memory unit='MiB'>{memory}</memory>", "<vcpu>1</vcpu>", "<os><type>hvm</type></os>", unknown]
    parts.append("<devices>")
    if disk is not None:
        source, target = f"<source file={quoteattr(str(disk))}/>", "<target dev='vda' bus='virtio'/>"
        parts.append(f"<disk type='file' device='disk'><driver type='raw'/>{source}{target}</disk>")
    parts += ["<serial type='pty'/>", "<console type='pty'/>", "</devices>", "</domain>"]
    return "\n".join(part for part in parts if part)
