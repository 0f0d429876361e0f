"""随机弄坏的输入：只许读对，或照约定拒绝。benchmarks/storms.py 每种试十万个。"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing import TARGETS

EXAMPLES = {"photos": 120, "pickle": 200, "archives": 120, "TF_CONFIG": 150, "records": 100, "segments": 150}


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_read_right_or_refused(name, tmp_path):
    make, check = TARGETS[name]
    seen = set()

    @settings(
        max_examples=EXAMPLES[name],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def storm(random):
        seen.add(check(make(random), tmp_path))

    storm()
    assert len(seen) > 1, "只有一种结局：没有好的，或没有坏的"
