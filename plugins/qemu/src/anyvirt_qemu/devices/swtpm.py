"""The emulator of trusted platform modules: how it is started, and how its state is made."""

from __future__ import annotations

import os
from typing import Final

from anyvirt.api import Tpm, meaningless, path_of

from anyvirt_qemu.planning.beside import FIRST_FD, EndUse, ProgramUse, StateUse
from anyvirt_qemu.planning.build import Build

PACKAGE: Final = "swtpm"
TOOLS: Final = "swtpm-tools"
CIPHER: Final = "aes-256-cbc"
FILES: Final = {"1.2": "tpm-00.permall", "2.0": "tpm2-00.permall"}  # as swtpm calls them
BANKS: Final = ("sha1", "sha256", "sha384", "sha512")
LISTENING, KEY, MIGRATION_KEY = FIRST_FD, FIRST_FD + 1, FIRST_FD + 2


def swtpm(b: Build, x: Tpm) -> str:
    """An emulator for this device; the path of its socket, for QEMU."""
    meaningless(x, "persistent_state", "shared_storage")  # for whoever undefines the domain
    version = x.version or "2.0"
    program = b.beside("swtpm")
    if f"tpm-{version}" not in program.can:
        b.refuse(x, "version", "use the other one", text=f"this swtpm ({program.path}) emulates no TPM {version}")
    secret = _secret(b, x)
    state = _state(b, x, version, encrypted=secret is not None)
    where = f"backend-uri=file://{state.file}" if x.source_type == "file" else "dir=."
    words = [program.path, "socket", "--tpmstate", f"{where},mode=0600"]
    words += ["--tpm2"] if version == "2.0" else []
    words += [] if x.debug is None else ["--log", f"level={x.debug}"]
    words += ["--ctrl", f"type=unixio,fd={LISTENING}", "--terminate"]
    fds = [EndUse(LISTENING, "listen")]
    if secret is not None:
        words += ["--key", f"pwdfd={KEY},mode={CIPHER}", "--migration-key", f"pwdfd={MIGRATION_KEY},mode={CIPHER}"]
        fds += [EndUse(KEY, "secret"), EndUse(MIGRATION_KEY, "secret")]
    socket = f"{x.alias}.sock"
    b.programs.append(
        ProgramUse(
            name="swtpm",
            package=PACKAGE,
            place=path_of(x),
            alias=x.alias or "",
            path=program.path,
            argv=tuple(words),
            socket=socket,
            cwd=state.folder,
            fds=tuple(fds),
            state=state,
            secret=secret or b"",
        )
    )
    return b.near(socket)


def _secret(b: Build, x: Tpm) -> bytes | None:
    if x.encryption is None:
        return None
    value = b.storage.secrets.get(str(x.encryption))
    if value is None:
        hint = "define the secret and give it a value, or take this out"
        b.refuse(x, "encryption", hint, text=f"no value is known here for the secret {x.encryption}")
    elif "cmdarg-pwd-fd" not in b.beside("swtpm").can:
        text = f"this swtpm ({b.beside('swtpm').path}) reads no passphrase from a descriptor"
        b.refuse(x, "encryption", "install a newer one, or take this out", text=text)
    return value


def _state(b: Build, x: Tpm, version: str, *, encrypted: bool) -> StateUse:
    """What swtpm_setup does in the folder of the state: once, and where PCR banks are chosen at each start."""
    setup = b.beside("swtpm_setup")
    folder, file = _place(b, x, version)
    common = [setup.path, "--tpm-state", f"file://{file}" if x.source_type == "file" else "."]
    common += ["--tpm2"] if version == "2.0" else []
    common += ["--config", setup.config] if setup.config else []
    common += ["--pwdfile-fd", str(KEY), "--cipher", CIPHER] if encrypted else []
    banks = [bank for bank in BANKS if getattr(x, bank)]
    chosen = ["--pcr-banks", ",".join(banks)] if banks else []
    if banks and version != "2.0":
        b.problem(x, banks[0], "a TPM 1.2 has one bank, of SHA-1", "leave <active_pcr_banks> out, or use version 2.0")
    elif banks and "cmdarg-reconfigure-pcr-banks" not in setup.can:
        text = f"this swtpm_setup ({setup.path}) changes no PCR banks"
        b.refuse(x, banks[0], "install a newer one, or leave <active_pcr_banks> out", text=text)
    made = ["--create-ek-cert", "--create-platform-cert", "--lock-nvram"]
    return StateUse(
        folder=folder,
        package=TOOLS,
        file=file,
        make=(*common, *made, *chosen, *_profile(b, x)),
        again=(*common, "--reconfigure", *chosen) if chosen else (),
        fds=(EndUse(KEY, "secret"),) if encrypted else (),
        config=setup.config,
    )


def _place(b: Build, x: Tpm, version: str) -> tuple[str, str]:
    """Folder and file of the state: its own, or those that the definition names."""
    file = FILES.get(version, "")
    meaningless(x, "source_mode")
    if x.source_type is None:
        return f"{b.paths.tpm or b.paths.guest}/{version}", file
    path = b.path(x, "source_path", x.source_path)
    if x.source_type == "dir":
        return path, file
    if x.source_type != "file":
        b.refuse(x, "source_type", "use dir or file", text="the state of an emulator is in a file or a folder")
    elif "nvram-backend-file" not in b.beside("swtpm").can:
        text = f"this swtpm ({b.beside('swtpm').path}) keeps no state in one file"
        b.refuse(x, "source_type", "use dir", text=text)
    folder, name = os.path.split(path)
    if "," in name or not name:
        b.problem(x, "source_path", "swtpm takes no comma in the name of a file, and needs a name", "choose another")
    return folder or "/", name


def _profile(b: Build, x: Tpm) -> list[str]:
    """What a new TPM is able to do."""
    meaningless(x, "profile_name")  # that which its source has
    if x.profile_source is None:
        meaningless(x, "profile_remove_disabled")
        return []
    if "cmdarg-profile" not in b.beside("swtpm_setup").can:
        text = f"this swtpm_setup ({b.beside('swtpm_setup').path}) knows no profiles"
        b.refuse(x, "profile_source", "install swtpm 0.10 or later, or leave <profile> out", text=text)
    words = ["--profile-name", x.profile_source]
    if x.profile_remove_disabled is not None:
        words += ["--profile-remove-disabled", x.profile_remove_disabled]
    return words
