"""A request that no node can satisfy is refused with the setting's name; one that some node satisfies never is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.slurm.constraint import UnknownSyntax, parse_constraint
from launchers.slurm.controller import Partition
from launchers.slurm.fit import can_run, check_fits
from mmassist.core.errors import ConfigError
from tests.launchers.slurm.sites import make_node, make_request, make_site

pytestmark = pytest.mark.long

MAIN = Partition("main", is_default=True, total_nodes=1)
CPU_AND_GPU = make_site(
    [
        make_node("c1", partitions=("cpu",), cpus=128, memory_mb=512000, gpus={}, features=frozenset({"amd"})),
        make_node("g1", partitions=("gpu", "gpu-long"), cpus=64, gpus={"h100": 8}, features=frozenset({"ib"})),
        make_node("g2", partitions=("gpu-long",), cpus=32, memory_mb=256000, gpus={"a100": 4, "h100": 2}),
    ],
    [Partition("cpu", is_default=True), Partition("gpu", max_time_min=1440), Partition("gpu-long"), Partition("empty")],
)


def refusal(site, **request):
    with pytest.raises(ConfigError) as error:
        check_fits(make_request(**request), site)
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (
            {"gpus": 8},
            "encode.gpus_per_node is 8, but no node of partition 'cpu' has more than 0 GPUs; it would fit with "
            "cluster.partition=gpu or gpu-long",
        ),
        (
            {"cpus": 129},
            "encode.cpus_per_task is 129, but no node of partition 'cpu' gives a job more than 128 CPUs",
        ),
        ({"mem_gb": 501.0}, "encode.mem_gb is 501, but no node of partition 'cpu' gives a job more than 500 GiB"),
        (
            {"gpus": 5, "cluster": {"partition": "gpu-long", "gpu_type": "a100"}},
            "no node of partition 'gpu-long' has more than 4 GPUs of type 'a100' (cluster.gpu_type)",
        ),
        (
            {"cluster": {"constraint": "moon"}},
            "cluster.constraint is 'moon', but no node of partition 'cpu' satisfies that; features there: amd",
        ),
        (
            {"gpus": 8, "mem_gb": 200.0, "cluster": {"partition": "gpu-long"}},
            "encode.mem_gb is 200, but no node of partition 'gpu-long' with 8 GPUs gives a job more than 62.5 GiB",
        ),
        (
            {"timeout_min": 2000, "cluster": {"partition": "gpu"}},
            "encode.timeout_min is 2000, but partition 'gpu' allows 1440 minutes; set encode.timeout_min=1440 or less",
        ),
        ({"cluster": {"partition": "gpo"}}, "cluster.partition is 'gpo', which the site does not have. Did you mean"),
        ({"cluster": {"partition": "gpu,night"}}, "cluster.partition is 'night', which the site does not have."),
        ({"cluster": {"partition": "empty"}}, "cluster.partition: partition 'empty' has no nodes"),
        ({"timeout_min": 2}, "encode.timeout_min is 2 (120 s), which is not longer than cluster.signal_delay_s=120"),
    ],
)  # fmt: skip
def test_the_setting_at_fault_is_named_with_the_most_that_fits(request_, said):
    assert said in refusal(CPU_AND_GPU, **request_)


def test_a_partition_is_asked_for_where_there_is_no_default():
    site = make_site([make_node()], [Partition("main"), Partition("gpu")])
    assert "cluster.partition is null and the site has no default; set it to one of: main, gpu" in refusal(site)


@pytest.mark.parametrize(
    ("partition", "cluster", "said"),
    [
        ({"state": "INACTIVE"}, {}, "partition 'main' takes no jobs, its state is INACTIVE"),
        ({"state": "DRAIN"}, {}, "its state is DRAIN"),
        ({"allow_accounts": ("lab",)}, {"account": "core"}, "account is 'core', but partition 'main' takes only: lab"),
        ({"deny_accounts": ("lab",)}, {"account": "lab"}, "account is 'lab', which partition 'main' does not"),
        ({"allow_qos": ("long", "day")}, {"qos": "x"}, "cluster.qos is 'x', but partition 'main' takes only: long"),
        ({"deny_qos": ("tiny",)}, {"qos": "tiny"}, "cluster.qos is 'tiny', which partition 'main' does not take"),
        ({"min_nodes": 2}, {}, "partition 'main' takes jobs of at least 2 nodes, and an element has one"),
        ({"max_nodes": 0}, {}, "partition 'main' takes jobs of no nodes"),
        ({"max_cpus_per_node": 3}, {}, "cpus_per_task is 4, but no node of partition 'main' gives a job more than 3"),
        ({"max_mem_per_node_mb": 1000}, {}, "mem_gb is 1, but no node of partition 'main' gives a job more than 0.97"),
        ({"max_mem_per_cpu_mb": 60}, {}, "mem_gb is 1, but no node of partition 'main' gives a job more than 0.93"),
    ],
)  # fmt: skip
def test_limits_of_the_partition_count(partition, cluster, said):
    site = make_site([make_node()], [Partition("main", is_default=True, **partition)])
    assert said in refusal(site, cpus=4, cluster=cluster)


def test_accounts_are_compared_as_slurm_does():
    site = make_site([make_node()], [Partition("main", is_default=True, allow_accounts=("lab",))])
    assert check_fits(make_request(cluster={"account": "Lab"}), site) == []


@pytest.mark.parametrize("option", ["gpus-per-node", "gpus-per-task", "gres"])
def test_all_of_a_node_may_be_asked_for(option):
    request = make_request(cpus=16, mem_gb=62.5, gpus=8, cluster={"gpu_option": option})
    assert check_fits(request, make_site([make_node()])) == []


def test_one_of_several_partitions_is_enough_and_the_others_are_remarked_on():
    (remark,) = check_fits(make_request(gpus=8, cluster={"partition": "cpu,gpu"}), CPU_AND_GPU)
    assert remark.startswith("encode-wtag-features cannot use partition 'cpu': encode.gpus_per_node is 8, but no node")
    both = refusal(CPU_AND_GPU, gpus=9, cluster={"partition": "cpu,gpu"})
    assert "more than 0 GPUs; encode.gpus_per_node is 9, but no node of partition 'gpu' has more than 8 GPUs" in both


def test_what_will_not_last_is_remarked_on_and_not_refused():
    down = make_site([make_node(state="DOWN*"), make_node("n2", state="IDLE+DRAIN")])
    assert check_fits(make_request(), down) == [
        "none of the 2 nodes of partition 'main' that fit encode-wtag-features works now (DOWN*, IDLE+DRAIN)"
    ]
    closed = make_site([make_node()], [Partition("main", is_default=True, state="DOWN")])
    assert "is DOWN: jobs wait" in check_fits(make_request(), closed)[0]
    hidden = make_site([], [Partition("main", is_default=True, total_nodes=9)])
    assert "cannot be seen" in check_fits(make_request(gpus=64), hidden)[0]
    accounts = make_site([make_node()], [Partition("main", is_default=True, allow_accounts=("lab", "core"))])
    assert "takes only cluster.account=lab or core; yours is the default" in check_fits(make_request(), accounts)[0]


@pytest.mark.parametrize(
    ("mode", "grace_s", "signal", "said"),
    [
        ("REQUEUE", 60, True, None),
        ("OFF", 0, False, None),
        ("GANG,OFF", 0, False, None),
        ("REQUEUE", 0, True, "preempts without a warning"),
        ("REQUEUE", 60, False, "preempts without a warning"),
        ("CANCEL", 60, True, "cancels the jobs it preempts"),
    ],
)
def test_preemption_that_costs_work_is_remarked_on(mode, grace_s, signal, said):
    partition = Partition("main", is_default=True, preempt_mode=mode, grace_time_s=grace_s)
    site = make_site([make_node()], [partition], preempt_type="partition_prio", send_user_signal=signal)
    remarks = check_fits(make_request(), site)
    assert (not remarks) if said is None else said in remarks[0]


def test_a_whole_node_brings_whatever_memory_it_has():
    (remark,) = check_fits(make_request(mem_gb=100.0, cluster={"exclusive": True}), make_site([make_node()]))
    assert remark == "encode.mem_gb is 100, but nodes of partition 'main' have 62.5 GiB"


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("h100", {"h100"}, {"a100"}),
        ("h100&ib", {"h100", "ib"}, {"h100"}),
        ("h100,ib", {"h100", "ib"}, {"ib"}),
        ("h100|a100", {"a100"}, {"ib"}),
        ("[rack1|rack2]", {"rack2"}, {"rack3"}),
        ("(h100|a100)&ib", {"a100", "ib"}, {"a100"}),
        ("ib & (h100 | a100)", {"a100", "ib"}, {"a100"}),
        ("h100*1", {"h100"}, {"ib"}),
    ],
)
def test_constraints_are_read_as_slurm_reads_them(text, yes, no):
    assert parse_constraint(text)(yes) and not parse_constraint(text)(no)


def test_a_count_above_one_needs_more_nodes_than_an_element_has():
    assert not parse_constraint("h100*2")({"h100"})


@pytest.mark.parametrize("text", ["a&b|c", "a&", "&a", "(a", "a)", "[a", "a b", "!a", "a&&b", "", "{a}", "a;b"])
def test_what_only_slurm_can_judge_is_left_to_it(text):
    with pytest.raises(UnknownSyntax):
        parse_constraint(text)
    assert check_fits(make_request(cluster={"constraint": text}), make_site([make_node()])) == []


FEATURES = st.frozensets(st.sampled_from(["ib", "h100", "amd"]))
NODES = st.lists(
    st.builds(
        lambda number, gpus, **values: make_node(f"n{number}", gpus=gpus, **values),
        st.integers(1, 99),
        st.dictionaries(st.sampled_from(["", "h100", "a100"]), st.integers(1, 8)),
        cpus=st.integers(1, 8),
        memory_mb=st.integers(1024, 8192),
        features=FEATURES,
    ),
    min_size=1,
    max_size=4,
)
REQUESTS = st.builds(
    lambda kind, constraint, exclusive, **values: make_request(
        cluster={"gpu_type": kind, "constraint": constraint, "exclusive": exclusive}, **values
    ),
    st.sampled_from([None, "h100"]),
    st.sampled_from([None, "ib", "ib&h100", "ib|amd"]),
    st.booleans(),
    cpus=st.integers(1, 9),
    mem_gb=st.integers(1, 80).map(lambda tenths: tenths / 10),
    gpus=st.integers(0, 9),
)


@given(NODES, REQUESTS)
def test_what_is_accepted_has_a_node_and_what_is_refused_has_none(nodes, request_):
    able = [node for node in nodes if can_run(request_, MAIN, node)]
    for node in able:  # said once more, in other words than the code's
        gpus = node.gpus.get("h100", 0) if request_.cluster.gpu_type else sum(node.gpus.values())
        assert node.cpus >= request_.cpus and gpus >= request_.gpus
        assert request_.cluster.exclusive or node.memory_mb >= request_.mem_gb * 1024 - 1
    if able:
        check_fits(request_, make_site(nodes, [MAIN]))
    else:
        with pytest.raises(ConfigError, match=r"encode\.|cluster\."):
            check_fits(request_, make_site(nodes, [MAIN]))


@given(NODES, st.data())
def test_a_node_s_own_totals_fit_and_one_more_than_any_has_does_not(nodes, data):
    site = make_site(nodes, [MAIN])
    node = data.draw(st.sampled_from(nodes))
    totals = {"cpus": node.cpus, "mem_gb": node.memory_mb / 1024, "gpus": sum(node.gpus.values())}
    check_fits(make_request(**totals), site)
    for field, setting, most in (
        ("cpus", "encode.cpus_per_task", max(n.cpus for n in nodes)),
        ("mem_gb", "encode.mem_gb", max(n.memory_mb for n in nodes) / 1024),
        ("gpus", "encode.gpus_per_node", max(sum(n.gpus.values()) for n in nodes)),
    ):
        assert refusal(site, **(totals | {field: most + 1})).startswith(f"{setting} is")


def test_the_demonstration_fits_the_private_slurm(private_slurm):
    from launchers.compose import compose_command
    from launchers.jobs import build_stage
    from launchers.slurm.controller import ask_controller
    from launchers.slurm.request import build_request

    site = ask_controller()
    for combination in compose_command(["stage=extract,encode", "dataset=wtag", "models=tiny", "cluster=demo"]):
        stage = build_stage(combination.command.stage, combination.sections)
        config = stage.configs[stage.name]
        assert check_fits(build_request("job", stage.name, config, combination.sections["cluster"]), site) == []
