"""docs/analyses.md: its examples are read, are called as it says, and do what it says."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from worker.analyses.descriptor import parse_descriptor
from worker.analyses.review import example, remarks

TEXT = (Path(__file__).parents[3] / "docs" / "analyses.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```(?:json|yaml)\n(.*?)```\n\n    (.*?)\n", re.DOTALL)
EXAMPLES = {name: (descriptor, line) for name, descriptor, line in EXAMPLE.findall(TEXT)}


def test_there_is_an_example_of_each_schema() -> None:
    assert set(EXAMPLES) == {"biaflows", "bilayers", "biomero-schema"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_read_and_called_as_the_page_says(name: str) -> None:
    descriptor, line = EXAMPLES[name]
    analysis = parse_descriptor(descriptor, source=name)
    assert example(analysis) == line
    assert remarks(analysis) == ()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_program_of_the_page_runs_with_the_arguments_of_each_example(name: str, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "cells.py").write_text(program, encoding="utf-8")
    images, results = tmp_path / "in", tmp_path / "out"
    images.mkdir()
    results.mkdir()
    image = np.zeros((64, 64), np.uint16)
    image[5:25, 5:25] = image[35:60, 35:60] = 1000
    image[15:17, 15:17] = 0
    image[50, 2] = 1000
    tifffile.imwrite(images / "two.ome.tiff", image)
    arguments = EXAMPLES[name][1].replace("/data/in", str(images)).replace("/data/out", str(results))
    said = subprocess.run(
        [sys.executable, str(tmp_path / "cells.py"), *shlex.split(arguments)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    labels = tifffile.imread(results / "two_labels.tif")
    assert said == "100%\n"
    assert labels.max() == 2 or len(np.unique(labels)) == 3
    assert labels[15, 15] == labels[5, 5]
    with (results / "counts.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["image", "cells"], ["two.ome.tiff", "2"]]
