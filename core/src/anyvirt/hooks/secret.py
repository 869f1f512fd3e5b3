"""Hooks of secrets: passphrases and keys that storage and guests need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from anyvirt.hooks.spec import spec

if TYPE_CHECKING:
    from anyvirt.auth import Secret
    from anyvirt.document import Document
    from anyvirt.model.secret import KeptSecret
    from anyvirt.model.values import SecretInfo
    from anyvirt.ref import Answer, Ref


class SecretSpec:
    """A definition says what a secret is for; its value is apart from it, and in no XML, argument or log.

    A secret's ref has its UUID as key, and as name what it is for: a volume's path, an iSCSI target, or a name.
    """

    @spec(
        "secret",
        covers={"virConnectListAllSecrets": (), "virConnectListSecrets": (), "virConnectNumOfSecrets": ()},
    )
    def secret_list(self) -> Iterator[Ref]:
        """Every secret, with and without a value."""

    @spec("secret", kind="bulk", covers={"virSecretGetXMLDesc": ()})
    def secret_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[KeptSecret]]]]:
        """Definition of each secret; the value is never in it."""

    @spec("secret", kind="bulk")
    def secret_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[SecretInfo]]]:
        """Whether each secret has a value, and who keeps it."""

    @spec("secret", access="write", covers={"virSecretDefineXML": ()})
    def secret_define(self, config: Document[KeptSecret]) -> Ref:
        """Store what a secret is for: new, or in place of the one with the same UUID, whose value stays.

        An ephemeral secret is kept in memory alone and is gone with the host's run.

        :raises Exists: where another secret is for the same thing.
        :raises Invalid: where it says another use, or whether it is private or ephemeral, than the one that is there.
        """

    @spec("secret", access="write", covers={"virSecretUndefine": ()})
    def secret_undefine(self, ref: Ref) -> None:
        """Remove a secret and its value."""

    @spec("secret", access="write", covers={"virSecretSetValue": ()})
    def secret_set_value(self, ref: Ref, value: Secret, keeper: str = "file") -> None:
        """Give a secret its value, in place of the one that it has.

        :param value: bytes that are no UTF-8 stand in it as Python's ``surrogateescape`` has them.
        :param keeper: ``file`` (mode 0600), ``keyring`` (the kernel's) or ``credential`` (encrypted by systemd); the
            value of an ephemeral secret stays in memory, and ``credential`` is refused for it.
        :raises Invalid: for an empty value, or a keeper that there is not.
        :raises Unsupported: where the host has no such keeper.
        """

    @spec("secret", access="secret", covers={"virSecretGetValue": ()})
    def secret_value(self, ref: Ref) -> Secret:
        """The value; refused on a read-only connection.

        :raises NotFound: (kind ``value``) where it has none.
        :raises Denied: where the secret is private: only this host's own storage and guests are given it.
        """
