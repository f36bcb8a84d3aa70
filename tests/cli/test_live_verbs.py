"""The verbs of the live loop, on one project from `perdure init` to a release."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.live import tiny
from typer.testing import CliRunner

from perdure import cli
from perdure.live.project import Project

LOOP = ("init", "serve", "ingest", "label", "status", "drift", "update", "promote", "rollback")
CARE = ("eval", "diff", "freeze", "unfreeze", "erase", "fsck", "export", "track")
TOKENS = ("tokens create", "tokens list", "tokens revoke")
HEADER = "id,subject,temp [C],kind,returned\n"
READING = {
    "status": ("status",),
    "drift": ("drift",),
    "eval": ("eval",),
    "diff": ("diff", "previous", "champion"),
    "fsck": ("fsck",),
    "tokens": ("tokens", "list"),
}
WRITING = {
    "ingest": ("ingest", "{new}"),
    "label": ("label", "waits-0", "yes"),
    "update": ("update",),
    "promote": ("promote", "challenger"),
    "rollback": ("rollback", "--reason", "to see"),
    "freeze": ("freeze", "--reason", "to see"),
    "unfreeze": ("unfreeze",),
    "erase": ("erase", "--subject", "customer-1"),
    "export": ("export", "{new}.out"),
    "create": ("tokens", "create", "me", "--roles", "predict,admin"),
}
MISTAKES = {
    "status -C {}/nowhere": "perdure.toml is not there",
    "ingest {}/nowhere.csv": "nowhere.csv is not there",
    "label order-1": "give an id and a label",
    "label order-x yes": "no row with this id",
    "label order-x yes --dry-run": "no row with this id",
    "label --file {}/nowhere.csv": "nowhere.csv: No such file",
    "label --file {}/orders.csv": "must have the columns id and label",
    "promote 77": "there is no such version",
    "promote 1 --force --if-generation 0": "somebody else was faster",
    "promote 2 --force": "serves already",
    "diff 1 nobody": "there is no such version",
    "export {}/orders.csv": "exists",
    "tokens create me --roles king": "king",
    "tokens create me --roles king --dry-run": "king",
    "tokens revoke 0": "no live token",
    "tokens revoke 0 --dry-run": "no live token",
    "init {}/shop": "holds rows and versions already",
    "init {}/new --text --image": "rows are of one kind, and image and text were said",
    "serve --host 0.0.0.0": "token",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two versions that served, one that waits for a person, and unlabelled rows."""
    folder = tmp_path_factory.mktemp("cli")
    orders = written(folder / "orders.csv", "order", 120)
    invoked("init", str(folder / "shop"), "--sample", str(orders), "--label", "returned")
    said = (folder / "shop" / "perdure.toml").read_text("utf-8")
    said = (
        said.replace("min_rows = 30", "min_rows = 5")
        .replace("margin = 0.02", "margin = 0.9")
        .replace("max_bwt_drop = 0.05", "max_bwt_drop = 0.9")
    )
    said = said.replace("max_latency_ratio = 3.0", "max_latency_ratio = 1e9")
    (folder / "shop" / "perdure.toml").write_text(said, "utf-8")
    with tiny.quick_gate():
        for first, mode in ((0, "auto"), (200, "auto"), (400, "recommend")):
            held = said.replace('mode = "auto"', f'mode = "{mode}"')
            (folder / "shop" / "perdure.toml").write_text(held, "utf-8")
            written(folder / "more.csv", "order", 200, first)
            invoked("ingest", str(folder / "more.csv"), "-C", str(folder / "shop"))
            invoked("update", "-C", str(folder / "shop"), "--reason", "at first")
    written(folder / "waiting.csv", "waits", 3, label="")
    invoked("ingest", str(folder / "waiting.csv"), "-C", str(folder / "shop"))
    written(folder / "new.csv", "new", 9)
    return folder


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    """A copy of the project, to be changed."""
    return shutil.copytree(made / "shop", tmp_path / "shop")


def written(path: Path, name: str, count: int, first: int = 0, label: str | None = None) -> Path:
    """Orders as a CSV file: what came warm is returned."""
    lines = [HEADER]
    for number in range(first, first + count):
        warm = number % 2
        temperature = np.random.default_rng(number).normal(20 * warm, 3)
        returned = ("no", "yes")[warm] if label is None else label
        told = f"{name}-{number},customer-{number % 40},{temperature:.2f}"
        lines.append(f"{told},{'abc'[number % 3]},{returned}\n")
    path.write_text("".join(lines), "utf-8")
    return path


def invoke(*arguments: str):
    """Run a command in this process, as wide as no terminal is."""
    return CliRunner(env={"COLUMNS": "300", "TERM": "dumb"}).invoke(cli.app, list(arguments))


def invoked(*arguments: str) -> str:
    """What a command prints that must succeed."""
    done = invoke(*arguments)
    assert 0 == done.exit_code, (done.output, done.exception)
    return done.stdout


def digest(folder: Path) -> dict[str, str]:
    """Every file by its content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def mistake(capsys, monkeypatch, *arguments: str) -> str:
    """What a command says that must fail: one sentence on standard error, and exit code 2."""
    monkeypatch.setattr(sys, "argv", ["perdure", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, errors = capsys.readouterr()
    assert (2, "") == (end.value.code, out)
    assert errors.startswith("perdure: ")
    assert 1 == errors.count("\n")
    return errors


# -- what every verb has -------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [*LOOP, *CARE, *TOKENS])
def test_every_verb_teaches_by_example(verb: str) -> None:
    """`perdure VERB --help` shows a command that one can copy."""
    told = invoked(*verb.split(), "--help")
    examples = [line.strip() for line in told.partition("For example:")[2].splitlines()]
    assert sum(line.startswith(f"perdure {verb}") for line in examples) >= 1


def test_help_of_no_verb_waits_for_torch() -> None:
    """The answers come from the signatures."""
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom perdure import cli\n"
        f"for verb in {[*LOOP, *CARE, 'tokens']}:\n"
        "    assert not CliRunner().invoke(cli.app, [verb, '--help']).exit_code\n"
        "heavy = {'torch', 'numpy', 'fastapi', 'sqlite3'} & {*sys.modules}\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize("verb", READING)
def test_what_reads_says_json_alone_and_changes_nothing(made: Path, verb: str) -> None:
    """Standard output can be piped; for people there is a table or a sentence."""
    before = digest(made / "shop")
    json.loads(invoked(*READING[verb], "-C", str(made / "shop"), "--json"))
    assert invoked(*READING[verb], "-C", str(made / "shop")).strip()
    assert before == digest(made / "shop")


@pytest.mark.parametrize("verb", WRITING)
def test_a_dry_run_writes_nothing(made: Path, verb: str) -> None:
    """Not a byte of the directory is another one, and it says what would be done."""
    arguments = [one.format(new=made / "new.csv") for one in WRITING[verb]]
    before = digest(made)
    json.loads(invoked(*arguments, "-C", str(made / "shop"), "--dry-run", "--json"))
    assert invoked(*arguments, "-C", str(made / "shop"), "--dry-run").strip()
    assert before == digest(made)


@pytest.mark.parametrize("verb", WRITING)
def test_what_writes_says_json_alone(made: Path, shop: Path, verb: str) -> None:
    """And does what the dry run only said."""
    arguments = [one.format(new=made / "new.csv") for one in WRITING[verb]]
    before = digest(shop)
    with tiny.quick_gate():
        json.loads(invoked(*arguments, "-C", str(shop), "--json"))
    assert before != digest(shop) or verb in ("unfreeze", "export")


@pytest.mark.parametrize("typed", MISTAKES)
def test_a_mistake_is_one_sentence(made: Path, monkeypatch, capsys, typed: str) -> None:
    """With exit code 2, on standard error, naming what was wrong."""
    monkeypatch.setenv("PERDURE_DIRECTORY", str(made / "shop"))
    before = digest(made / "shop")
    assert MISTAKES[typed] in mistake(capsys, monkeypatch, *typed.format(made).split())
    assert before == digest(made / "shop")


def test_a_wrong_row_is_named_by_its_place_in_the_file(
    shop: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    """However the file was cut in pieces on the way."""
    lines = written(tmp_path / "wrong.csv", "wrong", 1300).read_text("utf-8").splitlines()
    lines[1201] = re.sub(r",[-.0-9]+,", ",warm,", lines[1201])
    (tmp_path / "wrong.csv").write_text("\n".join(lines), "utf-8")
    said = mistake(capsys, monkeypatch, "ingest", str(tmp_path / "wrong.csv"), "-C", str(shop))
    assert "row 1200: 'temp [C]' is 'warm'" in said


# -- one by one ----------------------------------------------------------------------------------


def test_init_says_what_it_found_brackets_included(tmp_path: Path) -> None:
    """Names of columns are names, whatever they look like; a dry run makes no directory."""
    (tmp_path / "some.csv").write_text("length,back [y/n]\n1,yes\n2,no\n", "utf-8")
    arguments = ["init", str(tmp_path / "new"), "--sample", str(tmp_path / "some.csv")]
    arguments += ["--label", "back [y/n]"]
    told = invoked(*arguments, "--dry-run")
    assert "'back [y/n]' is the label" in told
    assert "would write" in told
    assert not (tmp_path / "new").exists()
    held = json.loads(invoked(*arguments, "--json"))
    assert "table" == held["schema"]["kind"]
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert {"perdure.toml", "model.py", "README.md"} == names


@pytest.mark.parametrize(
    ("flag", "kind"), [("--text", "text"), ("--image", "image"), ("--tabular", "table")]
)
def test_the_kind_of_rows_may_be_a_flag(tmp_path: Path, flag: str, kind: str) -> None:
    """As short as it gets; `--scratch` takes no pretrained encoder, installed or not."""
    held = json.loads(invoked("init", str(tmp_path / "new"), flag, "--scratch", "--json"))
    assert kind == held["schema"]["kind"]
    assert "learns everything from your rows" in held["said"][-1]
    assert "encoder(" not in (tmp_path / "new" / "model.py").read_text("utf-8") or kind == "table"


def test_the_same_file_every_night_adds_what_is_new(made: Path, shop: Path, tmp_path: Path) -> None:
    """New rows are stored, the others are there; a label that was filled in since joins its row."""
    file = written(tmp_path / "night.csv", "night", 4, label="")
    told = json.loads(invoked("ingest", str(file), "-C", str(shop), "--json"))
    assert {"rows": 4, "stored": 4, "duplicate": 0, "labelled": 0} == told
    lines = file.read_text("utf-8").splitlines()
    lines[1] += "yes"
    lines[3] += "no"
    more = written(tmp_path / "more.csv", "night", 2, first=4).read_text("utf-8").splitlines()[1:]
    file.write_text("\n".join([*lines, *more]), "utf-8")
    told = json.loads(invoked("ingest", str(file), "-C", str(shop), "--json"))
    assert {"rows": 6, "stored": 2, "duplicate": 4, "labelled": 2} == told
    again = invoked("ingest", str(file), "-C", str(shop))
    assert "6 rows read, 0 stored, 6 were there\n" == again
    with Project(shop) as project:
        found = project.database.read(
            "SELECT id, name FROM rows JOIN examples USING (position) JOIN classes USING (label)"
            " WHERE id LIKE 'night-%' ORDER BY id"
        )
    names = {row["id"]: row["name"] for row in found}
    assert {"night-0": "yes", "night-2": "no", "night-4": "no", "night-5": "yes"} == names


def test_a_label_that_contradicts_the_one_before_is_no_late_label(
    made: Path, shop: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    """`perdure label` revises on purpose; a file does not."""
    file = written(tmp_path / "again.csv", "order", 2, label="yes")
    said = mistake(capsys, monkeypatch, "ingest", str(file), "-C", str(shop))
    assert "a new label of an old row to labels" in said
    assert "revised" in invoked("label", "order-0", "yes", "-C", str(shop))


def test_labels_come_from_a_file(shop: Path, tmp_path: Path) -> None:
    """With the columns id and label, whatever else there is."""
    (tmp_path / "late.csv").write_text("label,why,id\nyes,-,waits-0\nno,-,waits-1\n", "utf-8")
    said = ("label", "--file", str(tmp_path / "late.csv"), "-C", str(shop))
    assert "2 joined" in invoked(*said)
    assert ["duplicate"] * 2 == [one["status"] for one in json.loads(invoked(*said, "--json"))]


def test_an_anchor_is_pinned_and_never_learnt(shop: Path, tmp_path: Path) -> None:
    """Its rows are counted and sealed; the same rows cannot be ingested afterwards."""
    mine = written(tmp_path / "anchor.csv", "mine", 12)
    assert "12 rows would be" in invoked("anchor", str(mine), "-C", str(shop), "--dry-run")
    said = json.loads(invoked("anchor", str(mine), "-C", str(shop), "--json"))
    assert (12, 64) == (said["rows"], len(said["digest"]))
    done = invoke("ingest", str(mine), "-C", str(shop))
    assert "pinned in the anchor" in str(done.exception)


def test_status_shows_brackets_and_warnings_as_they_are(made: Path, shop: Path) -> None:
    """What stands in brackets is no markup."""
    invoked("ingest", str(made / "new.csv"), "-C", str(shop))
    said = (shop / "perdure.toml").read_text("utf-8").replace("count = 500", "# count = 500")
    (shop / "perdure.toml").write_text(said, "utf-8")
    assert "[triggers] in perdure.toml" in invoked("status", "-C", str(shop))
    invoked("freeze", "--reason", "an [outage] upstream", "-C", str(shop))
    assert "! frozen by operator: an [outage] upstream" in invoked("status", "-C", str(shop))
    assert "[outage]" in invoked("unfreeze", "-C", str(shop), "--dry-run")
    invoked("unfreeze", "-C", str(shop))
    assert "outage" not in invoked("status", "-C", str(shop))


def test_an_update_that_the_gate_refuses_ends_with_1(made: Path, shop: Path) -> None:
    """Its rows are set aside; released, they are tried once more, but for one source's."""
    said = (shop / "perdure.toml").read_text("utf-8")
    (shop / "perdure.toml").write_text(said.replace("# max_step = 0.5", "max_step = 1e-9"), "utf-8")
    invoked("ingest", str(made / "new.csv"), "-C", str(shop))
    with tiny.quick_gate():
        done = invoke("update", "-C", str(shop))
        assert (1, True) == (done.exit_code, "refuse: version 4" in done.stdout)
        with Project(shop) as project:
            aside = project.log.count(0, use="quarantine")
        assert aside >= 9
        done = invoke("update", "--release", "--but", "file", "-C", str(shop), "--json")
        with Project(shop) as project:
            assert aside == project.log.count(0, use="quarantine")
        assert "there are no labelled rows to learn" in json.loads(done.stdout)["job"]["error"]
        assert 2 == done.exit_code
        done = invoke("update", "--release", "-C", str(shop), "--json")
        assert (1, "refuse") == (done.exit_code, json.loads(done.stdout)["verdict"]["word"])


def test_a_version_that_the_gate_refused_is_promoted_by_force_alone(shop: Path) -> None:
    """Exit code 1 says that it was not."""
    with Project(shop) as project:
        sql = "UPDATE versions SET state = 'refused' WHERE version = 3"
        project.database.transact(lambda c: c.execute(sql))
    done = invoke("promote", "3", "-C", str(shop))
    assert (1, True) == (done.exit_code, "--force" in done.stdout)
    assert "version 3 serves" in invoked("promote", "3", "--force", "-C", str(shop))
    assert "version 2 would serve again" in invoked(
        "rollback", "--reason", "x", "-C", str(shop), "--dry-run"
    )
    assert "version 2 serves again" in invoked("rollback", "--reason", "x", "-C", str(shop))
    with Project(shop) as project:
        found = project.database.read("SELECT actor, action FROM audit ORDER BY id DESC LIMIT 2")
    assert [("operator", "rollback"), ("operator", "promote")] == [tuple(row) for row in found]


def test_a_subject_is_erased_and_a_receipt_given(shop: Path) -> None:
    """The dry run counts what would go."""
    said = ("erase", "--subject", "customer-3", "-C", str(shop), "--json")
    planned, done = json.loads(invoked(*said, "--dry-run")), json.loads(invoked(*said))
    assert planned["rows"] == done["rows"] > 0
    with Project(shop) as project:
        assert not project.database.value("SELECT count(*) FROM rows WHERE subject = 'customer-3'")
    assert "clean" in invoked("fsck", "-C", str(shop))


def test_fsck_ends_with_2_where_something_is_damaged(shop: Path) -> None:
    """And says what and where."""
    path = next((shop / "versions" / "1").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x00\x01")
    done = invoke("fsck", "-C", str(shop), "--json")
    assert 2 == done.exit_code
    assert "damaged" in {one["severity"] for one in json.loads(done.stdout)}


def test_a_release_holds_what_its_checksums_say(made: Path, shop: Path, tmp_path: Path) -> None:
    """Weights, settings and model, and a file that lists them."""
    said = json.loads(invoked("export", str(tmp_path / "out"), "-C", str(shop), "--json"))
    for name, expected in said["files"].items():
        assert expected == hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest()


def test_a_token_is_shown_once(shop: Path) -> None:
    """Listed without its secret; revoked, it is dead."""
    text = invoked("tokens", "create", "me", "--roles", "predict", "-C", str(shop)).strip()
    assert text.startswith("pdr_")
    listed = json.loads(invoked("tokens", "list", "-C", str(shop), "--json"))
    assert ["me"] == [one["name"] for one in listed]
    assert text.split("_")[2] not in json.dumps(listed)
    assert "would be revoked" in invoked(
        "tokens", "revoke", listed[0]["id"], "-C", str(shop), "--dry-run"
    )
    invoked("tokens", "revoke", listed[0]["id"], "-C", str(shop))
    assert json.loads(invoked("tokens", "list", "-C", str(shop), "--json"))[0]["revoked"]


def test_rows_come_from_whom_the_file_or_the_option_names(shop: Path, tmp_path: Path) -> None:
    """A column called source goes before the option."""
    lines = written(tmp_path / "told.csv", "told", 2).read_text("utf-8").splitlines()
    with_source = [
        f"{line},{source}" for line, source in zip(lines, ("source", "web", ""), strict=True)
    ]
    (tmp_path / "told.csv").write_text("\n".join(with_source), "utf-8")
    invoked("ingest", str(tmp_path / "told.csv"), "--source", "branch", "-C", str(shop))
    with Project(shop) as project:
        found = project.database.read("SELECT source FROM rows WHERE id LIKE 'told-%' ORDER BY id")
    assert ["web", "branch"] == [row["source"] for row in found]


def test_several_files_are_counted_together(shop: Path, tmp_path: Path) -> None:
    """And a directory may be named by a variable of the environment."""
    files = [str(written(tmp_path / f"{name}.csv", name, 3)) for name in ("one", "two")]
    runner = CliRunner(env={"PERDURE_DIRECTORY": str(shop), "COLUMNS": "300"})
    done = runner.invoke(cli.app, ["ingest", *files, "--json"])
    assert (6, 6) == tuple(json.loads(done.stdout)[name] for name in ("rows", "stored"))


def test_a_narrow_terminal_cuts_nothing(shop: Path) -> None:
    """An id that is needed to revoke a token goes on in the next line."""
    invoked("tokens", "create", "me", "--roles", "admin", "-C", str(shop))
    runner = CliRunner(env={"COLUMNS": "50", "TERM": "dumb"})
    done = runner.invoke(cli.app, ["tokens", "list", "-C", str(shop)])
    assert 0 == done.exit_code
    assert "…" not in done.stdout


@pytest.mark.parametrize("why", ["frozen by operator: wait", "the mode is observe"])
def test_an_update_that_may_not_begin_says_so(made: Path, shop: Path, why: str) -> None:
    """With exit code 2, and no version more."""
    invoked("ingest", str(made / "new.csv"), "-C", str(shop))
    if "frozen" in why:
        invoked("freeze", "--reason", "wait", "-C", str(shop))
    else:
        said = (shop / "perdure.toml").read_text("utf-8")
        (shop / "perdure.toml").write_text(said.replace('"recommend"', '"observe"', 1), "utf-8")
    done = invoke("update", "-C", str(shop))
    assert (2, True) == (done.exit_code, why in done.stdout)
    with Project(shop) as project:
        assert 3 == project.registry.last().version


def test_a_dry_run_of_an_update_counts_what_the_champion_lacks(made: Path) -> None:
    """The rows of a version that waits for a person are among them."""
    told = json.loads(invoked("update", "--dry-run", "--json", "-C", str(made / "shop")))
    with Project(made / "shop") as project:
        assert project.log.count(project.registry.champion().upto) == told["new"]


def test_versions_are_shown_beside_their_aliases(made: Path) -> None:
    """For people: a table a verb, with a line for each version and column for each span."""
    shown = invoked("status", "-C", str(made / "shop"))
    lines = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert lines["1"].rstrip().endswith("previous")
    assert lines["2"].rstrip().endswith("champion")
    assert lines["3"].rstrip().endswith("challenger")
    assert "recommend" in lines["model"]
    matrix = invoked("eval", "-C", str(made / "shop")).splitlines()
    assert ["1", "2", "3"] == [line.split()[0] for line in matrix[4:7]]


@pytest.mark.slow
def test_serve_says_where_and_ends_by_ctrl_c(shop: Path) -> None:
    """With exit code 0."""
    command = [sys.executable, "-m", "perdure", "serve", "--port", "0", "--no-updater"]
    process = subprocess.Popen([*command, "-C", str(shop)], stdout=subprocess.PIPE, text=True)
    with process:
        assert "shown this once" in process.stdout.readline()
        said = process.stdout.readline()
        url = re.fullmatch(r"serving 'shop' at (http://127\.0\.0\.1:\d+)\n", said).group(1)
        with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
            assert 200 == client.get(f"{url}/v2/health/live", timeout=30).status_code
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(20)


def test_a_database_that_is_damaged_is_one_sentence(capsys, monkeypatch, tmp_path: Path) -> None:
    """And no traceback."""
    tiny.written(tmp_path)
    (tmp_path / "perdure.db").write_bytes(b"no database" * 1000)
    said = mistake(capsys, monkeypatch, "status", "-C", str(tmp_path))
    assert "the database says: file is not a database; see `perdure fsck`" in said
