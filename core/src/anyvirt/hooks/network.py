"""Hooks of virtual networks and host interfaces, as far as they are there yet: looking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from anyvirt.hooks.spec import spec

if TYPE_CHECKING:
    from anyvirt.document import Document
    from anyvirt.model.values import NetworkInfo
    from anyvirt.ref import Answer, Ref


class NetworkSpec:
    """Virtual networks that guests are plugged into, and the host's own interfaces."""

    @spec("network", covers={"virConnectListAllNetworks": (), "virNetworkLookupByName": ()})
    def network_list(self) -> Iterator[Ref]:
        """Every virtual network, active or not."""

    @spec("network", kind="bulk", covers={"virNetworkIsActive": (), "virNetworkGetBridgeName": ()})
    def network_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[NetworkInfo]]]:
        """State of each network."""

    @spec("network", kind="bulk", covers={"virNetworkGetXMLDesc": ()})
    def network_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Any]]]]:
        """Definition of each network."""

    @spec("interface", covers={"virConnectListAllInterfaces": (), "virInterfaceLookupByName": ()})
    def interface_list(self) -> Iterator[Ref]:
        """Every interface of the host; its MAC address is the ref's uuid label."""

    @spec("interface", kind="bulk", covers={"virInterfaceGetXMLDesc": ()})
    def interface_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Any]]]]:
        """Description of each interface."""

    @spec("interface", kind="bulk", covers={"virInterfaceIsActive": ()})
    def interface_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[NetworkInfo]]]:
        """State of each interface."""
