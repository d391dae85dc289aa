"""Images of one plate in several batches: their results are in one plate, whoever comes first, and once."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.lab.person import logged_in
from tests.system.interruption import Killed, MortalGateway
from tests.system.plate_bench import FIELDS, WELLS, PlateBench, fields_of, planes, plates_of
from tests.system.results_bench import NOTHING, Bench, ask, images_of_run, keys_of_run, maps_on, only
from worker.results.model import Batch, ImportOptions, ImportReport

if TYPE_CHECKING:
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Batches:
    """Two batches of a run: the second fields of all wells, and then the first ones."""

    members: tuple[Bench, Bench]
    plate_id: int
    turn: Any

    def bring(self, number: int, options: ImportOptions, gateway: Any = None) -> ImportReport:
        return self.members[number].bring(options, gateway=gateway, turn=self.turn)


def make_batches(plates: PlateBench, folder: Path) -> Batches:
    supervisor, lock = str(uuid.uuid4()), threading.Lock()
    members = []
    for number, field in enumerate(reversed(range(FIELDS)), start=1):
        sources = tuple(
            replace(each, path=f"field_{each.image_id}.tif", object_type="Image", object_id=each.image_id)
            for each in plates.bench.sources
            if each.path.endswith(f"/{field}")
        )
        ids = tuple(each.image_id for each in sources)
        provenance = replace(
            plates.bench.provenance,
            run_id=str(uuid.uuid4()),
            task_id=str(uuid.uuid4()),
            job_id=number,
            batch=Batch(supervisor, "nuclei", number, 2, "Image", ids),
        )
        out = folder / f"{supervisor}-{number}"
        out.mkdir()
        for (row, column), source in zip(WELLS, sources, strict=True):
            written = PlateBench(replace(plates.bench, folder=out), 0).write(row, column, field)
            written.rename(out / f"field_{source.image_id}_mask.tif")
        members.append(replace(plates.bench, folder=out, sources=sources, provenance=provenance))
    return Batches((members[0], members[1]), plates.plate_id, lambda: lock)


@pytest.fixture
def batches(plates: PlateBench, tmp_path: Path) -> Batches:
    return make_batches(plates, tmp_path)


def into_a_new_screen() -> ImportOptions:
    return replace(NOTHING, new_screen=f"screen {uuid.uuid4()}", allow_duplicate_screen=True)


def test_batches_at_the_same_time_make_one_plate_with_each_field_in_its_place(
    batches: Batches, lab: Lab, fresh: BlitzGateway
) -> None:
    # Nothing goes into the dataset, so there is none.
    options = replace(into_a_new_screen(), new_dataset=f"dataset {uuid.uuid4()}")

    def bring(number: int) -> ImportReport:
        with logged_in(lab, "alice") as gateway:
            return batches.bring(number, options, gateway)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(bring, range(2))
    (plate_id,) = plates_of(fresh, only(first, "Screen")).values()
    assert only(first, "Screen") == only(second, "Screen")
    assert not {each.kind for each in first.objects} & {"Dataset"}
    assert only(first, "Plate") == only(second, "Plate") == plate_id
    found = fields_of(fresh, plate_id)
    assert sorted(found) == [(row, column, field) for row, column in WELLS for field in range(FIELDS)]
    for place, image_id in found.items():
        plane = fresh.getObject("Image", image_id).getPrimaryPixels().getPlane(0, 0, 0)
        assert np.array_equal(plane, planes(*place)[0, 0, 0])
    assert first.notes == second.notes == ()
    # The plate says of which run it is; each image, of which batch.
    batch = batches.members[0].provenance.batch
    assert batch is not None
    (said,) = maps_on(fresh, "Plate", plate_id)["biomero/workflow"]
    assert said["Workflow_ID"] == batch.supervisor_id
    assert batch.supervisor_id in fresh.getObject("Plate", plate_id).getDescription()
    for (_, _, field), image_id in found.items():
        (about,) = maps_on(fresh, "Image", image_id)["biomero/workflow/batch"]
        assert about["Batch_Index"] == str(FIELDS - field)
    counted = MortalGateway(batches.members[0].gateway)
    assert batches.bring(0, options, counted) == first
    assert counted.writes == []


@pytest.mark.parametrize("moment", ["before the write", "after the write"])
@pytest.mark.parametrize(
    "few", [pytest.param(True, id="a few"), pytest.param(False, marks=pytest.mark.slow, id="every call")]
)
def test_a_batch_that_is_killed_and_repeated_joins_the_plate_of_the_others_once(
    plates: PlateBench, tmp_path: Path, lab: Lab, fresh: BlitzGateway, moment: str, few: bool
) -> None:
    options = into_a_new_screen()

    def state(made: Batches) -> dict[str, Any]:
        batch = made.members[0].provenance.batch
        assert batch is not None
        found = ask(fresh, "select p.id from Plate p where p.description like :said", said=f"%{batch.supervisor_id}%")
        return {
            "plates": [sorted(fields_of(fresh, plate_id)) for (plate_id,) in found],
            "images": [images_of_run(fresh, member) for member in made.members],
            "keys": [keys_of_run(fresh, member) for member in made.members],
        }

    clean, made = MortalGateway(plates.bench.gateway), make_batches(plates, tmp_path)
    made.bring(0, options, clean)
    made.bring(1, options)
    expected = state(made)
    assert [len(each) for each in expected["plates"]] == [len(WELLS) * FIELDS]
    kinds = ("saveAndReturnObject", "saveAndReturnArray") if few else ("",)
    numbers = [number for number, name in enumerate(clean.writes, 1) if name.startswith(kinds)]
    for number in (numbers[len(numbers) // 2], numbers[-1]) if few else numbers:
        made = make_batches(plates, tmp_path)
        with logged_in(lab, "alice") as mortal, pytest.raises(Killed):
            made.bring(0, options, MortalGateway(mortal, number, reply_lost=moment == "after the write"))
        made.bring(1, options)
        made.bring(0, options)
        assert state(made) == expected, f"killed {moment} {number}, {clean.writes[number - 1]}"
