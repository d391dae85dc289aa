"""Options of sbatch: every rule about which of two levels wins, and what is never let through."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from worker.cluster import flags
from worker.cluster.flags import DEFAULT_FLAGS, sbatch_flags
from worker.errors import SettingsError
from worker.settings import sbatch_options
from worker.settings.models import SlurmSettings, WorkflowSettings

LINE = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1)
"""Printable characters."""

LEVELS = ("default", "resources", "script", "mail", "global", "default partition", "gpu", "workflow", "chosen")
"""The lowest first."""

SAID_BY: dict[str, set[str]] = {
    "partition": {"resources", "script", "global", "default partition", "gpu", "workflow", "chosen"},
    "time": {"default", "resources", "script", "global", "workflow", "chosen"},
    "mem": {"default", "resources", "script", "global", "workflow", "chosen"},
    "cpus-per-task": {"default", "resources", "script", "global", "workflow", "chosen"},
    "mail-user": {"resources", "script", "mail", "global", "workflow", "chosen"},
    "gres": {"resources", "script", "global", "gpu", "workflow", "chosen"},
    "gpus": {"resources", "script", "global", "gpu", "workflow", "chosen"},
}
"""Which levels can say what."""


def value_of(level: str, flag: str) -> str:
    if level == "default":
        return str(DEFAULT_FLAGS[flag])
    return f"{level.replace(' ', '-')}@example.org" if flag == "mail-user" else f"of-{level.replace(' ', '-')}"


def merged(levels: set[str], *names: str, **more: Any) -> dict[str, str | None]:
    """Merge options of which each level that is named says those that it can."""

    def said(level: str) -> dict[str, str | None]:
        if level not in levels:
            return {}
        return {flag: value_of(level, flag) for flag in names if level in SAID_BY[flag]}

    gpu = said("gpu")
    slurm = SlurmSettings(
        sbatch_flags=said("global"),
        slurm_default_partition=said("default partition").get("partition"),
        gpu_partition=gpu.get("partition"),
        gpu_gres=gpu.get("gres"),
        gpu_gpus=gpu.get("gpus"),
    )
    workflow = WorkflowSettings(name="w", image_folder="w", job_flags=said("workflow"), use_gpu=True)
    return sbatch_flags(
        slurm,
        workflow,
        email=said("mail").get("mail-user"),
        resources=said("resources"),
        script=said("script"),
        chosen=said("chosen"),
        **more,
    )


PAIRS = [
    (flag, lower, higher)
    for flag, levels in SAID_BY.items()
    for lower, higher in itertools.combinations([level for level in LEVELS if level in levels], 2)
]


class TestWhichLevelWins:
    @pytest.mark.parametrize(("flag", "lower", "higher"), PAIRS)
    def test_the_higher_of_two(self, flag: str, lower: str, higher: str) -> None:
        assert merged({lower, higher}, flag)[flag] == value_of(higher, flag)
        assert merged({lower}, flag)[flag] == value_of(lower, flag)

    def test_that_is_every_pair_of_levels_that_can_meet(self) -> None:
        met = {frozenset(pair[1:]) for pair in PAIRS}
        cannot = {
            # These say options that the other never does.
            *(frozenset({"mail", other}) for other in ("default", "default partition", "gpu")),
            *(frozenset({"default", other}) for other in ("default partition", "gpu")),
        }
        assert met | cannot == {frozenset(pair) for pair in itertools.combinations(LEVELS, 2)}
        assert not met & cannot

    @given(st.sets(st.sampled_from(LEVELS), min_size=1), st.sampled_from(sorted(SAID_BY)))
    def test_of_many_the_highest(self, levels: set[str], flag: str) -> None:
        able = [level for level in LEVELS if level in levels | {"default"} and level in SAID_BY[flag]]
        assert merged(levels, flag).get(flag) == (value_of(able[-1], flag) if able else None)

    def test_options_that_nobody_else_says_stay(self) -> None:
        found = merged(set(LEVELS), "partition", "mail-user", "time")
        assert found["partition"] == "of-chosen"
        assert found["mail-type"] == "END,FAIL"
        assert found["mem"] == DEFAULT_FLAGS["mem"]

    def test_nothing_is_asked_for_that_nobody_said(self) -> None:
        assert merged(set()) == dict(DEFAULT_FLAGS)

    def test_an_option_without_a_value_wins_too(self) -> None:
        workflow = WorkflowSettings(name="w", image_folder="w", job_flags={"exclusive": None})
        assert sbatch_flags(SlurmSettings(sbatch_flags={"exclusive": "user"}), workflow)["exclusive"] is None

    @pytest.mark.parametrize("blank", ["", "  ", "\t"])
    @pytest.mark.parametrize("level", ["resources", "script", "chosen"])
    def test_a_blank_value_says_nothing(self, level: str, blank: str) -> None:
        workflow = WorkflowSettings(name="w", image_folder="w", job_flags={"time": blank})
        slurm = SlurmSettings(sbatch_flags={"time": "7", "mem": blank}, slurm_default_partition=blank)
        levels: dict[str, Any] = {level: {"time": blank}}
        found = sbatch_flags(slurm, workflow, **levels)
        assert (found["time"], found["mem"]) == ("7", DEFAULT_FLAGS["mem"])
        assert "partition" not in found

    @pytest.mark.parametrize(
        "group",
        [("mem", "mem-per-cpu", "mem-per-gpu"), ("gres", "gpus", "gpus-per-node"), ("cpus-per-task", "cpus-per-gpu")],
    )
    def test_options_that_exclude_each_other_do_not_meet(self, group: tuple[str, ...]) -> None:
        for lower, higher in itertools.permutations(group, 2):
            found = flags.merge([DEFAULT_FLAGS, {lower: "1"}, {higher: "2"}])
            assert {name: value for name, value in found.items() if name in group} == {higher: "2"}

    @pytest.mark.parametrize("level", ["global", "script", "workflow", "chosen", "resources"])
    @pytest.mark.parametrize("flag", sorted(sbatch_options.RESERVED))
    def test_what_would_make_a_job_unfindable_is_left_out_and_told(self, level: str, flag: str) -> None:
        said: dict[str, str | None] = {flag: "x"}
        slurm = SlurmSettings(sbatch_flags=said if level == "global" else {})
        workflow = WorkflowSettings(name="w", image_folder="w", job_flags=said if level == "workflow" else {})
        levels: dict[str, Any] = {level: said} if level in ("script", "chosen", "resources") else {}
        with capture_logs() as logs:
            assert flag not in sbatch_flags(slurm, workflow, **levels)
        assert [(entry["event"], entry["flag"]) for entry in logs] == [("sbatch_flag_ignored", flag)]

    @pytest.mark.parametrize(("name", "value"), [("a b", "1"), ("-x", "1"), ("x", "1\n#SBATCH --uid=0"), ("x;y", "1")])
    def test_what_is_no_option_is_refused(self, name: str, value: str) -> None:
        with pytest.raises(SettingsError):
            flags.merge([{name: value}])


class TestTheGpu:
    @pytest.mark.parametrize("inject", [False, True])
    @pytest.mark.parametrize("chosen", [None, False, True])
    @pytest.mark.parametrize("configured", [None, False, True])
    @pytest.mark.parametrize("described", [False, True])
    def test_who_decides(self, inject: bool, chosen: bool | None, configured: bool | None, described: bool) -> None:
        # The person where it is offered; else the admin; else the analysis itself.
        expected = chosen if inject and chosen is not None else described if configured is None else configured
        slurm = SlurmSettings(inject_gpu_flag=inject, gpu_partition="gpus", gpu_gres="gpu:1")
        workflow = WorkflowSettings(name="w", image_folder="w", use_gpu=configured)
        found = sbatch_flags(slurm, workflow, use_gpu=chosen, described_gpu=described)
        assert ("gres" in found, "partition" in found) == (expected, expected)
        assert flags.gpu_active(slurm, workflow, chosen, described=described) is expected
        # Without injection every container is given the drivers, as ever.
        assert flags.gives_nv(slurm, workflow, chosen, described=described) is (expected or not inject)

    @pytest.mark.parametrize("setting", ["gpu_partition", "gpu_gres", "gpu_gpus"])
    def test_each_setting_counts_by_itself(self, setting: str) -> None:
        workflow = WorkflowSettings(name="w", image_folder="w", use_gpu=True)
        found = sbatch_flags(SlurmSettings.model_validate({setting: "x"}), workflow)
        assert {name: value for name, value in found.items() if name not in DEFAULT_FLAGS} == {
            setting.removeprefix("gpu_"): "x"
        }

    def test_a_workflow_with_gpus_of_its_own_gets_no_others(self) -> None:
        workflow = WorkflowSettings(name="w", image_folder="w", use_gpu=True, job_flags={"gres": "gpu:2"})
        found = sbatch_flags(SlurmSettings(gpu_gpus="1"), workflow)
        assert (found["gres"], "gpus" in found) == ("gpu:2", False)


class TestWhatTheAnalysisNeeds:
    def test_it_is_asked_for(self) -> None:
        assert flags.resource_flags(cores=16, memory_mib=65536) == {"cpus-per-task": "16", "mem": "64G"}
        assert flags.resource_flags(memory_mib=8193) == {"mem": "8193M"}

    def test_that_it_can_do_with_less_is_no_reason_to_give_it_less(self) -> None:
        assert flags.resource_flags(cores=1, memory_mib=512) == {}
        assert flags.resource_flags(cores=4, memory_mib=5120) == {}
        assert flags.resource_flags() == {}


def test_what_a_person_chose_is_written_as_sbatch_takes_it() -> None:
    found = flags.chosen_flags(time_s=100_000, memory_mib=65536, partition="short")
    assert found == {"time": "1-03:46:40", "mem": "64G", "partition": "short"}
    assert flags.chosen_flags() == {}


class TestMail:
    def flags(self, email: str | None) -> dict[str, str | None]:
        return sbatch_flags(SlurmSettings(), WorkflowSettings(name="w", image_folder="w"), email=email)

    @pytest.mark.parametrize(
        "address", ["a@b.org", "first.last+tag@sub.example-site.nl", "a_b%c=d@x1.io", f"{'a' * 64}@b.org", " a@b.org\n"]
    )
    def test_an_address_is_told(self, address: str) -> None:
        found = self.flags(address)
        assert (found["mail-user"], found["mail-type"]) == (address.strip(), "END,FAIL")

    @pytest.mark.parametrize(
        "address",
        ["a", "@b.org", "a@", "a@b", "a@@b.org", "a b@c.org", "a@b.org; touch /tmp/pwned", "a@b.org,c@d.org",
         "$(id)@b.org", "`id`@b.org", "-oQ/tmp@b.org", "a@-b.org", "a@b-.org", "a@b..org", ".a@b.org", "a.@b.org",
         "a..b@c.org", '"a b"@c.org', "a\n@b.org", "a@[127.0.0.1]", "a@127.0.0.1", "ä@b.org", "a@bü.org",
         f"{'a' * 65}@b.org", f"a@{'b' * 64}.org", f"a@{'b.' * 130}org", "a'b@c.org", "a|b@c.org", "a\0@b.org"],
    )  # fmt: skip
    def test_what_is_none_never_reaches_sbatch(self, address: str) -> None:
        with capture_logs() as logs:
            found = self.flags(address)
        assert not [name for name in found if "mail" in name]
        assert [entry["event"] for entry in logs] == ["mail_address_ignored"]

    @pytest.mark.parametrize("nobody", [None, ""])
    def test_nobody_is_told_without_an_address(self, nobody: str | None) -> None:
        with capture_logs() as logs:
            assert "mail-type" not in self.flags(nobody)
        assert logs == []

    @given(st.text())
    def test_an_address_holds_nothing_that_a_shell_or_mailer_could_obey(self, text: str) -> None:
        address = flags.mail_address(text)
        assert address is None or (address.isascii() and not set(address) & set(" \t\n\"'`$\\;&|<>()[]{}*?!#~,"))


class TestLinesOfASitesScript:
    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("#SBATCH --time=01:00:00", {"time": "01:00:00"}),
            ("#SBATCH --time 01:00:00", {"time": "01:00:00"}),
            ("#SBATCH -t 5", {"time": "5"}),
            ("#SBATCH -t5 -p gpu", {"time": "5", "partition": "gpu"}),
            ("#SBATCH   --exclusive", {"exclusive": None}),
            ("#SBATCH --exclusive --mem=4G # all of it", {"exclusive": None, "mem": "4G"}),
            ('#SBATCH --constraint="a b" --comment=\'c "d"\'', {"constraint": "a b", "comment": 'c "d"'}),
            ("#SBATCH --output=my.log --array=1-4 -o x", {}),
            ("#SBATCH", {}),
            ("# SBATCH --time=1", {}),
            (" #SBATCH --time=1", {}),
            ("##SBATCH --time=1", {}),
        ],
    )
    def test_a_line_is_read_as_sbatch_does(self, line: str, found: dict[str, str | None]) -> None:
        assert flags.directives_in(f"#!/bin/bash\n# why\n\n{line}\n") == found

    def test_lines_after_the_first_command_do_not_count(self) -> None:
        assert flags.directives_in("#!/bin/sh\n#SBATCH -c 2\necho\n#SBATCH --time=1\n") == {"cpus-per-task": "2"}

    @given(st.dictionaries(st.sampled_from(["account", "constraint", "qos"]), LINE))
    def test_what_we_write_is_read_again(self, said: dict[str, str | None]) -> None:
        text = "#!/bin/bash\n" + "".join(f"#SBATCH {flags.directive(name, value)}\n" for name, value in said.items())
        assert flags.directives_in(text) == said
