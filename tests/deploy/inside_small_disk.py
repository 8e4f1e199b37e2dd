"""Run by test_failed_export.py in a namespace of its own: the disk becomes full while llama.cpp's converter writes."""

import errno
from pathlib import Path

import pytest

from tests.deploy.deployed_models import add_lora, tiny_family
from tests.small_disk import fill, small_disk
from tunewright.extras.export import gguf
from tunewright.reporting import SILENT

pytestmark = pytest.mark.usefixtures("converters")


def test_a_disk_that_becomes_full_is_named_as_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_lora(tiny_family("llama", tmp_path / "base"), tmp_path / "adapter")
    convert = gguf.run_script

    def convert_on_full_disk(script: Path, *arguments: str) -> str:
        fill(disk.ballast)
        return convert(script, *arguments)

    with small_disk(tmp_path / "disk", "12m") as disk:
        monkeypatch.setattr(gguf, "run_script", convert_on_full_disk)
        for write in (
            lambda: gguf.to_gguf(tmp_path / "base", disk.path / "model.gguf", "f16", SILENT),
            lambda: gguf.adapter_to_gguf(tmp_path / "adapter", tmp_path / "base", disk.path / "adapter.gguf", SILENT),
        ):
            with pytest.raises(OSError) as refused:
                write()
            assert refused.value.errno == errno.ENOSPC
            assert [path.name for path in disk.path.iterdir()] == [disk.ballast.name]
            disk.free()
