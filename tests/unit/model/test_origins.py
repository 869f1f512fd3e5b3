"""Every field of the reference has the place where its facts come from."""

from __future__ import annotations

import pytest
from anyvirt.model.origins import source_of
from anyvirt.model.reference import reference
from anyvirt.model.roots import ROOTS, class_of


@pytest.mark.parametrize(
    ("root", "path", "source"),
    [
        ("domain", "/name", "formatdomain.html#general-metadata"),
        ("domain", "/devices/disk/target/@dev", "formatdomain.html#hard-drives-floppy-disks-cdroms"),
        ("domain", "/devices/disk/address/@bus", "formatdomain.html#device-addresses"),
        ("disk", "/target/@dev", "formatdomain.html#hard-drives-floppy-disks-cdroms"),
        ("host interface", "/@name", "interface.rng"),
        ("volume", "/capacity", "formatstorage.html#storage-volume-xml"),
    ],
)
def test_a_path_has_its_page_and_the_part_of_it(root: str, path: str, source: str) -> None:
    assert source_of(root, path) == source


@pytest.mark.parametrize("root", sorted(ROOTS))
def test_no_device_is_left_with_the_general_part(root: str) -> None:
    sources = {source_of(root, row.path) for row in reference(class_of(root))}
    assert sources
    assert root == "domain" or "formatdomain.html#general-metadata" not in sources
    assert root == "domain" or "formatdomain.html#devices" not in sources
