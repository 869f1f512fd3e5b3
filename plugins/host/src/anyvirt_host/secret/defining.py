"""What a definition of a secret has to be, told before anything changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyvirt.api import Invalid, Problem, check_document

from anyvirt_host.secret.use import Use

if TYPE_CHECKING:
    from anyvirt.api import KeptSecret


def checked(model: KeptSecret) -> KeptSecret:
    """The definition with a UUID, and with nothing that is not known: what is unknown could hold a value.

    :raises Invalid: with every problem.
    """
    problems = check_document(model)
    if problems:
        raise Invalid(problems)
    from uuid import uuid4

    from anyvirt.api import KeptSecret

    return KeptSecret(
        ephemeral=model.ephemeral,
        private=model.private,
        uuid=model.uuid or str(uuid4()),
        description=model.description,
        usage_type=model.usage_type,
        usage_volume=model.usage_volume,
        usage_name=model.usage_name,
        usage_target=model.usage_target,
    )


def same_kind(before: KeptSecret, model: KeptSecret) -> None:
    """Refuse to make another secret out of one that is there.

    :raises Invalid: it would be for something else, or private or ephemeral where it was not.
    """
    problems = []
    hint = "undefine it first, which takes its value away, or leave the UUID out"
    if Use.of(before) != Use.of(model):
        text = f"the secret with this UUID is for {' '.join(Use.of(before)).strip()}"
        problems.append(Problem("config.conflict", "/usage", None, text, hint))
    for name in ("private", "ephemeral"):
        if bool(getattr(before, name)) != bool(getattr(model, name)):
            text = f"the secret with this UUID is {'' if getattr(before, name) else 'not '}{name}"
            problems.append(Problem("config.conflict", f"/@{name}", None, text, hint))
    if problems:
        raise Invalid(problems)
