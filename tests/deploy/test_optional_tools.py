"""Types below 8 bits, CTranslate2 and OpenVINO: run where their packages are installed, which the extra `dev` does not bring.

Tolerance: none; what these change is judged by the score of an export's proof. Here the file is what it says.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.deployed_models import add_lora, merged_folder, tiny_family
from tests.matrix.conftest import _measured, _settings_are_tried_here, shop_rows, task_rows, tiny_model
from tests.matrix.test_causal_lm import run_for
from tunewright.errors import ExportError
from tunewright.extras.export.gguf import to_gguf
from tunewright.extras.proof.deployed_folder import gguf_files
from tunewright.reporting import SILENT

__all__ = ["_measured", "_settings_are_tried_here", "shop_rows", "task_rows", "tiny_model"]
pytestmark = pytest.mark.processes


def test_each_type_of_the_quantizer_says_what_it_is(converters: Path, tmp_path: Path) -> None:
    pytest.importorskip("cyllama", reason="the extra kquants is not installed")
    from tunewright.extras.export.quantize_worker import FILE_TYPES

    tuned = add_lora(tiny_family("llama", tmp_path / "base"), tmp_path / "adapter")
    merged = merged_folder(tuned, tmp_path / "base", tmp_path / "merged")
    for quant in ("q4_k_m", "q5_0", "q4_0", "q6_k"):
        assert quant in FILE_TYPES
        (tmp_path / quant).mkdir()
        to_gguf(merged, tmp_path / quant / "model.gguf", quant, SILENT)
        assert gguf_files(tmp_path / quant, "run").precision == quant


def test_ctranslate2_writes_what_its_own_generator_loads(shop_rows: Path, tmp_path: Path) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2", reason="the extra ct2 is not installed")
    tiny_family("llama", tmp_path / "model")
    run = run_for(tmp_path / "model", shop_rows, tmp_path / "run")
    try:
        result = run.export(tmp_path / "ct2", to="ct2")
    finally:
        run.close()
    assert result.proof is None and any("not compared" in note for note in result.plan.notes)
    generator = ctranslate2.Generator(str(tmp_path / "ct2"))
    (answer,) = generator.generate_batch([["<|im_start|>"]], max_length=3)
    assert answer.sequences_ids


def test_a_folder_that_ctranslate2_cannot_load_is_no_export(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ctranslate2", reason="the extra ct2 is not installed")
    run = run_for(tiny_model("llama"), shop_rows, tmp_path / "run")  # its tokenizer has no beginning token
    try:
        with pytest.raises(ExportError, match="E621"):
            run.export(tmp_path / "ct2", to="ct2")
    finally:
        run.close()
    assert not (tmp_path / "ct2").exists()


def test_openvino_gives_the_same_labels(
    tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    run = run_for(tiny_model("bert"), task_rows["seq_cls"], tmp_path / "run", task="seq_cls")
    try:
        result = run.export(tmp_path / "openvino", to="openvino")
    finally:
        run.close()
    assert result.proof is not None and not result.proof.failed
