"""Conversions: what is found, the array job as bash runs it, and what is removed afterwards."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.cluster.nodes import Node
from tests.unit.cluster.programs import TASK, Cluster
from worker.cluster import conversion, jobscript
from worker.cluster.jobscript import ArrayChoice, JobRequest, render, sbatch_arguments
from worker.errors import Fenced, RequestError, SettingsError
from worker.settings.models import SlurmSettings

if TYPE_CHECKING:
    from worker.cluster.layout import RunLayout
    from worker.cluster.local import LocalTransport

ODD = ("plate one.zarr", "it's $(here).ome.zarr", "sub/two\nlines.zarr", "ünï.ZARR")

CONVERTER = """\
input=${!#}
echo "$input" >>"$RECORD.inputs"
case ${input##*/} in damaged*) exit 7 ;; silent*) exit 0 ;; esac
touch "${input%.*}.0.tif"
"""


def job_of(layout: RunLayout, inputs: tuple[str, ...] = ("a.zarr",), **more: Any) -> JobRequest:
    slurm = {"slurm_converters_path": "images", **more.pop("slurm", {})}
    return conversion.array_job(
        SlurmSettings.model_validate(slurm),
        more.pop("converters", {}),
        key=str(TASK),
        task_id=TASK,
        layout=layout,
        inputs=inputs,
        source_format=more.pop("source_format", "zarr"),
        target_format=more.pop("target_format", "tiff"),
        **more,
    )


class TestWhatIsFound:
    @pytest.fixture
    def folder(self, tmp_path: Path, layout: RunLayout) -> Path:
        folder = tmp_path / layout.input
        for name in (*ODD, "plate one.zarr/inner.zarr", "empty"):
            (folder / name).mkdir(parents=True)
        (folder / "elsewhere.zarr").symlink_to(tmp_path)
        for name in ("file.zarr", "a.tif", "sub/b.TIFF", "c.tifff", "plate one.zarr/d.tif", "e.czi"):
            (folder / name).touch()
        return folder

    @pytest.mark.usefixtures("folder")
    def test_zarr_is_a_folder_and_what_is_in_it_belongs_to_it(self, here: LocalTransport, layout: RunLayout) -> None:
        assert conversion.find_inputs(here, layout, "zarr") == tuple(sorted(ODD))

    @pytest.mark.usefixtures("folder")
    def test_other_formats_are_files(self, here: LocalTransport, layout: RunLayout) -> None:
        assert conversion.find_inputs(here, layout, "tiff") == ("a.tif", "sub/b.TIFF")
        assert conversion.find_inputs(here, layout, "czi") == ("e.czi",)
        assert conversion.find_inputs(here, layout, "lif") == ()

    def test_a_run_that_is_not_there_is_named(self, here: LocalTransport, layout: RunLayout) -> None:
        with pytest.raises(RequestError, match=f"no folder {layout.input}"):
            conversion.find_inputs(here, layout, "zarr")

    @pytest.mark.parametrize("name", ["", "../zarr", "za rr", "*"])
    def test_a_format_has_a_plain_name(self, here: LocalTransport, layout: RunLayout, name: str) -> None:
        with pytest.raises(RequestError, match="not the name of a format"):
            conversion.find_inputs(here, layout, name)


class TestTheArray:
    def test_there_is_one_task_for_each_input(self, layout: RunLayout) -> None:
        job = job_of(layout, tuple(f"{n}.zarr" for n in range(5)))
        assert job.array == ArrayChoice(5)
        assert "--array=1-5" in sbatch_arguments(job)
        assert f"--output={layout.root}/omero-%A_%a.log" in sbatch_arguments(job)
        assert f'\n#SBATCH --output="{layout.root}/omero-%A_%a.log"\n' in render(job)
        assert job.name == f"conversion-{TASK}"

    def test_nothing_to_convert_is_a_clear_error(self, layout: RunLayout) -> None:
        with pytest.raises(RequestError, match="nothing to convert: no zarr below"):
            job_of(layout, ())

    def test_more_inputs_than_tasks_take_more_time_each(self, layout: RunLayout) -> None:
        job = job_of(layout, tuple(f"{n}.zarr" for n in range(25)), tasks_max=10)
        assert job.array == ArrayChoice(10)
        assert job.flags["time"] == "01:00:00"

    def test_without_arrays_there_is_one_job(self, layout: RunLayout) -> None:
        job = job_of(layout, ("a.zarr", "b.zarr"), tasks_max=0)
        assert job.array is None
        assert not [argument for argument in sbatch_arguments(job) if "array" in argument]

    def test_names_that_no_script_can_hold_are_refused(self, layout: RunLayout) -> None:
        with pytest.raises(RequestError, match="too much for one job script"):
            job_of(layout, tuple(f"{n:0200}.zarr" for n in range(20_000)))

    @pytest.mark.parametrize(
        ("said", "most"),
        [
            ("MaxArraySize            = 1001\n", 1000),
            ("MaxArraySize            = 4000001\n", 1000),
            ("A = 1\nMaxArraySize = 51\nB = 2\n", 50),
            ("MaxArraySize = 1\n", 0),
            ("MaxArraySize = 0\n", 0),
            ("", 1000),
        ],
    )
    def test_the_cluster_says_how_many_tasks_there_may_be(
        self, cluster: Cluster, here: LocalTransport, said: str, most: int
    ) -> None:
        cluster.says("scontrol", said)
        assert conversion.most_tasks(here) == most


class TestItsOptions:
    def test_the_partition_of_conversions_beats_the_default_and_that_the_global(self) -> None:
        def partition(**slurm: Any) -> str | None:
            settings = SlurmSettings.model_validate(
                {"sbatch_flags": {"partition": "global", "account": "lab"}, **slurm}
            )
            flags = conversion.conversion_flags(settings)
            assert flags["account"] == "lab"
            return flags["partition"]

        assert partition() == "global"
        assert partition(slurm_default_partition="default") == "default"
        assert partition(slurm_default_partition="default", slurm_conversion_partition="own") == "own"

    def test_global_options_beat_the_defaults(self) -> None:
        settings = SlurmSettings.model_validate({"sbatch_flags": {"time": "5", "array": "1-9", "mem": "1G"}})
        flags = conversion.conversion_flags(settings, inputs_per_task=3)
        assert flags == {"job-name": "conversion", "nodes": "1", "ntasks": "1", "time": "5", "mem": "1G"}

    def test_those_of_another_attempt_beat_all(self, layout: RunLayout) -> None:
        assert job_of(layout, flags={"time": "9"}, slurm={"sbatch_flags": {"time": "5"}}).flags["time"] == "9"


class TestTheConverter:
    @pytest.mark.parametrize(
        ("converters", "name"),
        [
            ({}, "convert_zarr_to_tiff_latest.sif"),
            ({"zarr_to_tiff": "org/convert_zarr_to_tiff:1.14.0"}, "convert_zarr_to_tiff_1.14.0.sif"),
            ({"zarr_to_tiff": "host:5000/org/name"}, "convert_zarr_to_tiff_latest.sif"),
        ],
    )
    def test_its_image_is_called_after_the_pair_and_the_version(self, converters: dict[str, str], name: str) -> None:
        settings = SlurmSettings(slurm_converters_path="~/converters")
        path, version = conversion.converter_image(settings, converters, "zarr", "tiff")
        assert path == PurePosixPath("converters") / name
        assert name.endswith(f"_{version}.sif")

    @pytest.mark.parametrize(("converters", "known"), [({}, "zarr_to_tiff"), ({"a_to_b": "x"}, "a_to_b")])
    def test_what_is_not_registered_is_told_with_what_is(self, converters: dict[str, str], known: str) -> None:
        with pytest.raises(SettingsError, match=f"no converter from czi to tiff; there are: {known}"):
            conversion.converter_image(SlurmSettings(), converters, "czi", "tiff")

    def test_a_section_without_the_built_in_pair_takes_it_away(self) -> None:
        with pytest.raises(SettingsError, match="no converter from zarr to tiff"):
            conversion.converter_image(SlurmSettings(), {"tiff_to_zarr": "x"}, "zarr", "tiff")


class TestAsBashRunsIt:
    @pytest.fixture
    def node(self, tmp_path: Path, layout: RunLayout) -> Node:
        node = Node(tmp_path, layout)
        node.environment["CONTAINER"] = CONVERTER
        (tmp_path / "images" / "convert_zarr_to_tiff_latest.sif").touch()
        return node

    def run(self, node: Node, job: JobRequest, task: int) -> tuple[int, str]:
        for path in job.conversion.inputs if job.conversion else ():
            (node.run / "data/in" / path).mkdir(parents=True, exist_ok=True)
        node.environment |= {"SLURM_ARRAY_JOB_ID": "10", "SLURM_ARRAY_TASK_ID": str(task)}
        return node.execute(job)

    def inputs(self, node: Node) -> list[str]:
        return (node.home / "record.inputs").read_text().splitlines()

    def test_a_task_converts_its_input_and_keeps_it(self, node: Node, layout: RunLayout) -> None:
        job = job_of(layout, ("a.zarr", "b.zarr"))
        code, log = self.run(node, job, 2)
        assert code == 0, log
        # The only argument, as BIOMERO's converters want it.
        assert node.arguments == ["run", "--bind", str(node.run), str(job.image), f"{node.run}/data/in/b.zarr"]
        assert sorted(path.name for path in (node.run / "data/in").iterdir()) == ["a.zarr", "b.0.tif", "b.zarr"]
        assert node.exit_file("10_2.json")["exit_code"] == 0

    def test_names_arrive_exactly(self, node: Node, layout: RunLayout) -> None:
        job = job_of(layout, ODD)
        for task, name in enumerate(ODD, 1):
            code, log = self.run(node, job, task)
            assert code == 0, log
            assert node.arguments[-1] == f"{node.run}/data/in/{name}"

    def test_with_fewer_tasks_each_input_is_converted_once(self, node: Node, layout: RunLayout) -> None:
        job = job_of(layout, tuple(f"{n}.zarr" for n in range(7)), tasks_max=3)
        for task in (1, 2, 3):
            assert self.run(node, job, task)[0] == 0
        assert [Path(path).name for path in self.inputs(node)] == [f"{n}.zarr" for n in (0, 3, 6, 1, 4, 2, 5)]

    def test_one_job_in_the_place_of_an_array_converts_all(self, node: Node, layout: RunLayout) -> None:
        job = job_of(layout, ("a.zarr", "b.zarr"), tasks_max=0)
        for name in ("a.zarr", "b.zarr"):
            (node.run / "data/in" / name).mkdir(parents=True)
        assert node.execute(job)[0] == 0
        assert len(self.inputs(node)) == 2

    def test_a_damaged_input_fails_the_task_but_not_those_after_it(self, node: Node, layout: RunLayout) -> None:
        job = job_of(layout, ("damaged.zarr", "b.zarr"), tasks_max=1)
        code, log = self.run(node, job, 1)
        assert code == 7
        assert "ended with exit code 7 at damaged.zarr" in log
        content = node.exit_file("10_1.json")
        assert (content["exit_code"], content["reason"]) == (
            7,
            "1 not converted, the first is damaged.zarr (exit code 7)",
        )
        assert (node.run / "data/in/b.0.tif").exists()
        assert (node.run / "data/in/damaged.zarr").exists()

    def test_a_converter_that_writes_nothing_has_failed(self, node: Node, layout: RunLayout) -> None:
        (node.run / "data/in").mkdir(parents=True)
        (node.run / "data/in/silent2.tif").touch()
        code, log = self.run(node, job_of(layout, ("silent.zarr", "silent_2.zarr"), tasks_max=1), 1)
        assert code == jobscript.NO_OUTPUT
        assert "wrote nothing that is named after silent.zarr" in log

    def test_an_input_that_the_node_does_not_see_is_named(self, node: Node, layout: RunLayout) -> None:
        code, log = node.execute(job_of(layout, ("gone.zarr",), tasks_max=0))
        assert code == jobscript.INPUT_MISSING
        assert "gone.zarr is not in the input folder" in log

    def test_odd_names_do_not_break_the_exit_file(self, node: Node, layout: RunLayout) -> None:
        job = job_of(layout, ('damaged "and"\\n\nodd.zarr',))
        assert self.run(node, job, 1)[0] == 7
        assert "damaged  and " in node.exit_file("10_1.json")["reason"]

    def test_a_task_that_is_cancelled_begins_no_other_input(self, node: Node, layout: RunLayout) -> None:
        node.environment["CONTAINER"] = 'echo x >>"$RECORD.inputs"; kill -TERM $PPID; sleep 5'
        code, _ = self.run(node, job_of(layout, ("a.zarr", "b.zarr"), tasks_max=1), 1)
        assert code == 143
        assert len(self.inputs(node)) == 1
        assert node.exit_file("10_1.json")["signal"] == "TERM"

    def test_what_a_converter_needs_to_know_is_in_its_environment(self, node: Node, layout: RunLayout) -> None:
        self.run(node, job_of(layout), 1)
        found = node.container_environment
        assert found["CONVERTER_IMAGE"] == "convert_zarr_to_tiff_latest.sif"
        assert (found["CONVERSION_PATH"], found["DATA_PATH"]) == ("images", str(node.run))


class TestRemoval:
    @pytest.fixture
    def folder(self, tmp_path: Path, layout: RunLayout) -> Path:
        folder = tmp_path / layout.input
        for name in (*ODD, "kept.zarr"):
            (folder / name / "0").mkdir(parents=True)
        (tmp_path / layout.status).mkdir()
        return folder

    def left(self, folder: Path) -> list[str]:
        return sorted(path.name for path in folder.rglob("*.[zZ]*"))

    def test_what_was_converted_is_removed_and_nothing_else(
        self, here: LocalTransport, layout: RunLayout, folder: Path
    ) -> None:
        conversion.remove_inputs(here, layout, ODD, fence=3)
        assert self.left(folder) == ["kept.zarr"]
        # A second time, as its reply may have been lost.
        conversion.remove_inputs(here, layout, ODD, fence=3)

    def test_whoever_comes_too_late_removes_nothing(
        self, here: LocalTransport, layout: RunLayout, folder: Path
    ) -> None:
        conversion.remove_inputs(here, layout, (), fence=5)
        with pytest.raises(Fenced):
            conversion.remove_inputs(here, layout, ODD, fence=4)
        assert len(self.left(folder)) == 5

    def test_links_do_not_lead_out_of_the_folder(
        self, here: LocalTransport, layout: RunLayout, folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "precious/a.zarr").mkdir(parents=True)
        (folder / "link").symlink_to(tmp_path / "precious")
        (folder / "direct.zarr").symlink_to(tmp_path / "precious")
        with pytest.raises(Exception, match="leads out of the folder"):
            conversion.remove_inputs(here, layout, ("link/a.zarr",), fence=1)
        conversion.remove_inputs(here, layout, ("direct.zarr",), fence=1)
        assert (tmp_path / "precious/a.zarr").is_dir()

    @pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ""])
    def test_paths_stay_below_it(self, here: LocalTransport, layout: RunLayout, path: str) -> None:
        with pytest.raises(ValueError, match="not a path below"):
            conversion.remove_inputs(here, layout, (path,), fence=1)

    def test_a_run_that_is_gone_is_fine(self, here: LocalTransport, layout: RunLayout) -> None:
        conversion.remove_inputs(here, layout, ODD, fence=1)


class TestLogs:
    def test_they_are_read_in_the_order_of_the_tasks(
        self, here: LocalTransport, layout: RunLayout, tmp_path: Path
    ) -> None:
        root = tmp_path / layout.root
        root.mkdir(parents=True)
        for name in ("omero-7_10.log", "omero-7_2.log", "omero-71_1.log", "omero-71.log"):
            (root / name).write_text(f"says {name}\n")
        text = conversion.read_logs(here, layout, 7).decode()
        assert [line for line in text.splitlines() if line.startswith("says")] == [
            "says omero-7_2.log",
            "says omero-7_10.log",
        ]
        assert "==> omero-7_10.log <==" in text
        assert "says omero-71.log\n" in conversion.read_logs(here, layout, 71).decode()

    def test_that_there_are_none_is_no_error(self, here: LocalTransport, layout: RunLayout, tmp_path: Path) -> None:
        assert conversion.read_logs(here, layout, 7) == b""
        (tmp_path / layout.root).mkdir(parents=True)
        assert conversion.read_logs(here, layout, 7) == b""
