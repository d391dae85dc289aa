"""What is made of the last words of a pull that failed."""

from __future__ import annotations

import pytest

from worker.cluster.pull_problems import last_words, remedy_for

FATAL = "FATAL:   While making image from oci registry: error fetching image to cache: "


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["INFO:    Starting build...", f"{FATAL}failed to get checksum for docker://x/y:v1: manifest unknown"],
            "manifest unknown",
        ),
        ([f"{FATAL}while building SIF from layers: no space left on device"], "no space left on device"),
        (["sbatch: error: Invalid account"], "Invalid account"),
        (["\x1b[31mFATAL:  \x1b[0m Unable to pull"], "Unable to pull"),
        (["INFO:    Converting OCI blobs to SIF format", "INFO:    Starting build..."], "Starting build..."),
        (["slurmstepd-n1: error: *** JOB 7 ON n1 CANCELLED AT x ***"], "*** JOB 7 ON n1 CANCELLED AT x ***"),
        (["", "  "], ""),
        ([], ""),
    ],
)
def test_what_tells_most_is_chosen(words: list[str], said: str) -> None:
    assert last_words(words) == said


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("write /tmp/build: no space left on device", "apptainer_tmpdir"),
        ("reading manifest v9 in example.org/x: manifest unknown", "container-image"),
        ("requested access to the resource is denied", "apptainer registry login"),
        ("pinging registry 127.0.0.1:34031: http: server gave HTTP response to HTTPS client", "APPTAINER_NOHTTPS"),
        ("toomanyrequests: You have reached your pull rate limit", "mirror"),
        ("dial tcp: lookup registry.example.org: no such host", "HTTPS_PROXY"),
        ("error writing layer: unexpected EOF", "Run it again"),
        ("neither apptainer nor singularity is on node7, nor do modules give one", "slurm_modules"),
        ("Slurm job: OUT_OF_MEMORY", "image_pull_mem"),
        ("Slurm job: TIMEOUT", "sbatch_time"),
        ("*** JOB 7 ON n1 CANCELLED AT 2026-01-02T03:04:05 DUE TO TIME LIMIT ***", "sbatch_time"),
        ("*** JOB 7 ON n1 CANCELLED AT 2026-01-02T03:04:05 ***", "has ended the job"),
        ("Batch job submission failed: Invalid partition name specified", "sbatch_ settings"),
        ("x509: certificate signed by unknown authority", "not trusted"),
        ("something that nobody has seen before", "Pull it by hand"),
    ],
)
def test_there_is_a_remedy_for_each(words: str, remedy: str) -> None:
    assert remedy in remedy_for([words], 1)


def test_one_that_was_killed_needs_another_place() -> None:
    assert "slurm_image_pull_via_sbatch" in remedy_for([], 137)
    assert "slurm_image_pull_via_sbatch" in remedy_for([], 0, lost=True)
