"""What several devices bring a run, against figures that were worked out by hand. Nothing of it was measured on a GPU."""

from collections.abc import Callable

import pytest

from tests.unit.planning.conftest import seven_billion
from tunewright.config.load_config import patch
from tunewright.config.run_config import RunConfig
from tunewright.errors import TunewrightError
from tunewright.inspection.machine_info import LinkSpeed, SpeedProbe
from tunewright.planning.cluster import Cluster, cluster_of, with_measured
from tunewright.planning.device_table import facts_on
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts, Plan, ScaleRow
from tunewright.planning.scale_out import on_cluster

Build = Callable[..., InspectedFacts]
GIB = 2**30


def cluster(name: str) -> Cluster:
    found = cluster_of(name)
    assert found
    return found


def planned(facts: Build, device: str, batch: int, **settings: object) -> Plan:
    """Llama-3-8B, LoRA r=16 on all layers, rows of 300 tokens."""
    where = cluster(device)
    there = facts_on(facts(model=seven_billion("llama3"), rows=10_000, longest=320, p99=310), where.device)
    data = there.data.model_copy(update={"mean_length": 300.0, "mean_label_tokens": 200.0})
    run = RunConfig.model_validate({
        "model": "llama3", "data": "rows.jsonl", "task": "causal_lm",
        "peft": {"r": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]},
        "train": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": batch // 8}, "eval": {"rows": 0},
    })  # fmt: skip
    return on_cluster(make_plan(patch(run, settings), there.model_copy(update={"data": data})), where)


def row(plan: Plan, strategy: str, quantization: str = "none") -> ScaleRow:
    assert plan.scale
    return next(r for r in plan.scale.rows if (r.strategy, r.quantization) == (strategy, quantization))


@pytest.mark.parametrize(
    ("name", "nodes", "each", "device"),
    [
        ("8x h100-80", 1, 8, "h100-80"), ("2x8 h100-80 100G", 2, 8, "h100-80"), ("4 x 24GB GPU", 1, 4, "24GB GPU"),
        ("2 x 4 a10 25G", 2, 4, "a10"),
    ],
)  # fmt: skip
def test_names_of_several_devices(name: str, nodes: int, each: int, device: str) -> None:
    found = cluster(name)
    assert (found.nodes, found.per_node, found.device) == (nodes, each, device)


@pytest.mark.parametrize("name", ["h100-80", "24GB GPU", "0x h100-80", "2x0 a10", "8 h100-80", "8x h100-80 7G", ""])
def test_names_that_are_not_of_several(name: str) -> None:
    found = cluster_of(name)
    assert found is None or found.device.endswith("7G")


@pytest.mark.parametrize(
    ("device_name", "title", "is_same"),
    [
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB", True), ("NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB", True),
        ("Tesla T4", "NVIDIA T4", True), ("Tesla V100-SXM2-16GB", "NVIDIA T4", False),
        ("NVIDIA A100-SXM4-40GB", "NVIDIA A100 80GB", False), ("CPU", "NVIDIA A100 80GB", False),
    ],
)  # fmt: skip
def test_a_link_that_was_measured_between_such_devices_counts(device_name: str, title: str, is_same: bool) -> None:
    usual = cluster("2x8 h100-80 100G")
    links = [
        LinkSpeed(
            is_between_machines=is_between, backend="nccl", device_name=device_name, bytes_per_second=speed, latency_seconds=3e-5
        )
        for is_between, speed in ((False, 1e11), (True, 7e9))
    ]  # fmt: skip
    found = with_measured(usual, links, title)
    if not is_same:
        assert found == usual
        return
    assert (found.inside, found.between, found.latency, found.network_latency) == (1e11, 7e9, 3e-5, 3e-5)
    assert found.measured == ("inside", "between")


@pytest.mark.parametrize(
    ("device", "seconds"),
    [("1x h100-80", 1.64), ("8x h100-80", 0.22), ("8x8 h100-80 400G", 0.06), ("8x8 h100-80 10G", 0.35)],
)
def test_seconds_of_a_step_of_64_rows(facts: Build, device: str, seconds: float) -> None:
    """By hand: 12,300 tokens a second on one; 168 MB of gradients, reduced once."""
    assert row(planned(facts, device, 64), "ddp").step_seconds == pytest.approx(seconds, rel=0.25, abs=0.02)


def test_a_small_step_fills_one_device_and_the_verdict_says_so(facts: Build) -> None:
    plan = planned(facts, "8x h100-80", 8)
    assert plan.scale
    assert plan.scale.useful == 1
    assert "compare --devices all" in plan.scale.says()
    large = planned(facts, "2x h100-80", 128)
    assert large.scale
    assert large.scale.useful == 2
    assert "busy" in large.scale.says()


def test_a_slow_network_makes_more_nodes_slower_than_one(facts: Build) -> None:
    assert row(planned(facts, "8x8 h100-80 10G", 64), "ddp").times < row(planned(facts, "8x h100-80", 64), "ddp").times


def test_what_a_device_holds(facts: Build) -> None:
    """All weights by ddp; an eighth of the blocks, two of them whole, embeddings and head by fsdp2; what is trained by both."""
    plan = planned(facts, "8x h100-80", 64)
    stored, trained = plan.memory.parts["weights"], plan.trainable_parameters
    own = sum(plan.memory.parts[name] for name in ("libraries", "activations", "loss"))
    assert row(plan, "ddp").device_bytes == pytest.approx(own + stored + 16 * trained, rel=0.01)
    outside = 2 * plan.facts.model.vocab_size * plan.facts.model.hidden_size
    held = outside + (stored - outside) * (1 / 8 + 2 / 32)
    assert row(plan, "fsdp2").device_bytes == pytest.approx(own + held + 16 * trained, rel=0.01)
    assert row(plan, "fsdp2_offload").device_bytes < row(plan, "fsdp2").device_bytes


def test_a_model_that_no_device_holds_is_sharded(facts: Build) -> None:
    plan = planned(facts, "8x 12GB GPU", 64, **{"train.activation_checkpointing": True})
    assert plan.scale
    assert plan.fits
    assert plan.scale.chosen in ("fsdp2 none", "fsdp2_offload none")
    assert not row(plan, "ddp").fits


def test_shares_are_of_one_node_where_there_are_several(facts: Build) -> None:
    assert {r.strategy for r in planned(facts, "2x8 h100-80 400G", 64).scale.rows} == {"ddp", "fsdp2", "fsdp2_offload"}  # type: ignore[union-attr]


def test_all_gpus_that_a_step_fills(facts: Build) -> None:
    """`--processes auto`."""
    probe = SpeedProbe(device="cuda", device_name="GPU", memory_bytes=80 * GIB, flops={"fp32": 2e13, "bf16": 3e14})
    there = facts(probe=probe, rows=50_000, p99=600, longest=600)
    there = there.model_copy(update={"machine": there.machine.model_copy(update={"num_devices": 8})})
    data = there.data.model_copy(update={"mean_length": 600.0})
    run = RunConfig.model_validate(
        {"model": "smollm2", "data": "rows.jsonl", "task": "causal_lm", "launch": {"processes": "auto"}}
    )
    plan = make_plan(run, there.model_copy(update={"data": data}))
    assert plan.run.launch.processes == 32 * 600 // 8192
    assert plan.run.launch.parts == plan.run.launch.processes
    assert make_plan(run, facts()).run.launch.processes == 1


def on_gpus(facts: Build, gib: int, **launch: object) -> Plan:
    """Llama-3-8B on four GPUs of this size, rows of 300 tokens."""
    there = facts_on(facts(model=seven_billion("llama3"), rows=10_000, longest=320, p99=310), f"{gib}GB GPU")
    machine = there.machine.model_copy(update={"num_devices": 4})
    run = RunConfig.model_validate({"model": "llama3", "data": "rows.jsonl", "task": "causal_lm", "launch": launch})
    return make_plan(run, there.model_copy(update={"machine": machine}))


def reason(plan: Plan, path: str) -> str:
    return next(choice.why() for choice in plan.choices if choice.path == path)


def test_processes_share_out_a_base_that_none_of_their_gpus_holds(facts: Build) -> None:
    plan = on_gpus(facts, 12, processes=4)
    assert (plan.run.launch.strategy, plan.run.model.quantization, plan.fits) == ("fsdp2", "none", True)
    assert "4 processes share out its blocks" in reason(plan, "launch.strategy")
    assert plan.memory.parts["weights"] < 8 * GIB
    assert "merged_lora" not in plan.fast_paths
    everywhere = on_gpus(facts, 12, processes="auto")
    assert (everywhere.run.launch.processes, everywhere.run.launch.strategy) == (4, "fsdp2")
    assert "none of which holds the base" in reason(everywhere, "launch.processes")


def test_a_base_that_a_gpu_holds_is_whole_in_each_process(facts: Build) -> None:
    assert on_gpus(facts, 80, processes=4).run.launch.strategy == "ddp"
    assert on_gpus(facts, 80).run.launch.strategy == "ddp"
    offloaded, sharded, whole = (
        on_gpus(facts, 80, processes=4, strategy=name).memory.peak_bytes for name in ("fsdp2_offload", "fsdp2", "ddp")
    )
    assert offloaded < sharded < whole


def test_processes_that_cannot_even_hold_shares_take_fewer_bits(facts: Build) -> None:
    plan = on_gpus(facts, 8, processes=2)
    assert (plan.run.launch.strategy, plan.run.model.quantization) == ("ddp", "4bit")
    assert "nor a share" in reason(plan, "launch.strategy")
    assert on_gpus(facts, 4, processes="auto").run.launch.processes == 1


def test_one_gpu_that_does_not_hold_it_takes_fewer_bits(facts: Build) -> None:
    assert on_gpus(facts, 12).run.model.quantization == "4bit"


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"launch.strategy": "fsdp2"}, "--set launch.strategy=ddp"),
        (
            {"launch.strategy": "fsdp2", "launch.processes": 4, "model.quantization": "4bit"},
            "--set model.quantization=none",
        ),
    ],
)
def test_what_cannot_be_shared_out(facts: Build, settings: dict[str, object], fix: str) -> None:
    run = RunConfig.model_validate({"model": "smollm2", "data": "rows.jsonl", "task": "causal_lm"})
    with pytest.raises(TunewrightError) as refused:
        make_plan(patch(run, settings), facts())
    assert "launch.strategy=fsdp2" in str(refused.value)
    assert fix in str(refused.value)
