"""The driver: ``esx://`` for a host, ``vpx://`` for a vCenter."""

from __future__ import annotations

from anyvirt.api import Host, Uri, impl

from anyvirt_esx.address import Address
from anyvirt_esx.connect import Line
from anyvirt_esx.domains import Domains
from anyvirt_esx.events import Events
from anyvirt_esx.inventory import Inventory
from anyvirt_esx.node import Node
from anyvirt_esx.power import Power
from anyvirt_esx.tasks import Tasks


class Esx(Node, Domains, Power, Events):
    """One connection: one session, one place of the inventory."""

    def __init__(self, line: Line, inventory: Inventory) -> None:
        self.line, self.inventory, self.tasks = line, inventory, Tasks(line)


@impl
def connect_open(uri: Uri, host: Host) -> Esx:
    """Open the server that the URI names; the distribution's page has what a URI may say."""
    address = Address.of(uri)
    line = Line(address, uri, host.auth)
    try:
        line.open()
        return Esx(line, Inventory(line, address.place))
    except BaseException:
        line.close()
        raise
