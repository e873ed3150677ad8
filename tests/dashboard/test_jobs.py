"""Runs as processes: real ones, started, watched, cancelled, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from dashboard import jobs
from dashboard.components import background
from dashboard.run_request import RunRequest
from lsi_engine.cli.compute.commands import plan
from lsi_engine.errors import InputError
from lsi_engine.files import write_json
from lsi_engine.runs.artefacts.projection import map_folder, project
from lsi_engine.runs.config import RunConfig, write_config
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import HEARTBEAT_SECONDS, RunStatus, RunStore

PATIENCE_SECONDS = 120


def asked(*arguments: str) -> RunConfig:
    """What ``lsi compute`` with these arguments asks for."""
    (config,) = plan(arguments)
    return config


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "cache")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} s for {what}"
        time.sleep(0.05)


def pid_of(store: RunStore, name: str) -> int:
    return int(json.loads((store.path(name) / "job.json").read_text())["pid"])


def large_features(path: Path) -> Path:
    """Features whose scoring takes a few seconds, so that there is something to interrupt."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 8_000)
    features = random.normal(size=(8_000, 120)).astype(np.float32) + labels[:, None] * 0.05
    np.savez(path, features=features, labels=labels)
    return path


def test_a_started_run_finishes_on_its_own_and_says_what_it_did(store: RunStore) -> None:
    assert jobs.start(asked("digits", "--name", "mine"), store) == "mine"
    assert jobs.job(store.path("mine")).active
    with pytest.raises(InputError, match="already going"):
        jobs.start(asked("digits", "--name", "mine"), store)
    child = psutil.Process(pid_of(store, "mine"))
    assert os.getsid(child.pid) == child.pid, "the process must lead its own session to outlive this one"
    wait_for(lambda: not jobs.job(store.path("mine")).active, "the run to finish")
    finished = jobs.job(store.path("mine"))
    assert (finished.state, finished.arguments) == ("done", asked("digits", "--name", "mine").model_dump(mode="json"))
    wait_for(lambda: "1,797 samples" in finished.log_tail(), "its last words, printed after the state is written")
    assert len(store.open("mine").scores()) == 1797
    with pytest.raises(InputError, match="finished run"):
        jobs.start(asked("digits", "--name", "mine"), store)


def test_cancelling_stops_a_run_and_resuming_finishes_it(store: RunStore, tmp_path: Path) -> None:
    file = large_features(tmp_path / "large.npz")
    jobs.start(asked("features", "--name", "large", "--hessian", "full", str(file)), store)
    folder = store.path("large")
    wait_for(lambda: jobs.job(folder).status.state == "running", "the engine to report")
    jobs.cancel("large", store)
    wait_for(lambda: not jobs.job(folder).active, "the run to stop")
    assert jobs.job(folder).state == "cancelled"
    assert not (folder / "scores.parquet").exists()
    jobs.resume("large", store)
    wait_for(lambda: not jobs.job(folder).active, "the resumed run to finish")
    assert jobs.job(folder).state == "done", jobs.job(folder).log_tail()


def test_cancelling_before_the_engine_reports_ends_the_process(store: RunStore) -> None:
    jobs.start(asked("digits", "--name", "early"), store)
    pid = pid_of(store, "early")
    jobs.cancel("early", store)
    wait_for(lambda: not psutil.pid_exists(pid), "the process to end")
    assert jobs.job(store.path("early")).state in ("cancelled", "done")
    assert not (store.path("early") / "cancel").exists()


def test_a_run_that_cannot_start_fails_with_the_engines_own_words(store: RunStore, tmp_path: Path) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"not an archive")
    jobs.start(asked("features", "--name", "broken", str(broken)), store)
    wait_for(lambda: not jobs.job(store.path("broken")).active, "the failure to be noticed")
    failed = jobs.job(store.path("broken"))
    assert failed.state == "failed"
    assert "broken.npz" in failed.status.message
    assert "Traceback" not in failed.log_tail()


def test_a_source_that_does_not_exist_is_a_failure_too(store: RunStore) -> None:
    jobs.start(RunConfig(name="odd", source={"kind": "crystal ball"}), store)
    wait_for(lambda: not jobs.job(store.path("odd")).active, "the failure to be noticed")
    failed = jobs.job(store.path("odd"))
    assert failed.state == "failed"
    assert failed.status.message
    assert "odd" in [job.name for job in jobs.jobs(store)], "a run without a config must not vanish"


def test_runs_wait_their_turn_and_outlive_whoever_asked_for_them(store: RunStore) -> None:
    """Server, keeper of the queue and running job are all killed outright: nothing is lost, and the rest goes on."""
    long = asked("digits", "--name", "long", "--method", "retrain", "--rows", "64", "--epochs", "300")
    configs = [long.model_dump_json()]
    configs += [asked("breast-cancer", "--name", name).model_dump_json() for name in ("dropped", "next")]
    code = f"""if True:
        import time
        from dashboard import jobs
        from lsi_engine.runs.config import RunConfig
        for text in {configs!r}:
            jobs.start(RunConfig.model_validate_json(text))
        print("asked", flush=True)
        time.sleep(60)
    """
    environment = os.environ | {"LSI_CACHE": str(store.cache)}
    server = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == b"asked\n"
    server.kill()
    server.wait()
    server.stdout.close()
    assert [job.name for job in jobs.waiting(store)] == ["dropped", "next"]
    assert jobs.job(store.path("next")).state == "waiting"
    with pytest.raises(InputError, match="going or waiting"):
        jobs.start(asked("digits", "--name", "next"), store)
    jobs.cancel("dropped", store)
    assert jobs.job(store.path("dropped")).state == "cancelled"
    wait_for(lambda: jobs.job(store.path("long")).status.state == "running", "the first run to report")
    for keeper in keepers(store):
        keeper.kill()
        keeper.wait()
    os.kill(pid_of(store, "long"), signal.SIGKILL)
    wait_for(lambda: not jobs.job(store.path("long")).active, "the killed run to be noticed")
    assert [job.name for job in jobs.waiting(store)] == ["next"]
    jobs.keep_queue(store)
    wait_for(lambda: jobs.job(store.path("next")).state == "done", "the queue to end")
    assert not (store.path("dropped") / "config.json").exists()
    jobs.resume("long", store)
    wait_for(lambda: not jobs.job(store.path("long")).active, "the killed run to finish")
    assert jobs.job(store.path("long")).state == "done", jobs.job(store.path("long")).log_tail()
    wait_for(lambda: not keepers(store), "the keeper of an empty queue to go")


def keepers(store: RunStore) -> list[psutil.Process]:
    """The processes that see to the queue of ``store``."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        if "dashboard.jobs" in (process.info["cmdline"] or []):
            found += [process] if (process.info["environ"] or {}).get("LSI_CACHE") == str(store.cache) else []
    return found


def test_a_killed_run_is_seen_as_stalled(store: RunStore, tmp_path: Path) -> None:
    file = large_features(tmp_path / "large.npz")
    jobs.start(asked("features", "--name", "killed", "--hessian", "full", str(file)), store)
    folder = store.path("killed")
    wait_for(lambda: jobs.job(folder).status.state == "running", "the engine to report")
    os.kill(pid_of(store, "killed"), signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(pid_of(store, "killed")), "the process to be gone")
    # What a heartbeat looks like once three of them were missed, without waiting for it.
    status = store.open("killed").status
    write_json(folder / "status.json", status.model_copy(update={"heartbeat": time.time() - 4 * HEARTBEAT_SECONDS}))
    stalled = jobs.job(folder)
    assert (stalled.state, stalled.active) == ("stalled", False)


def test_a_run_from_a_terminal_is_listed_but_not_resumed_here(store: RunStore) -> None:
    folder = store.path("theirs")
    write_json(folder / "config.json", {"name": "theirs", "source": {"kind": "digits"}})
    write_json(folder / "status.json", RunStatus(state="cancelled", started=1.0))
    listed = jobs.jobs(store)
    assert [(job.name, job.state, job.arguments) for job in listed] == [("theirs", "cancelled", None)]
    with pytest.raises(InputError, match="terminal"):
        jobs.resume("theirs", store)


def test_what_happened_last_is_listed_first(store: RunStore) -> None:
    times = {"long": (1.0, 9.0), "next": (3.0, 4.0), "going": (5.0, None), "b": (2.0, 2.5), "a": (1.5, 2.5)}
    for name, (started, finished) in times.items():
        write_config(store.path(name), RunConfig(name=name, source={"kind": "digits"}))
        write_json(store.path(name) / "status.json", RunStatus(state="cancelled", started=started, finished=finished))
    assert [job.name for job in jobs.jobs(store)] == ["long", "going", "next", "a", "b"]


def test_the_last_state_of_a_redrawn_bar_is_what_the_log_shows(store: RunStore) -> None:
    folder = store.path("bars")
    folder.mkdir(parents=True)
    (folder / "log.txt").write_bytes(b"fit 1%\rfit 50%\rfit 100%\nlast line\xff\n")
    shown = jobs.Job("bars", folder, RunStatus(), None).log_tail()
    assert shown.splitlines() == ["fit 100%", "last line\N{REPLACEMENT CHARACTER}"]


def images(tmp_path: Path) -> RunRequest:
    (tmp_path / "films").mkdir()
    return RunRequest(kind="images", name="films", path=str(tmp_path / "films"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": ""}, "give a path"),
        ({"path": "nowhere/at/all"}, "is not there"),
        ({"path": sys.executable}, "is a file, not a folder"),
        ({"name": ""}, "give the run a name"),
        ({"name": "../up"}, "cannot name a run"),
        ({"name": "taken"}, "finished run called 'taken'"),
        ({"label_pattern": "("}, "not a regular expression"),
        ({"label_pattern": "virus"}, "has no (group)"),
        ({"weights": "nowhere.safetensors"}, "is not there"),
        ({"labels_csv": "nowhere.csv"}, "is not there"),
        ({"settings": {"weight_decay": 0.0}}, "needs a positive"),
        ({"settings": {"method": "retrain", "probe": 8, "hessian": "kron"}}, "choose 'diag' or 'full'"),
        ({"settings": {"method": "retrain", "score_epochs": "1, x"}}, "give whole numbers"),
        ({"settings": {"method": "closed_form", "seeds": 2}}, "depends on no seed"),
        ({"settings": {"left_out": "many"}}, "how many rows"),
        ({"settings": {"prior_precision": "lots"}}, "give a number"),
        ({"settings": {"groups": "near_duplicates", "hessian": "kron"}}, "scored with hessian 'diag' or 'full'"),
        ({"kind": "dicom", "labels_csv": sys.executable, "label_field": "ViewPosition"}, "leave one of the two empty"),
        ({"corruptions": ({"kind": "outliers"},)}, "folder is missing"),
        ({"corruptions": ({"kind": "outliers", "folder": "nowhere"},)}, "is not there"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_before_anything_starts(
    store: RunStore, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    taken = store.path("taken")
    taken.mkdir(parents=True)
    (taken / "scores.parquet").touch()
    good = images(tmp_path)
    assert good.problems(store) == []
    bad = RunRequest(**(vars(good) | change))
    assert len(bad.problems(store)) == 1
    assert said in bad.problems(store)[0]


def test_a_request_becomes_a_run(store: RunStore, tmp_path: Path) -> None:
    file = tmp_path / "-odd name.npz"
    random = np.random.default_rng(0)
    np.savez(file, features=random.normal(size=(60, 4)), labels=np.repeat(["a", "b"], 30))
    flips = {"kind": "flip_labels", "rate": 0.1, "seed": 3, "classes": ["a"]}
    request = RunRequest(
        kind="features", name="odd", path=str(file), corruptions=(flips,), settings={"hessian": "full"}
    )
    assert request.problems(store) == []
    jobs.start(request.config(), store)
    wait_for(lambda: not jobs.job(store.path("odd")).active, "the run to finish")
    config = store.open("odd").config
    assert jobs.job(store.path("odd")).state == "done", jobs.job(store.path("odd")).log_tail()
    assert (config.hessian, config.corruption) == ("full", [flips])


def test_a_request_is_what_the_command_line_would_ask_for(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "captions.csv").write_text("file,caption\n")
    for request, arguments in (
        (
            RunRequest(kind="images", name="r", path=str(films), label_pattern="-(a|b)", label_default="--c"),
            ["images", "--name=r", "--label-pattern=-(a|b)", "--label-default=--c", str(films)],
        ),
        (
            RunRequest(kind="pneumonia", name="r", path=str(films), split="test"),
            ["pneumonia", "--name=r", "--split=test", str(films)],
        ),
        (RunRequest(kind="cifar10", name="r", path=str(films)), ["cifar10", "--name=r", str(films)]),
        (
            RunRequest(kind="cifar100", name="r", path=str(films), split="test"),
            ["cifar100", "--name=r", "--split=test", str(films)],
        ),
        (
            RunRequest(kind="imagewoof", name="r", path=str(films), backbone="pixels"),
            ["imagewoof", "--name=r", "--backbone=pixels", str(films)],
        ),
        (
            RunRequest(kind="dicom", name="r", path=str(films), label_field=" ViewPosition "),
            ["dicom", "--name=r", "--label-field=ViewPosition", str(films)],
        ),
        (
            RunRequest(kind="texts", name="r", path=str(films), split="train", text_column="body", encoder="minilm"),
            ["texts", "--name=r", "--split=train", "--text-column=body", "--encoder=minilm", str(films)],
        ),
        (
            RunRequest(kind="features", name="r", path="x.npz", class_names="cat, dog", images=str(films)),
            ["features", "--name=r", "--class-names=cat, dog", f"--images={films}", "x.npz"],
        ),
        (
            RunRequest(
                kind="pairs",
                name="r",
                path=str(films / "captions.csv"),
                images=str(films),
                encoder="minilm",
                settings={"weight_decay": 0.3, "learning_rate": 0.005, "feature_scaling": "unit"},
            ),
            ["pairs", "--name=r", f"--images={films}", str(films / "captions.csv")],
        ),
        (
            RunRequest(
                kind="digits",
                name="r",
                settings={
                    "method": "retrain",
                    "probe": 8,
                    "left_out": " 5 % ",
                    "prior_precision": "1.0",
                    "score_epochs": "10, 20",
                    "device": "",
                },
            ),
            [
                *("digits", "--name=r", "--method=retrain", "--hidden=8", "--rows=0.05", "--prior-precision=1.0"),
                "--score-epochs=10,20",
            ],
        ),
        (
            RunRequest(kind="digits", name="r", settings={"loo_prior": "fixed"}),
            ["digits", "--name=r", "--loo-prior=fixed"],
        ),
    ):
        assert request.config() == asked(*arguments), request.kind


def test_a_job_of_an_earlier_version_is_resumed_from_its_configuration(store: RunStore) -> None:
    config = asked("breast-cancer", "--name", "old")
    folder = store.path("old")
    write_config(folder, config)
    write_json(folder / "status.json", RunStatus(state="cancelled"))
    write_json(
        folder / "job.json", {"command": "compute", "arguments": ["breast-cancer", "--name", "old"], "asked": 1.0}
    )
    jobs.resume("old", store)
    wait_for(lambda: not jobs.job(store.path("old")).active, "the run to finish")
    assert jobs.job(store.path("old")).state == "done", jobs.job(store.path("old")).log_tail()


def test_a_damaged_or_newer_run_is_listed_with_its_reason_and_hides_no_other(store: RunStore) -> None:
    write_config(store.path("good"), asked("breast-cancer", "--name", "good"))
    write_json(store.path("good") / "status.json", RunStatus(state="cancelled"))
    for name, files in {
        "newer": {"config.json": '{"format": 99}'},
        "empty": {"config.json": ""},
        "status": {"config.json": (store.path("good") / "config.json").read_text(), "status.json": '{"state": "?"}'},
        "job": {"config.json": (store.path("good") / "config.json").read_text(), "job.json": "[1]"},
    }.items():
        store.path(name).mkdir(parents=True)
        for file, text in files.items():
            (store.path(name) / file).write_text(text)
    listed = {job.name: job for job in jobs.jobs(store)}
    assert set(listed) == {"good", "newer", "empty", "status", "job"}
    assert listed["good"].state == "cancelled"
    assert "newer version" in listed["newer"].status.message
    assert {listed[name].state for name in ("newer", "empty", "status")} == {"failed"}


def test_a_map_can_be_asked_for_where_another_lies_already(store: RunStore) -> None:
    """What a page draws by itself leaves a folder without a report: nobody is at work there."""
    run, _ = compute(asked("breast-cancer", "--name", "mapped"), store)
    project(run, store.cache, "pca")
    folder = map_folder(run)
    assert folder.is_dir()
    assert not background.is_going(folder)
    assert background.problem(folder) is None
    jobs.start_map(run, store, kind="pca")
    assert (folder / "job.json").is_file()
    wait_for(lambda: not background.is_going(folder), "the map to be laid out")
    assert jobs.job(folder).state == "done", jobs.job(folder).log_tail()
