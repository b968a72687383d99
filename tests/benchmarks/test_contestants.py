import pytest

from bench.speed.asked import Asked
from bench.speed.ground import Ground
from bench.speed.training import ABOUT, Training
from tasks.sources import Source


@pytest.fixture(scope="module")
def training(tiny_folder, tmp_path_factory):
    sets = {"precision": "fp32", "length": "64"}
    asked = Asked(Source("sample"), model=str(tiny_folder), task="rte", rows=32, batch=8, sets=sets)
    return Training(Ground(asked, tmp_path_factory.mktemp("trainer")))


@pytest.mark.parametrize("name", ABOUT)
def test_training_of_a_tiny_model(benchmark, training, name):
    seconds, steps = benchmark(training.train, name, training.ground.train, 0)
    assert steps == 4 and seconds > 0


@pytest.mark.slow
def test_ours_is_no_slower_than_the_trainer_at_its_best_on_minilm(real_data, tmp_path):
    source = Source("files", real_data)
    asked = Asked(source, rows=256, dev_rows=64, repeats=3)
    training = Training(Ground(asked, tmp_path))
    rows = {row["name"]: row for row in training.rows()}
    assert rows["padded"]["ratio"] > 4
    assert rows["best"]["ratio"] > 1
    assert rows["bare"]["ratio"] > 0.9
