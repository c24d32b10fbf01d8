"""The registers file of a simulated machine."""

import json
from pathlib import Path

import pytest

from guest.protocol.digests import measurement_id
from guest.protocol.errors import Misconfigured
from host.devplatform.registers import read_registers, registers_for, write_registers


def test_registers_survive_their_file(tmp_path: Path) -> None:
    registers = registers_for("v1")
    write_registers(tmp_path / "registers.json", registers)
    assert read_registers(tmp_path / "registers.json") == registers
    assert registers.measurement_id == measurement_id(
        0x81, registers.mrtd, registers.rtmr0, registers.rtmr1, registers.rtmr2
    )


def test_another_label_is_another_image() -> None:
    assert registers_for("v1").measurement_id != registers_for("v2").measurement_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 3000,
        json.dumps(dict.fromkeys(("mrtd", "rtmr0", "rtmr1", "rtmr2"), "00")),
    ],
)
def test_another_file_is_a_mistake_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "registers.json"
    path.write_text(text)
    with pytest.raises(Misconfigured) as caught:
        read_registers(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(Misconfigured):
        read_registers(tmp_path / "missing.json")
