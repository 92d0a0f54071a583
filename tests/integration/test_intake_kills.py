"""The proof of lab/proofs/intake.py in short: nothing acknowledged is lost, whoever is killed."""

from pathlib import Path

from lab.proofs.intake import prove


def test_what_is_acknowledged_outlives_kills(tmp_path: Path, dynamodb_endpoint: str) -> None:
    result = prove(tmp_path, dynamodb_endpoint, strikes=3, seed=1, say=print)
    assert result.lost == 0
    assert result.strikes.total() == 3
    assert result.acknowledged > 100
