from pathlib import Path

import pytest

from guest.evidence.collateral import from_json
from tests.unit.evidence.attempts import Attempt, Sample, Samples

DATA = Path(__file__).parents[2] / "data" / "dcap"


@pytest.fixture
def good() -> Attempt:
    return Attempt()


@pytest.fixture
def sample() -> Samples:
    def load(name: str) -> Sample:
        collateral = from_json((DATA / f"{name}_collateral.json").read_bytes())
        return Sample((DATA / name).read_bytes(), collateral)

    return load


@pytest.fixture
def data() -> Path:
    return DATA
