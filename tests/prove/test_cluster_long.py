"""Ten minutes of faults on the cluster, and the report on them.

By hand: ``python -m tests.prove.test_cluster_long 600`` writes docs/explanation/cluster-proof.md.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cluster.proof import prove, report

_REPORT = Path(__file__).parents[2] / "docs" / "explanation" / "cluster-proof.md"
_EVERY_SECONDS = 20.0
_KILL_SECONDS = 20.0


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_ten_minutes_of_trouble_show_nothing_false_and_lose_nothing() -> None:
    assert prove(600, _EVERY_SECONDS, _KILL_SECONDS).findings.wrong == []


if __name__ == "__main__":
    proof = prove(float(sys.argv[1]), _EVERY_SECONDS, _KILL_SECONDS)
    _REPORT.write_text(report(proof, f"{datetime.now(UTC):%Y-%m-%d}"))
    sys.exit("\n".join(proof.findings.wrong) or 0)
