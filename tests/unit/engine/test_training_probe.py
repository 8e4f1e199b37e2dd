"""The speed of training by precision, measured with a model's shapes."""

from tunewright.engine.system.training_probe import training_rates
from tunewright.inspection.machine_info import BlockShape


def test_every_way_that_this_cpu_has_is_measured() -> None:
    block = BlockShape(
        num_layers=12,
        hidden_size=64,
        intermediate_size=96,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=512,
    )
    rates = training_rates(block)
    assert rates.keys() == {"fp32", "mixed", "int8"}
    assert all(rate > 1e6 for rate in rates.values())
