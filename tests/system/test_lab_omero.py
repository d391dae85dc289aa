"""The OMERO half of the lab: scripts through a real Processor, OMERO.web in a real browser, exports."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import omero
import omero.scripts
import pytest
import zarr
from omero.rtypes import rbool, rint, rlist, rlong, rstring, unwrap

from tests.lab.omero.images import import_image, make_plate
from tests.lab.omero.private import UPSTREAM_WARNINGS
from tests.lab.person import logged_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.description import Lab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(300),
    *(pytest.mark.filterwarnings(warning) for warning in UPSTREAM_WARNINGS),
]

PIXELS = np.random.default_rng(2).integers(0, 4_000, (1, 2, 3, 40, 50), dtype="uint16")

SUM = """
import sys
import omero.scripts as scripts
from omero.gateway import BlitzGateway
from omero.rtypes import rlong, robject, rstring

client = scripts.client(
    "Sum.py", "Adds up the pixels of an image.",
    scripts.String("Data_Type", optional=False, grouping="1", values=[rstring("Dataset"), rstring("Image")],
                   default="Image"),
    scripts.List("IDs", optional=False, grouping="2").ofType(rlong(0)),
    scripts.Int("Factor", grouping="3", min=1, max=10, default=1),
    scripts.Bool("Fail", grouping="4", default=False),
    scripts.Int("Seconds", grouping="5", default=0),
    version="1.0.0", namespaces=[NAMESPACE] if NAMESPACE else [],
)
try:
    inputs = client.getInputs(unwrap=True)
    print("working on", inputs["IDs"])
    print("to stderr", file=sys.stderr)
    if inputs["Fail"]:
        raise ValueError("told to fail")
    import time
    time.sleep(inputs["Seconds"])
    gateway = BlitzGateway(client_obj=client)
    image = gateway.getObject("Image", inputs["IDs"][0])
    total = int(image.getPrimaryPixels().getPlane(0, 0, 0).sum()) * inputs["Factor"]
    client.setOutput("Total", rlong(total))
    client.setOutput("Image", robject(image._obj))
    client.setOutput("Message", rstring("the sum is %d" % total))
finally:
    client.closeSession()
"""


@pytest.fixture
def alice(lab: Lab) -> Iterator[Any]:
    with logged_in(lab, "alice") as gateway:
        yield gateway


@pytest.fixture
def image_id(alice: Any) -> int:
    return import_image(alice, PIXELS, "of the lab", pixel_size_um=0.5, channel_names=["DAPI", "GFP"])


@pytest.fixture(scope="module")
def script(lab: Lab) -> Iterator[tuple[int, str]]:
    """An official script: its id and name."""
    with uploaded(lab, namespace=None) as found:
        yield found


class uploaded:  # noqa: N801  # a context manager
    """An official script that is there for the length of a block."""

    def __init__(self, lab: Lab, *, namespace: str | None) -> None:
        self._lab = lab
        self._text = SUM.replace("[NAMESPACE] if NAMESPACE else []", repr([namespace] if namespace else []))
        self._name = f"Sum_{uuid.uuid4().hex[:8]}.py"
        self._id = 0

    def __enter__(self) -> tuple[int, str]:
        with logged_in(self._lab, "root") as root:
            self._id = root.getScriptService().uploadOfficialScript(f"/checks/{self._name}", self._text)
        return self._id, self._name

    def __exit__(self, *_: object) -> None:
        with logged_in(self._lab, "root") as root:
            root.getScriptService().deleteScript(self._id)


def run(gateway: Any, script_id: int, image_id: int, **inputs: Any) -> Any:
    values = {"Data_Type": rstring("Image"), "IDs": rlist([rlong(image_id)])} | inputs
    return gateway.getScriptService().runScript(script_id, values, None, gateway.SERVICE_OPTS)


def finished(process: Any, timeout_s: float = 120.0) -> int:
    deadline = time.monotonic() + timeout_s
    while (status := process.poll()) is None:
        assert time.monotonic() < deadline, "the script does not end"
        time.sleep(0.2)
    return int(status.val)


def test_a_script_tells_what_it_asks_for(alice: Any, script: tuple[int, str]) -> None:
    parameters = alice.getScriptService().getParams(script[0])
    assert set(parameters.inputs) == {"Data_Type", "IDs", "Factor", "Fail", "Seconds"}
    assert unwrap(parameters.inputs["Data_Type"].values) == ["Dataset", "Image"]
    assert (unwrap(parameters.inputs["Factor"].min), unwrap(parameters.inputs["Factor"].max)) == (1, 10)


def test_a_script_runs_and_returns_what_it_found(alice: Any, script: tuple[int, str], image_id: int) -> None:
    process = run(alice, script[0], image_id, Factor=rint(2))
    assert finished(process) == 0
    assert process.getJob().status.value.val == "Finished"
    results = process.getResults(0)
    total = int(PIXELS[0, 0, 0].sum()) * 2
    assert results["Total"].val == total
    assert results["Message"].val == f"the sum is {total}"
    assert results["Image"].val.id.val == image_id
    stdout = alice.getObject("OriginalFile", results["stdout"].val.id.val)
    assert b"".join(stdout.getFileInChunks()).decode() == f"working on [{image_id}]\n"


def test_a_script_that_fails_is_an_error_with_its_traceback(alice: Any, script: tuple[int, str], image_id: int) -> None:
    process = run(alice, script[0], image_id, Fail=rbool(True))
    assert finished(process) == 1
    assert process.getJob().status.value.val == "Error"
    stderr = alice.getObject("OriginalFile", process.getResults(0)["stderr"].val.id.val)
    assert "ValueError: told to fail" in b"".join(stderr.getFileInChunks()).decode()


def test_inputs_that_are_not_allowed_are_refused(alice: Any, script: tuple[int, str], image_id: int) -> None:
    with pytest.raises(omero.ValidationException, match="Factor"):
        run(alice, script[0], image_id, Factor=rint(11))


def test_a_script_can_be_cancelled(alice: Any, script: tuple[int, str], image_id: int) -> None:
    process = run(alice, script[0], image_id, Seconds=rint(100))
    deadline = time.monotonic() + 30
    while process.getJob().status.value.val != "Running" and time.monotonic() < deadline:
        time.sleep(0.2)
    process.cancel()
    assert finished(process) != 0


def test_what_a_dynamic_script_asks_for_is_never_remembered(lab: Lab, alice: Any) -> None:
    with uploaded(lab, namespace=omero.constants.namespaces.NSDYNAMIC) as (script_id, _):
        service = alice.getScriptService()
        count = "select count(j) from ParseJob j"
        jobs = []
        for _ in range(2):
            service.getParams(script_id)
            jobs.append(alice.getQueryService().projection(count, None, alice.SERVICE_OPTS)[0][0].val)
        assert jobs[1] == jobs[0] + 1


def test_omero_cli_zarr_exports_what_is_there(lab: Lab, alice: Any, image_id: int, tmp_path: Path) -> None:
    export_with_cli(lab, alice, f"Image:{image_id}", tmp_path)
    (path,) = tmp_path.glob("*.zarr")
    exported = zarr.open_array(path / "0", mode="r")
    np.testing.assert_array_equal(np.reshape(exported[:], PIXELS.shape), PIXELS)


def test_omero_cli_zarr_exports_a_plate(lab: Lab, alice: Any, tmp_path: Path) -> None:
    fields = np.random.default_rng(3).integers(0, 255, (2, 2, 2, 16, 16), dtype="uint8")
    plate_id = make_plate(alice, "plate", 2, 2, 2, lambda row, column, field: fields[row, column, field])
    export_with_cli(lab, alice, f"Plate:{plate_id}", tmp_path)
    (path,) = tmp_path.glob("*.zarr")
    for row, column, field in np.ndindex(2, 2, 2):
        exported = zarr.open_array(path / "AB"[row] / str(column + 1) / str(field) / "0", mode="r")
        np.testing.assert_array_equal(np.squeeze(exported[:]), fields[row, column, field])


def export_with_cli(lab: Lab, gateway: Any, target: str, directory: Path) -> None:
    """Export as ``omero zarr export`` does; that command itself refuses to run as root."""
    login = ["-s", str(lab.omero_host), "-p", str(lab.omero_port), "-k", gateway.c.getSessionId()]
    arguments = ["zarr", *login, "--output", str(directory), "export", target]
    program = (
        "import sys; from omero.cli import CLI; cli = CLI(); cli.loadplugins(); cli.invoke(sys.argv[1:], strict=True)"
    )
    completed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "OMERODIR": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_a_person_runs_a_script_in_the_browser(lab: Lab, script: tuple[int, str], image_id: int) -> None:
    from playwright.sync_api import TimeoutError, sync_playwright  # noqa: A004 - playwright's own

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    arguments += ["--disable-sync", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", headless=True, args=arguments)
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        failures: list[str] = []
        context.on("response", lambda answer: failures.append(answer.url) if answer.status >= 400 else None)
        page = context.new_page()
        address = f"http://{lab.web_host}:{lab.web_port}/webclient"
        page.goto(f"{address}/login/")
        page.fill("#id_username", "alice")
        page.fill("#id_password", lab.omero_users["alice"])
        page.click("input[type=submit]")
        page.wait_for_selector("#dataTree .jstree-node", timeout=60_000)
        page.goto(f"{address}/?show=image-{image_id}")
        # Not "networkidle": the page goes on asking for the state of activities.
        page.wait_for_selector("#dataTree .jstree-clicked >> text=/./", timeout=60_000)
        page.click("#scriptButton")
        page.click("#scriptList >> text=checks", timeout=90_000)
        name = script[1].removesuffix(".py").replace("_", " ")
        with context.expect_page() as opened:
            page.click(f"#scriptList >> text=/{name}|{script[1]}/")
        dialog = opened.value
        dialog.wait_for_selector("input[name=Factor]")
        assert dialog.input_value("input[name=IDs]") == str(image_id)
        dialog.fill("input[name=Factor]", "3")
        dialog.click("input[type=submit]")
        page.bring_to_front()
        total = int(PIXELS[0, 0, 0].sum()) * 3
        page.click("#launch_activities")
        try:
            page.wait_for_selector(f"#activities_panel >> text=the sum is {total}", timeout=120_000)
        except TimeoutError as error:
            raise AssertionError(f"Activities: {page.inner_text('#activities_panel')!r}, failed: {failures}") from error
        assert not failures
        browser.close()
