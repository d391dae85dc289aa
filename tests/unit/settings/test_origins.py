"""Where every value comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.settings import models
from worker.settings.build import build
from worker.settings.ini import parse
from worker.settings.layers import merge
from worker.settings.loader import load_layers
from worker.settings.origins import Origin, origins
from worker.settings.secrecy import MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.settings.layers import Layers


def layers_of(*texts: str) -> Layers:
    return merge(parse(text, Path(f"{number}.ini")) for number, text in enumerate(texts))


def origin(section: str, key: str, *texts: str, environ: Mapping[str, str] | None = None) -> Origin:
    return origins(layers_of(*texts), environ or {})[section, key]


def test_what_nobody_has_set_is_the_default() -> None:
    assert origin("SSH", "host") == Origin("slurm", "default")
    assert origin("SLURM", "gpu_partition") == Origin(None, "default")
    assert origin("SLURM", "inject_gpu_flag") == Origin("False", "default")
    assert origin("WORKER", "poll_interval_min_s") == Origin("2", "default")


def test_a_line_of_the_last_file_wins_over_those_before() -> None:
    found = origin("SSH", "host", "[SSH]\nhost=a\n", "\n[SSH]\nhost=b\n", "\n\n[SSH]\nHost = c # last\n")
    assert found == Origin("c", "2.ini:4", (Origin("a", "0.ini:2"), Origin("b", "1.ini:3")))


def test_a_blank_line_takes_back_and_is_where_the_default_comes_from() -> None:
    found = origin("SLURM", "image_pull_mem", "[SLURM]\nimage_pull_mem=8G\n", "[SLURM]\nimage_pull_mem=\n")
    assert found == Origin("32G", "1.ini:2", (Origin("8G", "0.ini:2"),))


def test_the_variable_that_counts_is_named_and_so_is_what_it_wins_over() -> None:
    environ = {"BIOMERO_GPU_GRES": "gpu:2", "GPU_GRES": "gpu:1"}
    assert origin("SLURM", "gpu_gres", "[SLURM]\ngpu_gres=gpu:0\n", environ=environ) == Origin(
        "gpu:2", "variable BIOMERO_GPU_GRES", (Origin("gpu:0", "0.ini:2"), Origin("gpu:1", "variable GPU_GRES"))
    )


def test_a_variable_that_is_blank_or_cannot_be_read_does_not_count() -> None:
    text = "[SLURM]\nsacct_days_ago=3\n"
    for given_text in ("soon", "", " "):
        found = origin("SLURM", "sacct_days_ago", text, environ={"BIOMERO_SACCT_START_DAYS_AGO": given_text})
        assert found == Origin("3", "0.ini:2")


def test_a_secret_is_masked_wherever_it_is_said() -> None:
    text = "[ANALYTICS]\nsqlalchemy_url=postgresql://u:hidden@h/d\n"
    assert origin("ANALYTICS", "sqlalchemy_url", text) == Origin(MASK, "0.ini:2")
    assert origin("ANALYTICS", "sqlalchemy_url", text, environ={"SQLALCHEMY_URL_FILE": "/run/url"}) == Origin(
        MASK, "variable SQLALCHEMY_URL_FILE", (Origin(MASK, "0.ini:2"),)
    )
    assert origin("ANALYSES", "github_token", environ={"GITHUB_TOKEN": "hidden"}) == Origin(
        MASK, "variable GITHUB_TOKEN"
    )
    assert origin("ANALYSES", "gitlab_token") == Origin(None, "default")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ghp_abc@github.com/o/r", f"https://{MASK}@github.com/o/r"),
        ("https://u:p%40w@git.example.org/o/r", f"https://{MASK}@git.example.org/o/r"),
        ("ssh://git@host/o/r.git", "ssh://git@host/o/r.git"),
        ("https://github.com/o/r/tree/v1@2", "https://github.com/o/r/tree/v1@2"),
        ("git@github.com:o/r", "git@github.com:o/r"),
    ],
)
def test_credentials_in_an_address_are_masked(address: str, shown: str) -> None:
    assert origin("WORKFLOWS", "spots_repo", f"[MODELS]\nspots=s\nspots_repo={address}\n").value == shown


def test_a_named_cluster_shows_what_it_takes_from_the_default_one() -> None:
    texts = (
        "[SSH]\nhost=a\nkeepalive=9\n[SLURM]\nslurm_data_path=/d\nsbatch_qos=q\n",
        "[SLURM:b]\nslurm_data_path=/e\nsbatch_qos=\nsbatch_exclusive\n",
    )
    found = origins(layers_of(*texts), {"GPU_PARTITION": "g"})
    assert found["SSH:b", "host"] == Origin("b", "default")
    assert found["SSH:b", "keepalive"] == Origin("9", "0.ini:3")
    assert found["SLURM:b", "slurm_data_path"] == Origin("/e", "1.ini:2", (Origin("/d", "0.ini:5"),))
    assert found["SLURM:b", "gpu_partition"] == Origin("g", "variable GPU_PARTITION")
    assert found["SLURM:b", "slurm_script_path"] == Origin("slurm-scripts", "default")
    assert found["SLURM:b", "sbatch_qos"] == Origin(None, "1.ini:3", (Origin("q", "0.ini:6"),))
    assert found["SLURM:b", "sbatch_exclusive"] == Origin("", "1.ini:4")


def test_workflows_converters_and_options_are_shown_and_what_is_ignored_is_not() -> None:
    texts = (
        "[MODELS]\nspots=s # folder\nspots_job_mem=1G\nspots_image=i\n[CONVERTERS]\nzarr_to_tiff=o/c:1\nzarr=x\n",
        "[WORKFLOWS]\nspots=\n[SLURM]\nsbatch_account=lab\nodd=1\n",
    )
    found = origins(layers_of(*texts), {})
    assert found["WORKFLOWS", "spots"] == Origin(None, "1.ini:2", (Origin("s", "0.ini:2"),))
    assert found["WORKFLOWS", "spots_job_mem"] == Origin("1G", "0.ini:3")
    assert found["CONVERTERS", "zarr_to_tiff"].value == "o/c:1"
    assert found["SLURM", "sbatch_account"].value == "lab"
    assert not {("WORKFLOWS", "spots_image"), ("CONVERTERS", "zarr"), ("SLURM", "odd")} & found.keys()


def test_the_files_of_this_machine_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "slurm-config.ini"
    path.write_text("[SSH]\nhost=here\n")
    assert origins(load_layers(path, environ={}, default_paths=()), {})["SSH", "host"] == Origin("here", f"{path}:2")


_VALUES = {"inject_gpu_flag": ["yes", "off", ""], "sacct_days_ago": ["1", "2", ""], "slurm_data_path": ["/a", "/b", ""]}
_SECTION = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in _VALUES.items()})
_VARIABLES = {
    "BIOMERO_INJECT_GPU_FLAG": ["1", "no", "odd", ""],
    "BIOMERO_SACCT_START_DAYS_AGO": ["7", "odd", ""],
}


@given(
    st.lists(st.fixed_dictionaries({"SLURM": _SECTION}, optional={"SLURM:b": _SECTION}), max_size=3),
    st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in _VARIABLES.items()}),
)
def test_what_is_shown_is_what_counts(files: list[dict[str, dict[str, str]]], environ: dict[str, str]) -> None:
    texts = [
        "\n".join(
            f"[{name}]\n" + "\n".join(f"{key}={value}" for key, value in keys.items()) for name, keys in file.items()
        )
        for file in files
    ]
    layers = layers_of(*texts)
    settings = build(layers, environ)
    found = origins(layers, environ)
    for name, cluster in settings.clusters.items():
        section = "SLURM" if name == "default" else f"SLURM:{name}"
        for key in _VALUES:
            shown = found[section, key].value
            reader = models.written_fields(models.SlurmSettings)[key][1].reader
            assert getattr(cluster.slurm, key) == (None if shown is None else reader(shown))
