"""Guards what make status says of the claims before a run: measured or not, patients, power."""

import pandas as pd
import pytest

from pipeline.claim_power import claim_table
from pipeline.config import compose_config
from pipeline.plan import plan_run
from pipeline.store import Artifact, Store


def finished(folder, key, step):
    return Artifact(folder, {}) if key == step.key else None


@pytest.fixture
def listed(tmp_path, monkeypatch):
    def listed(*overrides, drawn: int | None = None):
        config = compose_config([f"paths.outputs={tmp_path}", *overrides])
        store = Store(config.paths.store)
        plan = plan_run(config, store.digests)
        if drawn is not None:
            samples = plan.tasks["findings"].task.samples
            folder = store.folder(samples.name, samples.key)
            folder.mkdir(parents=True)
            frame = pd.DataFrame({"image": "a", "patient": range(drawn)})
            frame.to_csv(folder / "samples.csv", index=False)
            monkeypatch.setattr(store, "find", lambda step, key: finished(folder, key, samples))
        table = claim_table(plan.tasks, config.evaluation, store)
        columns = [list(column.cells) for column in table.columns]
        return {int(row[0]): row[2:] for row in zip(*columns, strict=True)}

    return listed


def test_before_films_are_drawn_patients_are_at_most_the_samples_asked_for(listed):
    rows = listed("evaluation.max_images=70", "evaluation.insertion_deletion.max_samples=9")
    assert rows[2][0] == "at most 70"
    assert rows[2][3] == "judged"
    assert rows[12] == ("", "", "", "by experiment=seeds")


def test_a_run_of_few_samples_says_that_it_cannot_decide(listed):
    rows = listed("evaluation.max_images=8")
    assert float(rows[2][2]) < 0.5
    assert rows[2][3] == "not judged"


def test_a_claim_of_scored_films_is_not_measured_without_them(listed):
    rows = listed("brixia=none")
    assert {rows[number][3] for number in (5, 6, 9, 10, 11)} == {"not measured"}


def test_once_samples_are_drawn_their_patients_count(listed):
    assert listed("evaluation.max_images=70", drawn=41)[2][0] == "41"
