"""Where a live project reads what was chosen: `perdure.toml`, with its comments as they were."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import Any

from perdure.bench import presets
from perdure.errors import require
from perdure.live import files
from perdure.live.project import SETTINGS, Project, method_named
from perdure.live.settings import LearnerSettings, Settings
from perdure.tune.candidate import STAYS, Candidate


def configured(said: LearnerSettings, candidate: Candidate) -> LearnerSettings:
    """The settings with the candidate's methods and learning rate."""
    held = said.model_dump()
    if candidate.method != STAYS:
        held["methods"] = _methods(candidate.method, candidate.settings)
    return LearnerSettings(**{**held, "lr": candidate.lr})


def rewritten(text: str, candidate: Candidate) -> str:
    """`perdure.toml` with the candidate's methods and learning rate, all else as it was.

    Raises:
        InvalidValue: the text is no settings file.
        MissingExtra: tomlkit is not installed.
    """
    kit = require("tomlkit", "tune")
    before = Settings.parse(text)
    wanted = configured(before.learner, candidate)
    document = kit.parse(text)
    section = document.setdefault("learner", kit.table())
    if wanted.lr != before.learner.lr:
        section["lr"] = float(f"{wanted.lr:.4g}")
    if wanted.methods != before.learner.methods:
        section["methods"] = _inline(kit, wanted.methods)
    made: str = kit.dumps(document)
    Settings.parse(made)
    return made


def patch(directory: Path, candidate: Candidate) -> str:
    """What `write` would change, line by line; "" where that is nothing."""
    text = (directory / SETTINGS).read_text("utf-8")
    lines = text.splitlines(), rewritten(text, candidate).splitlines()
    return "\n".join(unified_diff(*lines, SETTINGS, SETTINGS, lineterm="", n=1))


def begins_anew(directory: Path, candidate: Candidate) -> bool:
    """Whether the champion's state belongs to other methods than the candidate's."""
    with Project(directory) as project:
        held = set(project.registry.load("champion")["methods"])
        wanted = configured(project.settings.learner, candidate).methods
    return held != {method_named(one).name for one in wanted}


def write(directory: Path, candidate: Candidate) -> None:
    """Rewrite the directory's `perdure.toml`, whole or not at all."""
    path = directory / SETTINGS
    made = rewritten(path.read_text("utf-8"), candidate)
    beside = path.with_name(f".{SETTINGS}.part")
    files.write_file(beside, made.encode())
    files.rename(beside, path)


def _methods(name: str, given: presets.Settings) -> list[dict[str, presets.Plain]]:
    """The method, after what stands beside it, each with the arguments that are its own."""
    preset = presets.find(name)
    beside = []
    for other in preset.beside:
        start = f"{other}."
        its = {key.removeprefix(start): given[key] for key in given if key.startswith(start)}
        beside += _methods(other, its)
    own = {key: value for key, value in given.items() if "." not in key}
    return [*beside, {"name": preset.make.__name__, **own}]


def _inline(kit: Any, said: tuple[dict[str, Any], ...]) -> Any:
    array = kit.array()
    for method in said:
        table = kit.inline_table()
        table.update({key: value for key, value in method.items() if value is not None})
        array.append(table)
    return array
