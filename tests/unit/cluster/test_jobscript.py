"""Job scripts: written, checked by shellcheck, and executed by bash with a container runtime of our own."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.unit.cluster.nodes import Node
from tests.unit.cluster.transport_contract import AWKWARD
from worker.cluster import jobscript
from worker.cluster.jobscript import ArrayChoice, Conversion, JobRequest, render, sbatch_arguments
from worker.cluster.layout import RunLayout
from worker.cluster.scripts import script
from worker.cluster.sitescript import SiteScript

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = UUID("27ca7d34-1544-4c6b-9ca3-0b2c6797c752")
TASK = UUID("972ff20a-6a8d-44d7-bf64-3b0e93260a31")


@pytest.fixture
def job() -> JobRequest:
    layout = RunLayout("scratch/my data", RUN)
    return JobRequest(
        key=str(TASK),
        task_id=TASK,
        workflow="nuclei",
        version="v1",
        image=PurePosixPath("images/nuclei_v1.sif"),
        arguments=("--infolder", str(layout.input), "--diameter", "20"),
        layout=layout,
    )


@pytest.fixture
def node(tmp_path: Path, job: JobRequest) -> Node:
    return Node(tmp_path, job.layout)


class TestAsBashRunsIt:
    def test_a_good_analysis_ends_well(self, node: Node, job: JobRequest) -> None:
        code, log = node.execute(job)
        assert code == 0, log
        content = node.exit_file()
        assert (content["exit_code"], content["signal"], content["reason"]) == (0, "", "")
        assert (content["job"], content["key"], content["host"]) == ("12", job.key, os.uname().nodename)
        assert content["start"] <= content["end"]

    def test_the_container_sees_the_run_and_gets_its_arguments(self, node: Node, job: JobRequest) -> None:
        node.execute(job)
        # Relative to the login's home, which is not where a container need start.
        assert node.arguments == [
            "run", "--bind", str(node.run), "images/nuclei_v1.sif",
            "--infolder", f"{node.run}/data/in", "--diameter", "20",
        ]  # fmt: skip

    def test_arguments_arrive_exactly(self, node: Node, job: JobRequest) -> None:
        node.execute(replace(job, arguments=tuple(AWKWARD)))
        assert node.arguments[4:] == AWKWARD
        assert not (node.home / "pwned").exists()

    def test_an_absolute_folder_stays_as_it_is(self, node: Node, job: JobRequest) -> None:
        layout = RunLayout(str(node.home / "scratch/my data"), RUN)
        node.execute(replace(job, layout=layout, arguments=(f"--out={layout.output}",)))
        assert node.arguments[2:] == [str(layout.root), "images/nuclei_v1.sif", f"--out={layout.output}"]

    def test_the_log_has_the_line_that_others_look_for(self, node: Node, job: JobRequest) -> None:
        _, log = node.execute(replace(job, workflow="cell segmentation!"))
        assert f"Running cell_segmentation_ Job w/ images | nuclei_v1.sif | {node.run} | " in log

    def test_the_exit_code_of_the_container_is_kept(self, node: Node, job: JobRequest) -> None:
        node.environment["CONTAINER"] += "; exit 137"
        code, log = node.execute(job)
        assert code == 137
        assert node.exit_file()["exit_code"] == 137
        assert "ended with exit code 137" in log

    def test_no_output_is_a_failure_of_its_own(self, node: Node, job: JobRequest) -> None:
        node.environment["CONTAINER"] = "true"
        code, log = node.execute(job)
        assert code == jobscript.NO_OUTPUT
        assert node.exit_file()["reason"] == "the container ended well but wrote nothing to its output folder"
        assert node.exit_file()["reason"] in log

    def test_a_failed_container_is_not_blamed_for_missing_output(self, node: Node, job: JobRequest) -> None:
        node.environment["CONTAINER"] = "exit 5"
        assert node.execute(job)[0] == 5

    def test_singularity_will_do(self, node: Node, job: JobRequest) -> None:
        (node.bin / "apptainer").rename(node.bin / "singularity")
        assert node.execute(job)[0] == 0

    def test_a_module_is_loaded_only_where_there_is_no_runtime(self, node: Node, job: JobRequest) -> None:
        (node.bin / "apptainer").rename(node.home / "hidden")
        module = f'() {{ echo "module $*"; mv "{node.home}/hidden" "{node.bin}/$2"; }}'
        node.environment["BASH_FUNC_module%%"] = module
        code, log = node.execute(job)
        assert code == 0, log
        assert "module load singularity" in log
        _, log = node.execute(job)
        assert "module load" not in log

    def test_a_node_without_a_runtime_says_so(self, node: Node, job: JobRequest) -> None:
        (node.bin / "apptainer").unlink()
        # Whatever the start-up files of this machine put on the PATH, it is not a runtime.
        node.environment["BASH_FUNC_module%%"] = "() { return 1; }"
        code, log = node.execute(job)
        assert code == jobscript.RUNTIME_MISSING
        assert "neither apptainer nor singularity" in log
        assert "neither apptainer nor singularity" in node.exit_file()["reason"]

    def test_a_missing_image_is_named(self, node: Node, job: JobRequest) -> None:
        (node.home / "images" / "nuclei_v1.sif").unlink()
        code, log = node.execute(job)
        assert code == jobscript.IMAGE_MISSING
        assert "image is not on the cluster" in log

    def test_a_node_that_does_not_see_the_run_says_so(self, node: Node, job: JobRequest) -> None:
        shutil.rmtree(node.run)
        code, log = node.execute(job)
        assert code == jobscript.RUN_MISSING
        assert "cannot be seen on node" in log

    def test_the_gpu_and_further_folders_are_given_when_asked_for(self, node: Node, job: JobRequest) -> None:
        node.execute(replace(job, nv=True, bind_path="/a b:/c,/d"))
        assert node.arguments[:3] == ["run", "--nv", "--bind"]
        assert (node.home / "record.bind").read_text() == "/a b:/c,/d"

    def test_folders_that_the_site_binds_stay_bound(self, node: Node, job: JobRequest) -> None:
        node.environment["APPTAINER_BINDPATH"] = "/site"
        node.execute(job)
        assert (node.home / "record.bind").read_text() == "/site"

    def test_a_task_of_an_array_has_its_own_exit_file(self, node: Node, job: JobRequest) -> None:
        node.environment |= {"SLURM_ARRAY_JOB_ID": "10", "SLURM_ARRAY_TASK_ID": "2"}
        node.execute(job)
        assert node.exit_file("10_2.json")["job"] == "10_2"

    def test_nothing_is_readable_by_everybody(self, node: Node, job: JobRequest) -> None:
        node.execute(job)
        for path in (node.run / "status" / "12.json", node.run / "data" / "out"):
            assert path.stat().st_mode & 0o007 == 0


class TestSignals:
    @pytest.fixture
    def running(self, node: Node, job: JobRequest) -> Iterator[subprocess.Popen[str]]:
        node.environment["CONTAINER"] = (
            f"trap 'kill $!; sleep 0.3; exit 9' TERM; touch {node.home}/ready; sleep 30 & wait"
        )
        process = node.start(job)
        deadline = time.monotonic() + 10
        while not (node.home / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def test_a_cancelled_job_leaves_an_exit_file(self, node: Node, running: subprocess.Popen[str]) -> None:
        running.terminate()
        log, _ = running.communicate(timeout=10)
        assert running.returncode == 9
        assert (node.exit_file()["signal"], node.exit_file()["exit_code"]) == ("TERM", 9)
        assert "ended by signal TERM" in log

    def test_it_is_there_even_if_the_job_is_killed_soon_after(self, node: Node, running: subprocess.Popen[str]) -> None:
        running.terminate()
        deadline = time.monotonic() + 5
        while not (node.run / "status" / "12.json").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        os.killpg(running.pid, signal.SIGKILL)
        assert (node.exit_file()["signal"], node.exit_file()["exit_code"]) == ("TERM", 143)

    def test_the_end_of_the_time_is_told_from_a_cancellation(self, node: Node, job: JobRequest) -> None:
        node.environment |= {
            "CONTAINER": f"touch {node.home}/ready; exec sleep 30",
            "SLURM_JOB_END_TIME": str(int(time.time())),
        }
        process = node.start(job)
        while not (node.home / "ready").exists():
            time.sleep(0.01)
        process.terminate()
        process.communicate(timeout=10)
        assert node.exit_file()["reason"] == "time limit"
        assert node.exit_file()["exit_code"] == 143


class TestTheOptionsOfSbatch:
    def test_they_stand_in_the_script(self, job: JobRequest) -> None:
        text = render(replace(job, flags={"time": "1", "exclusive": None, "constraint": "a b", "job-name": "mine"}))
        assert text.startswith(f"#!/bin/bash\n#SBATCH --job-name=mine-{job.key}\n#SBATCH --output=")
        for line in ("--time=1", "--exclusive", '--constraint="a b"', "--open-mode=append"):
            assert f"\n#SBATCH {line}\n" in text

    def test_the_key_is_in_the_name_and_the_comment(self, job: JobRequest) -> None:
        assert f"--job-name=omero-job-nuclei-{job.key}" in sbatch_arguments(job)
        assert f"--comment={job.key}" in sbatch_arguments(job)
        assert "--no-requeue" in sbatch_arguments(job)

    def test_a_comment_that_the_site_needs_is_left_to_it(self, job: JobRequest) -> None:
        assert not [
            argument
            for argument in sbatch_arguments(replace(job, flags={"comment": "project 7"}))
            if argument.startswith("--comment")
        ]

    @pytest.mark.parametrize("key", ["", "short", "a" * 129, "with space", "quote'quote", "$(x)aaaaaaaa"])
    def test_a_key_is_plain(self, job: JobRequest, key: str) -> None:
        with pytest.raises(ValueError, match="key"):
            replace(job, key=key)


class TestShellcheck:
    def test_every_kind_of_job_script_is_clean(self, job: JobRequest, tmp_path: Path) -> None:
        site = SiteScript(PurePosixPath("scripts/x.sh"), "#!/usr/bin/env -S bash -l\n")
        conversion = Conversion(tuple(AWKWARD[1:]), "zarr", "tiff", ("-type", "d", "-iname", "*.zarr"))
        kinds: list[dict[str, Any]] = [
            {},
            {"template": "true\n"},
            {"site_script": site},
            {"conversion": conversion, "arguments": (), "array": ArrayChoice(3)},
            {"conversion": conversion, "arguments": ()},
        ]
        options: list[dict[str, Any]] = [
            {"nv": True},
            {"bind_path": "/a b:/c"},
            {"modules": ("a/1", "it's $(b)")},
            {"env_file": True},
            {"environment": {f"V{number}": text for number, text in enumerate(AWKWARD)}},
            {"output": job.layout.output / "1", "mounts": ((job.layout.input, "/in put"),)},
            {"arguments": tuple(AWKWARD), "flags": {"constraint": 'a "b"', "exclusive": None}},
        ]
        # None, all, and each alone: so each pair of options in each of its four states.
        chosen = [{}, {name: value for option in options for name, value in option.items()}, *options]
        jobs = [replace(job, **{**some, **kind}) for kind, some in itertools.product(kinds, chosen)]
        texts = list(dict.fromkeys(render(one) for one in jobs))
        assert len(texts) > 35  # not all options change all kinds
        paths = [tmp_path / f"{number}.sh" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, "utf-8", "surrogateescape")
        # Arguments with $ in single quotes are meant as they are (SC2016).
        found = subprocess.run(
            ["shellcheck", "--format=gcc", "--exclude=SC2016", *paths], capture_output=True, text=True, check=False
        )
        assert (found.stdout, found.returncode) == ("", 0)

    def test_shellcheck_sees_what_is_wrong(self, job: JobRequest, tmp_path: Path) -> None:
        (tmp_path / "x.sh").write_text(render(job).replace('"$run/$output"', "$run/$output"))
        assert subprocess.run(["shellcheck", tmp_path / "x.sh"], capture_output=True, check=False).returncode == 1

    def test_remote_scripts_are_clean(self) -> None:
        for path in Path(jobscript.__file__).parent.joinpath("scripts").glob("*.sh"):
            found = subprocess.run(["shellcheck", path], capture_output=True, text=True, check=False)
            assert found.returncode == 0, found.stdout
            assert script(path.stem, "a")[:2] == ["sh", "-c"]
