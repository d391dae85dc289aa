"""Reports of runs of every kind and outcome: honest about what is known, and about what is not."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest
from rocrate.rocrate import ROCrate

from tests.unit.engine.reported import SAID, SOURCES, analyse, ask, facts_of, step, submit
from worker.engine.batches import child_id
from worker.engine.report.crates import crate_files
from worker.engine.report.facts import gather
from worker.engine.report.links import link_to
from worker.engine.report.markdown import MOST_ROWS, render_markdown
from worker.engine.report.page import render_page
from worker.errors import RunNotFound
from worker.history.domain import Resubmission

if TYPE_CHECKING:
    from pathlib import Path

    from worker.engine.assembly import Record
    from worker.engine.report.model import RunFacts


class TestACompletedAnalysis:
    @pytest.fixture
    def facts(self, record: Record) -> RunFacts:
        run_id = ask(record)
        analyse(record, run_id)
        return facts_of(record, run_id)

    def test_nothing_is_missing(self, facts: RunFacts) -> None:
        assert (facts.status, facts.gaps) == ("completed", ())

    def test_what_is_needed_to_do_it_again_is_said(self, facts: RunFacts) -> None:
        text = render_markdown(facts)
        for said in ("1" * 64, "d" * 64, "5" * 64, "b" * 64, "0123456789" * 4, "slurm 24.11.5", "sbatch --parsable"):
            assert said in text
        assert "| diameter | `30` | default |" in text
        assert "60 s, 4 CPUs, 1.0 GiB of memory" in text

    def test_a_sentence_for_a_methods_section_cites(self, facts: RunFacts) -> None:
        methods = render_markdown(facts).partition("## For a methods section")[2].partition("\n##")[0]
        assert "1 image from OMERO was analysed with Nuclei v1" in methods
        assert "diameter = 30 (default)" in methods
        assert "https://doi.org/10.1007/978-3-030-00934-2_30" in methods
        assert "BSD-3" in methods

    def test_nobody_is_told_whom_slurm_writes_to(self, facts: RunFacts) -> None:
        assert "example.org>" not in render_markdown(facts)
        assert "alice@" not in json.dumps(dataclasses.asdict(facts))

    def test_names_that_persons_chose_are_text(self, facts: RunFacts) -> None:
        page = render_page(facts, link_to("https://omero.example.org"))
        assert "<script>" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert 'href="javascript' not in page
        # The table of images has as many cells as its head, whatever is in them.
        images = page.partition("Images that were analysed")[2].partition("</table>")[0]
        assert images.count("<td>") == images.count("<th>") == 3

    def test_what_looks_like_a_heading_or_a_list_is_text_too(self, facts: RunFacts) -> None:
        notes = (
            "# one",
            "2. two",
            "- three",
            "--- four",
            "=",
            "5) five",
            "-6 °C",
            "v1_2_3 of (my_lab)",
            "*a* _b_ __c__",
        )
        said = dataclasses.replace(facts, notes=notes)
        text = render_markdown(said)
        # Whoever copies it from the file itself does not meet a mark that is not needed.
        assert "- -6 °C\n- v1_2_3 of (my_lab)\n" in text
        listed = render_page(said).partition("<h2>Notes</h2>")[2].partition("<h2>")[0]
        assert listed.count("<li>") == len(notes)
        assert not any(tag in listed for tag in ("<h1>", "<ol", "<hr", "<em>", "<strong>", "<ul>\n<li>\n<ul>"))
        for note in notes:
            assert f"<li>{note}</li>" in listed

    def test_objects_lead_to_omero_web(self, facts: RunFacts) -> None:
        text = render_markdown(facts, link_to("https://omero.example.org"))
        assert "[mask (id 99)](<https://omero.example.org/webclient/?show=image-99>)" in text

    def test_the_crate_has_everything_that_it_names(self, facts: RunFacts, tmp_path: Path) -> None:
        files = crate_files(facts)
        assert files == crate_files(facts)
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        read = ROCrate(tmp_path)
        assert read.mainEntity["name"] == "Nuclei"
        assert {part.id for part in read.root_dataset["hasPart"]} <= files.keys()
        assert read.get("README.md")["about"] == read.root_dataset


def test_a_failed_analysis_says_why_and_claims_no_results(record: Record) -> None:
    run_id = ask(record)
    analyse(record, run_id, ok=False)
    facts = facts_of(record, run_id)
    text = render_markdown(facts)
    assert "**failed**: It failed\\." not in text
    assert "**failed**: It failed." in text
    assert "For a methods section" not in text
    assert text.partition("## What is in OMERO")[2].startswith("\n\nNone.")
    crate = json.loads(crate_files(facts)["ro-crate-metadata.json"])
    (action,) = [each for each in crate["@graph"] if each["@type"] == "CreateAction"]
    assert (action["actionStatus"].rpartition("/")[2], action["error"]) == ("FailedActionStatus", "It failed.")


def test_every_job_of_an_analysis_is_told(record: Record) -> None:
    run_id = ask(record)
    task_id = record.tracker.run(run_id).tasks[1]
    record.tracker.start_workflow(run_id)
    step(record, run_id, "export", {"sources": SOURCES})
    submit(record, run_id, 40, str(task_id))
    record.tracker.end_job(task_id, 40, {"state": "OUT_OF_MEMORY", "exit_code": 137, "reason": "", **SAID})
    record.tracker.reopen_steps(
        run_id,
        ["submit/0", "watch/0"],
        reason="more memory",
        by="engine",
        resubmissions={task_id: Resubmission(2, "OUT_OF_MEMORY", {"mem": "8GB"})},
    )
    submit(record, run_id, 41, f"{task_id}.2")
    facts = facts_of(record, run_id)
    (analysis,) = facts.analyses
    assert [(job.number, job.job_id, job.state) for job in analysis.jobs] == [
        (1, 40, "OUT_OF_MEMORY"),
        (2, 41, "CREATED"),
    ]
    assert "more memory" in analysis.jobs[0].reason
    assert facts.status == "running"
    crate = json.loads(crate_files(facts)["ro-crate-metadata.json"])
    outcomes = [each["actionStatus"].rpartition("/")[2] for each in crate["@graph"] if each["@type"] == "CreateAction"]
    assert outcomes == ["FailedActionStatus", "ActiveActionStatus"]


def test_a_run_that_goes_on_says_so(record: Record) -> None:
    run_id = ask(record)
    facts = facts_of(record, run_id)
    assert facts.status == "running"
    assert "The run has not ended: this report says how it is at the moment." in facts.gaps
    assert "nuclei: no job was submitted." in facts.gaps
    assert "For a methods section" not in render_markdown(facts)


def test_a_cancelled_run_says_by_whom(record: Record) -> None:
    run_id = ask(record)
    record.tracker.request_cancel(run_id, "alice")
    record.tracker.fail_workflow(run_id, "Cancelled by alice.")
    facts = facts_of(record, run_id)
    assert facts.status == "cancelled"
    assert "**cancelled**: Cancelled by alice." in render_markdown(facts)


def test_a_digest_that_nobody_verified_is_not_claimed(record: Record) -> None:
    run_id = ask(record)
    task_id = record.tracker.run(run_id).tasks[1]
    analyse(record, run_id)
    record.tracker.end_job(task_id, 41, {"state": "COMPLETED", "exit_code": 0, "reason": ""})
    facts = facts_of(record, run_id)
    assert any("was not verified" in gap for gap in facts.gaps)
    text = render_markdown(facts)
    assert "1" * 64 not in text
    assert "docker://org/w_nuclei:v1" in text.partition("as configured")[2].partition("\n")[0]


def test_a_run_from_before_facts_were_recorded_says_so(record: Record) -> None:
    run_id = ask(record)
    task_id = record.tracker.run(run_id).tasks[1]
    record.tracker.intend_submission(task_id, str(task_id))
    record.tracker.add_job_id(task_id, 41)
    step(record, run_id, "submit/0", {"job_id": 41, "key": str(task_id)})
    step(record, run_id, "watch/0", {"ok": True, "job_id": 41, "state": "COMPLETED", "exit_code": 0})
    record.tracker.complete_workflow(run_id)
    facts = facts_of(record, run_id)
    assert any("was not recorded yet" in gap for gap in facts.gaps)
    assert facts.analyses[0].provenance.parameters == {"diameter": 30}
    assert json.loads(crate_files(facts)["ro-crate-metadata.json"])


def test_a_run_of_another_tool_is_told_as_far_as_it_is_known(record: Record) -> None:
    run_id = record.tracker.initiate_workflow("cellpose", "by hand\n1.0", 3, 4)
    facts = facts_of(record, run_id)
    assert (facts.kind, facts.user_name) == ("unknown", "")
    assert "Another tool has made this run" in facts.gaps[0]
    assert "OMERO id 3" in render_markdown(facts)
    assert json.loads(crate_files(facts)["ro-crate-metadata.json"])


def test_a_transfer_has_a_report(record: Record) -> None:
    run_id = ask(record, kind="transfer", workflows=[], folder="mine")
    step(record, run_id, "export", {"sources": SOURCES, "notes": ["1 files are at data/mine."]})
    record.tracker.complete_workflow(run_id)
    facts = facts_of(record, run_id)
    assert facts.gaps == ()
    assert "transfer of images" in render_markdown(facts)
    crate = json.loads(crate_files(facts)["ro-crate-metadata.json"])
    (action,) = [each for each in crate["@graph"] if each["@type"] == "CreateAction"]
    assert action["object"] == {"@id": "#omero-image-7"}


def test_a_conversion_has_a_report(record: Record) -> None:
    ask(record, kind="transfer", workflows=[], folder="mine")
    maker = record.reader.list_runs()[0].run_id
    step(record, maker, "export", {"sources": SOURCES})
    record.tracker.complete_workflow(maker)
    conversion = {"source": "zarr", "target": "tiff"}
    run_id = ask(record, kind="conversion", workflows=[], ids=[], folder="mine", conversion=conversion)
    task_id = record.tracker.run(run_id).tasks[0]
    record.tracker.intend_submission(task_id, str(task_id), {"worker": "0.1"})
    record.tracker.add_job_id(task_id, 50)
    record.tracker.end_job(task_id, 50, {"state": "COMPLETED", "exit_code": 0, "reason": "", **SAID})
    record.tracker.complete_workflow(run_id)
    facts = facts_of(record, run_id)
    assert [(job.job_id, job.state) for job in facts.jobs] == [(50, "COMPLETED")]
    assert "| 50 | COMPLETED | 0 | n1 |" in render_markdown(facts)
    crate = json.loads(crate_files(facts)["ro-crate-metadata.json"])
    (image,) = [each for each in crate["@graph"] if each["@type"] == "ContainerImage"]
    assert image["sha256"] == "1" * 64


def test_an_import_of_earlier_results_says_whose_they_are(record: Record) -> None:
    earlier = ask(record)
    analyse(record, earlier)
    task_id = record.tracker.run(earlier).tasks[1]
    finished = {"run_id": str(earlier), "task_id": str(task_id), "job_id": 41}
    output = {"zip_to_parent": True}
    run_id = ask(record, kind="results", workflows=[], ids=[], finished=finished, output=output)
    image = {"kind": "Image", "object_id": 100, "name": "mask"}
    step(record, run_id, "import/0", {"objects": [image], "notes": []})
    record.tracker.complete_workflow(run_id)
    facts = facts_of(record, run_id)
    assert [item.object_id for item in facts.objects] == [100]
    assert f"| Results of | job 41 of run {earlier} |" in render_markdown(facts)
    assert json.loads(crate_files(facts)["ro-crate-metadata.json"])


def test_a_parent_tells_of_its_batches(record: Record) -> None:
    parent = ask(record, ids=[7, 8], batch={"size": 1})
    step(record, parent, "split", {"data_type": "Image", "batches": [[7], [8]], "parallel": 2})
    child = child_id(parent, 1)
    ask(record, child, parent={"run_id": str(parent), "index": 1, "total": 2}, data_path="data")
    analyse(record, child)
    record.tracker.intend_step(parent, "child/1", str(child))
    facts = facts_of(record, parent)
    assert [batch.run_id for batch in facts.batches] == [str(child)]
    assert [item.object_id for item in facts.objects] == [99]
    assert "1 of 2 batches have not been started." in facts.gaps
    text = render_markdown(facts)
    assert f"| 1 of 2 | {child} | completed |" in text
    assert "1 image from OMERO was analysed with Nuclei" in text
    crate = json.loads(crate_files(facts)["ro-crate-metadata.json"])
    assert [each["name"] for each in crate["@graph"] if each["@type"] == "CreateAction"] == ["nuclei v1 (Slurm job 41)"]
    assert "1 of 2 of run" in render_markdown(facts.batches[0])


def test_long_tables_are_cut_for_persons_alone(record: Record) -> None:
    run_id = ask(record)
    analyse(record, run_id, files=MOST_ROWS + 5)
    facts = facts_of(record, run_id)
    assert "... and 5 more." in render_markdown(facts)
    assert len(facts.analyses[0].outputs) == MOST_ROWS + 5


def test_somebody_else_s_run_is_not_found(record: Record) -> None:
    run_id = ask(record)
    assert gather(record.tracker, record.reader, run_id, user=3).run_id == str(run_id)
    with pytest.raises(RunNotFound):
        gather(record.tracker, record.reader, run_id, user=5)
