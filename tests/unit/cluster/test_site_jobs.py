"""Job scripts and templates of a site, run by bash inside our own script."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.cluster.nodes import Node
from tests.unit.cluster.transport_contract import AWKWARD
from worker.cluster import jobscript, jobtemplate, variables
from worker.cluster.jobscript import render, sbatch_arguments
from worker.cluster.layout import RunLayout
from worker.cluster.sitescript import SiteScript
from worker.errors import RequestError, SettingsError
from worker.settings.sbatch_options import RESERVED

if TYPE_CHECKING:
    from worker.cluster.jobscript import JobRequest

MANUAL = Path(__file__).parents[3] / "docs" / "jobs.md"

SITE_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=omero-job-nuclei
#SBATCH --time=00:15:00
#SBATCH --output=omero-%j.log

echo "Running nuclei Job w/ $IMAGE_PATH | $SINGULARITY_IMAGE | $DATA_PATH"
apptainer run $GPU_FLAG "$IMAGE_PATH/$SINGULARITY_IMAGE" --infolder "$DATA_PATH/data/in" \\
    --outfolder "$DATA_PATH/data/out" --diameter="$DIAMETER" --label="$LABEL" -nmc && echo "done"
"""
"""As people have written them for BIOMERO."""

TEMPLATE = """\
#!/bin/bash
#SBATCH --constraint=fast
set -eu
{% if nv %}
echo "with a GPU"
{% endif %}
echo {{ "of " ~ workflow ~ " " ~ version | q }}
files=(a b)
echo "${#files[@]}"
srun apptainer run{{ " --nv" if nv }} --bind "$run" {{ image | q }} {{ arguments | join(" ") }}
"""

SRUN = '#!/bin/bash\nexec "$@"\n'


@pytest.fixture
def job(job: JobRequest) -> JobRequest:
    """A job with variables."""
    return replace(job, image=job.image.with_name("nuclei_v1.sif"), environment=environment(job))


def environment(job: JobRequest, **parameters: object) -> dict[str, str]:
    chosen = {"diameter": 30, "label": "it's", **parameters}
    image = job.image.with_name("nuclei_v1.sif")
    return variables.job_variables(image=image, version="v1", script_path="~/scripts", nv=False, parameters=chosen)


@pytest.fixture
def node(tmp_path: Path, layout: RunLayout) -> Node:
    node = Node(tmp_path, layout)
    (node.bin / "srun").write_text(SRUN)
    (node.bin / "srun").chmod(0o755)
    return node


def site(text: str = SITE_SCRIPT) -> SiteScript:
    return SiteScript(RunLayout("x", "27ca7d34-1544-4c6b-9ca3-0b2c6797c752").data_path / "jobs" / "nuclei.sh", text)


class TestASitesScript:
    def test_it_finds_what_biomero_gives_it(self, node: Node, job: JobRequest) -> None:
        code, log = node.execute(replace(job, site_script=site()))
        assert code == 0, log
        assert node.arguments == [
            "run", "images/nuclei_v1.sif", "--infolder", f"{node.run}/data/in", "--outfolder", f"{node.run}/data/out",
            "--diameter=30", "--label=it's", "-nmc",
        ]  # fmt: skip
        assert node.exit_file()["exit_code"] == 0
        found = node.container_environment
        assert (found["IMAGE_VERSION"], found["SCRIPT_PATH"], found["DATA_PATH"]) == ("v1", "scripts", str(node.run))

    @pytest.mark.parametrize("code", [1, 5, 137])
    def test_its_exit_code_is_kept(self, node: Node, job: JobRequest, code: int) -> None:
        text = f'#!/bin/bash\ntouch "$DATA_PATH/data/out/x"\nexit {code}\n'
        assert node.execute(replace(job, site_script=site(text)))[0] == code
        assert node.exit_file()["reason"] == f"the job script of the site ended with exit code {code}"

    def test_one_that_is_broken_leaves_an_exit_file(self, node: Node, job: JobRequest) -> None:
        code, log = node.execute(replace(job, site_script=site("#!/bin/bash\nif then (\n")))
        assert code == 2
        assert "syntax error" in log
        assert node.exit_file()["exit_code"] == 2

    def test_one_that_ends_its_shell_or_changes_traps_does_not_end_ours(self, node: Node, job: JobRequest) -> None:
        text = '#!/bin/bash\ntrap - EXIT\ntouch "$DATA_PATH/data/out/x"\nroot=gone run=gone key=gone\nkill -9 $$\n'
        assert node.execute(replace(job, site_script=site(text)))[0] == 137
        assert node.exit_file()["key"] == job.key

    def test_no_output_is_a_failure(self, node: Node, job: JobRequest) -> None:
        code, _ = node.execute(replace(job, site_script=site("#!/bin/sh\ntrue\n")))
        assert code == jobscript.NO_OUTPUT

    def test_it_is_run_by_the_program_of_its_first_line(self, node: Node, job: JobRequest) -> None:
        for first, words in {
            "#!/bin/sh": ("/bin/sh",),
            "#! /bin/bash -l": ("/bin/bash", "-l"),
            "#!/usr/bin/env -S bash -x": ("/usr/bin/env", "-S", "bash", "-x"),
        }.items():
            script = site(f'{first}\ntouch "$DATA_PATH/data/out/x"\necho $0\n')
            assert script.interpreter == words
            code, log = node.execute(replace(job, site_script=script))
            assert code == 0, log
            assert f"{node.run}/job_{job.task_id}.body.sh" in log

    def test_a_job_with_a_folder_of_its_own_writes_there(self, node: Node, job: JobRequest) -> None:
        (node.run / "data/in").mkdir(parents=True)
        (node.run / "data/in/a.tif").touch()
        text = '#!/bin/bash\ncd "$DATA_PATH/data/in" && echo *\ntouch "$DATA_PATH/data/out/result"\n'
        # Twice, as a job may be submitted again.
        for _ in range(2):
            code, log = node.execute(replace(job, site_script=site(text), output=job.layout.output / "1/attempt-2"))
            assert code == 0, log
            assert "\na.tif\n" in log
        assert [path.name for path in (node.run / "data/out/1/attempt-2").iterdir()] == ["result"]

    def test_a_signal_reaches_what_it_has_started(self, node: Node, job: JobRequest) -> None:
        node.environment["CONTAINER"] = f"touch '{node.home}/ready'; exec sleep 30"
        process = node.start(replace(job, site_script=site("#!/bin/bash\napptainer run x\necho not reached\n")))
        deadline = time.monotonic() + 10
        while not (node.home / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=10)
        assert process.returncode == 143
        assert "not reached" not in log
        assert node.exit_file()["signal"] == "TERM"
        while (left := _session(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert left == b""

    def test_its_lines_are_options_below_ours(self, job: JobRequest) -> None:
        script = site("#!/bin/bash\n#SBATCH --time=15 --qos=high\n#SBATCH -p site\ntrue\n")
        assert script.flags == {"time": "15", "qos": "high", "partition": "site"}
        # The text itself goes beside the job script, where sbatch does not look.
        assert "qos" not in render(replace(job, site_script=script))


def _session(pid: int) -> bytes:
    """List the processes that began with one."""
    return subprocess.run(["pgrep", "-s", str(pid)], capture_output=True, check=False).stdout


class TestATemplate:
    def test_it_runs_in_the_place_of_our_call(self, node: Node, job: JobRequest) -> None:
        code, log = node.execute(replace(job, template=TEMPLATE, nv=True, arguments=tuple(AWKWARD)))
        assert code == 0, log
        assert node.arguments == ["run", "--nv", "--bind", str(node.run), "images/nuclei_v1.sif", *AWKWARD]
        assert "with a GPU\nof nuclei v1\n2\n" in log
        assert node.exit_file()["exit_code"] == 0

    def test_relative_folders_are_absolute_in_it(self, node: Node, job: JobRequest) -> None:
        node.execute(replace(job, template=TEMPLATE, arguments=("--in", str(job.layout.input))))
        assert node.arguments[-1] == f"{node.run}/data/in"

    @pytest.mark.parametrize("text", ["exit 0", "kill -9 $$", "{{ 'if' }}", ")", "exec false", "trap - EXIT; exit 3"])
    def test_whatever_it_says_the_job_is_not_lost(self, node: Node, job: JobRequest, text: str) -> None:
        code, _ = node.execute(replace(job, template=text))
        assert code != 0
        assert node.exit_file()["exit_code"] == code
        assert node.exit_file()["key"] == job.key

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("#!/bin/bash\necho {{ imgae }}\n", r"Line 2 .* 'imgae' is undefined. There are: .*image"),
            ("#!/bin/bash\n\n{% if nv %}\n", r"Line 3 .* wrong: Unexpected end of template"),
            ("{{ image | quoted }}", r"Line 1 .* No filter named 'quoted'"),
            ("\n{{ workflow + 1 }}", r"Line 2 .* fails: TypeError"),
            ("\n{{ image.nothing }}", r"Line 2 .* uses what there is not: .*nothing"),
            ("{% for a in arguments %}{{ a }}", r"Line 1 .* wrong"),
            ("if true; then\n", r"bash can read: .*syntax error"),
            ("{% if bind_path %}\necho 'open\n{% endif %}", r"bash can read: .*matching"),
        ],
    )
    def test_a_broken_one_is_told_with_line_and_variable(self, tmp_path: Path, text: str, problem: str) -> None:
        path = tmp_path / "job.j2"
        path.write_text(text)
        with pytest.raises(SettingsError, match=problem) as told:
            jobtemplate.read_template(path)
        assert str(path) in str(told.value)

    def test_one_that_cannot_be_read_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="cannot be read: No such file"):
            jobtemplate.read_template(tmp_path / "missing.j2")
        (tmp_path / "latin").write_bytes(b"\xff\xfe")
        with pytest.raises(SettingsError, match="it is not UTF-8"):
            jobtemplate.read_template(tmp_path / "latin")

    def test_a_good_one_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "job.j2").write_text(TEMPLATE)
        assert jobtemplate.read_template(tmp_path / "job.j2") == TEMPLATE

    def test_a_script_of_the_site_wins_over_it(self, node: Node, job: JobRequest) -> None:
        text = '#!/bin/sh\ntouch "$DATA_PATH/data/out/x"\n'
        assert node.execute(replace(job, template="exit 9", site_script=site(text)))[0] == 0


class TestTheManual:
    """The examples of docs/jobs.md, as they stand there."""

    def block(self, language: str) -> str:
        found = re.findall(rf"^```{language}\n(.*?)^```", MANUAL.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        assert len(found) == 1
        return str(found[0])

    def test_its_template_works(self, node: Node, job: JobRequest, tmp_path: Path) -> None:
        (tmp_path / "job.sh.j2").write_text(self.block("jinja"))
        template = jobtemplate.read_template(tmp_path / "job.sh.j2")
        assert jobtemplate.template_flags(template) == {"constraint": "avx512"}
        code, log = node.execute(replace(job, template=template, arguments=tuple(AWKWARD)))
        assert code == 0, log
        assert node.arguments == ["run", "--cleanenv", "--bind", str(node.run), "images/nuclei_v1.sif", *AWKWARD]
        assert "Starting nuclei v1" in log

    def test_its_script_works(self, node: Node, job: JobRequest) -> None:
        node.install("singularity")
        script = site(self.block("bash"))
        assert script.flags == {"time": "00:15:00"}
        code, log = node.execute(replace(job, site_script=script))
        assert code == 0, log
        assert node.arguments[-2:] == ["--diameter=30", "-nmc"]

    def test_it_knows_every_exit_code_and_reserved_option(self) -> None:
        text = MANUAL.read_text("utf-8")
        for name, code in vars(jobscript).items():
            if name in ("INPUT_MISSING", "NO_OUTPUT", "RUNTIME_MISSING", "RUN_MISSING", "IMAGE_MISSING"):
                assert f"\n| {code} |" in text
        for flag in RESERVED - {"help", "usage", "version"}:
            assert f"`--{flag}`" in text


class TestVariables:
    TYPED = (
        "it's",
        "a b",
        "$(touch pwned)`touch pwned`",
        "two\nlines",
        "ünï ☃",
        "--flag",
        "",
        "BIOMERO_ENV",
        "\\",
        '"',
    )

    @pytest.mark.parametrize("env_file", [False, True])
    def test_they_arrive_exactly_and_are_never_obeyed(self, node: Node, job: JobRequest, env_file: bool) -> None:
        typed = {f"v{number}": text for number, text in enumerate(self.TYPED)}
        job = replace(job, environment=environment(job, **typed), env_file=env_file, site_script=site())
        for one in (job, replace(job, site_script=None), replace(job, site_script=None, template=TEMPLATE)):
            code, log = node.execute(one)
            assert code == 0, log
            found = node.container_environment
            assert [found[f"V{number}"] for number in range(len(self.TYPED))] == list(self.TYPED)
        assert not list(node.home.rglob("pwned"))

    def test_a_parameter_that_programs_obey_gets_another_name(self, node: Node, job: JobRequest) -> None:
        typed = {
            "path": "/evil",
            "DATA_PATH": "/evil",
            "ld_preload": "/evil.so",
            "bash-env": "/evil",
            "my-id": "1",
            "2d": "2",
        }
        job = replace(job, environment=environment(job, **typed))
        assert node.execute(job)[0] == 0
        found = node.container_environment
        assert (found["PARAM_PATH"], found["PARAM_LD_PRELOAD"], found["PARAM_BASH_ENV"]) == (
            "/evil",
            "/evil.so",
            "/evil",
        )
        assert (found["DATA_PATH"], found["MY_ID"], found["PARAM_2D"]) == (str(node.run), "1", "2")
        assert found["PATH"] == str(node.bin)
        assert "LD_PRELOAD" not in found

    @pytest.mark.parametrize("name", ["psf_size", "diameter", "use_gpu", "columns", "java", "model_path", "_x"])
    def test_ordinary_names_stay(self, name: str) -> None:
        expected = name.upper() if not name.startswith("_") else f"PARAM_{name.upper()}"
        assert variables.safe_name(name) == expected

    def test_what_is_too_long_for_one_is_still_an_argument(self, node: Node, job: JobRequest) -> None:
        long = "x" * 100_001
        values = {f"p{number}": "y" * 99_000 for number in range(30)}
        job = replace(job, environment=environment(job, long=long, **values), arguments=(f"--long={long}",))
        code, log = node.execute(job)
        assert code == 0, log
        assert node.arguments[-1] == f"--long={long}"
        assert "LONG" not in node.container_environment

    def test_an_argument_that_no_program_takes_is_refused_before(self, job: JobRequest) -> None:
        with pytest.raises(RequestError, match="more than 128 KiB"):
            render(replace(job, arguments=("x" * 131_072,)))

    def test_in_a_file_they_are_for_their_owner_alone(self, job: JobRequest) -> None:
        job = replace(job, env_file=True)
        assert "--export=NONE" in sbatch_arguments(job)
        assert "it" not in [line for line in render(job).splitlines() if "LABEL" in line]
        # A site that has said what to export is obeyed.
        assert "--export=NONE" not in sbatch_arguments(replace(job, flags={"export": "HOME"}))
        assert "--export=NONE" not in sbatch_arguments(replace(job, env_file=False))

    def test_a_site_script_is_told_where_that_file_is(self, node: Node, job: JobRequest) -> None:
        text = '#!/bin/bash\n. "$1"\necho "[$LABEL]"\ntouch "$DATA_PATH/data/out/x"\n'
        _, log = node.execute(replace(job, env_file=True, site_script=site(text)))
        assert "[it's]" in log


class TestModules:
    MODULE = '() { echo "module $*"; [ "$2" != missing/1 ]; }'

    def test_those_of_the_site_are_loaded_first_even_if_there_is_a_runtime(self, node: Node, job: JobRequest) -> None:
        node.environment["BASH_FUNC_module%%"] = self.MODULE
        code, log = node.execute(replace(job, modules=("cuda", "apptainer/1.2 x")))
        assert code == 0
        assert "module load cuda\nmodule load apptainer/1.2 x\n" in log

    def test_one_that_cannot_be_loaded_is_named(self, node: Node, job: JobRequest) -> None:
        node.environment["BASH_FUNC_module%%"] = self.MODULE
        code, _ = node.execute(replace(job, modules=("missing/1",)))
        assert code == jobscript.RUNTIME_MISSING
        assert node.exit_file()["reason"].startswith("module missing/1 cannot be loaded on node")

    def test_with_modules_of_the_site_no_others_are_tried(self, node: Node, job: JobRequest) -> None:
        node.environment["BASH_FUNC_module%%"] = self.MODULE
        (node.bin / "apptainer").unlink()
        code, log = node.execute(replace(job, modules=("cuda",)))
        assert code == jobscript.RUNTIME_MISSING
        assert "module load singularity" not in log


class TestFoldersOfTheContainer:
    def test_they_are_mounted_where_it_wants_them(self, node: Node, job: JobRequest) -> None:
        mounts = ((job.layout.input, "/in put"), (job.layout.output, "/out"))
        assert node.execute(replace(job, mounts=mounts))[0] == 0
        assert node.arguments[3:7] == ["--bind", f"{node.run}/data/in:/in put", "--bind", f"{node.run}/data/out:/out"]

    @pytest.mark.parametrize("target", ["relative", "/a:b", "/a,b"])
    def test_a_place_that_cannot_be_said_is_refused(self, job: JobRequest, target: str) -> None:
        with pytest.raises(ValueError, match="cannot be mounted"):
            replace(job, mounts=((job.layout.input, target),))
