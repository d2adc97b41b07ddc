"""Which results a setting touches, read off the keys of the plan; nothing is computed."""

import os
import re
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.config import compose_config
from pipeline.keys import DigestCache
from pipeline.plan import plan_run


def keys(folder: Path, *overrides: str) -> dict[str, str]:
    digests = DigestCache(folder / "digests.sqlite")
    try:
        plan = plan_run(compose_config(overrides), digests)
    finally:
        digests.close()
    return {step.title: step.key for step in plan.order}


def changed(folder: Path, *overrides: str) -> set[str]:
    before, after = keys(folder), keys(folder, *overrides)
    assert before.keys() == after.keys()
    return {title for title in before if before[title] != after[title]}


def test_a_method_of_many_forwards_has_shards_of_one_batch(tmp_path):
    config = compose_config(["attribution.methods=[gradient,rise]"])
    digests = DigestCache(tmp_path / "digests.sqlite")
    maps = plan_run(config, digests).tasks["findings"].maps
    digests.close()
    assert maps["rise"].shard_size == config.attribution.batch_size
    assert maps["gradient"].shard_size == config.attribution.shard_size


def test_a_layer_s_settings_are_in_every_key_of_what_joins_the_layers(tmp_path):
    chosen = [f"evaluation.{metric}.methods=[multilayer_iba]" for metric in ("road", "sanity")]
    before, after = (
        keys(tmp_path, *chosen, f"attribution.iba_block1.beta={beta}") for beta in (3, 4)
    )
    joined = {title for title in before if title.endswith("multilayer_iba")}
    assert {
        "binary_intersection findings multilayer_iba",
        "sanity findings multilayer_iba",
    } <= joined
    assert all(before[title] != after[title] for title in joined)


def test_the_evaluators_precision_is_in_the_keys_of_those_that_ask_for_scores_alone(tmp_path):
    found = changed(tmp_path, "evaluation.precision=bf16")
    measured = {title.split()[0] for title in found if len(title.split()) > 1}
    assert measured - {"figures"} == {
        *("end_scores", "insertion_deletion", "output_changes", "sensitivity_n"),
        *("equal_area", "road"),
    }


@pytest.mark.parametrize(
    "override",
    [
        "paths.outputs=elsewhere",
        "executor.device=cpu",
        "train.num_workers=3",
        "name=another",
        pytest.param(
            "logger=tensorboard",
            marks=pytest.mark.skipif(find_spec("tensorboard") is None, reason="EXTRAS=loggers"),
        ),
        "report.embed_images=false",
        "report.max_images=3",
    ],
)
def test_what_changes_no_result_changes_no_key(tmp_path, override):
    assert changed(tmp_path, override) == set()


def test_films_that_move_keep_their_keys(tmp_path):
    for name in ("here", "there"):
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        (folder / "images" / "00000001_000.png").write_bytes(b"a film")
        (folder / "Data_Entry_2017_v2020.csv").write_text("labels")
    experiment = ("experiment=nih", "model.init=random")
    first, second = (
        keys(tmp_path, *experiment, f"paths.nih={tmp_path / name}") for name in ("here", "there")
    )
    assert first == second
    (tmp_path / "there" / "images" / "00000001_000.png").write_bytes(b"another")
    third = keys(tmp_path, *experiment, f"paths.nih={tmp_path / 'there'}")
    assert all(third[title] != first[title] for title in first)


def test_a_pipe_that_is_named_like_a_table_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "nih"
    folder.mkdir()
    (folder / "00000001_000.png").write_bytes(b"a film")
    os.mkfifo(folder / "Data_Entry_2017_v2020.csv")
    overrides = ("experiment=nih", "model.init=random", f"paths.nih={folder}")
    planned: list[dict[str, str]] = []
    thread = threading.Thread(
        target=lambda: planned.append(keys(tmp_path, *overrides)), daemon=True
    )
    thread.start()
    thread.join(timeout=20)
    assert len(planned) == 1


def test_another_beta_touches_attribution_and_what_follows_but_no_training(tmp_path):
    touched = changed(tmp_path, "attribution.operating_points.rounds=4")
    assert {"operating_point findings iba", "maps findings iba"} <= touched
    assert not [title for title in touched if title.startswith(("train", "fine_tune", "statist"))]
    before, after = (keys(tmp_path, f"attribution.iba.beta={beta}") for beta in (76, 77))
    assert before.keys() == after.keys()
    touched = {title for title in before if before[title] != after[title]}
    assert {"maps findings iba", "localization detectors multilayer_iba", "tables"} <= touched
    of_iba = re.compile(r"[a-z_]+ (findings|detectors|lesions|threes)( truth)? (multilayer_)?iba")
    joined = {"tables", "claims", "figures findings", "scored_figures"}
    assert {title for title in touched if not of_iba.fullmatch(title)} == joined


def test_the_weight_of_positives_touches_the_weighted_model_alone(tmp_path):
    touched = changed(tmp_path, "train.pos_weight=batchwise")
    assert "train findings weighted_bce" in touched
    assert not {"train pretraining", "train findings bce", "prediction findings bce"} & touched


def test_keys_hold_how_the_steps_of_a_training_are_computed(tmp_path: Path):
    for override in ("processes=2", "accumulate=2", "precision=bf16_mixed", "batch_norm=frozen"):
        touched = changed(tmp_path, f"train.{override}")
        assert {"train findings bce", "train findings weighted_bce"} <= touched
        assert ("train pretraining" in touched) == (override != "batch_norm=frozen")
        assert "pack findings" not in touched


def test_both_losses_start_from_one_pretraining(tmp_path):
    touched = changed(tmp_path, "train.pretrain_epochs=9")
    assert {"train pretraining", "train findings bce", "train findings weighted_bce"} <= touched
    assert not {"index findings", "pack findings", "box_samples findings"} & touched


def test_a_sweep_over_seeds_trains_each_pair_anew_after_one_pretraining(tmp_path):
    first, other, demo = (
        keys(tmp_path, *overrides)
        for overrides in (["experiment=seeds"], ["experiment=seeds", "seed=1"], [])
    )
    trainings = {title for title in first if title.startswith("train ")}
    assert len(trainings) == 5
    assert {title: first[title] for title in trainings} == {
        title: demo[title] for title in trainings
    }
    same = {title for title in first if first[title] == other[title]}
    assert trainings & same == {"train pretraining"}
    made_once = ("render", "index", "pack", "train pretraining")
    assert {title for title in first if title.startswith(made_once)} == same
    # Of what is explained and measured, what the comparison of the losses needs.
    assert {title for title in first if title.startswith("maps")} == {
        *("maps findings inverse_iba", "maps findings inverse_iba bce")
    }
    assert "loss_comparison" in first
    assert not [title for title in first if title.startswith(("sanity", "insertion", "zone"))]


@pytest.mark.parametrize(
    ("override", "first"),
    [
        (
            "threads=77",
            {
                "train findings bce",
                "prediction findings bce",
                "statistics findings bce",
                "maps findings iba",
            },
        ),
        ("attribution.batch_size=3", {"maps findings iba", "maps findings gradient"}),
        ("attribution.shard_size=7", {"maps findings iba", "maps findings gradient"}),
        ("attribution.statistics.batch_size=3", {"statistics findings bce"}),
        ("dataset.pack_shard=7", {"pack findings"}),
        (
            "seed=1",
            {"train findings bce", "statistics findings bce", "box_samples findings"},
        ),
    ],
)
def test_what_changes_the_last_bits_is_in_the_key(tmp_path: Path, override: str, first: set[str]):
    touched = changed(tmp_path, override)
    assert first <= touched
    assert not {"render nih", "index findings"} & touched


def test_a_setting_of_the_scored_films_touches_nothing_of_nih(tmp_path):
    for override in ("brixia.phantom.seed=9", "brixia.films.test_fraction=0.3"):
        touched = changed(tmp_path, override)
        assert {"index brixia", "maps detectors iba", "tables"} <= touched
        of_nih = [title for title in keys(tmp_path, "brixia=none") if title in touched]
        # fig2.csv and the claims are of both halves.
        assert set(of_nih) == {"tables", "claims", "figures findings"}


def test_another_lung_network_touches_what_is_compared_with_zones_but_no_map(tmp_path):
    touched = changed(tmp_path, "brixia.lungs.epochs=9")
    assert {"lung_network", "zones predicted", "localization detectors iba"} <= touched
    assert not [
        title for title in touched if title.startswith(("maps", "fine_tune", "detector_samples"))
    ]
    assert "zones true" not in touched


def test_without_scored_films_the_plan_is_the_nih_half(tmp_path):
    titles = keys(tmp_path, "brixia=none")
    assert not [title for title in titles if "brixia" in title or "detector" in title]
    both = keys(tmp_path)
    same = {title for title in titles if both[title] == titles[title]}
    assert titles.keys() - same == {"tables", "claims", "figures findings"}


def test_films_with_several_regions_are_explained_by_what_their_task_has_already(tmp_path):
    whole, without = (
        keys(
            tmp_path, f"evaluation.metrics={of_findings}", f"brixia.detector_metrics={of_detectors}"
        )
        for of_findings, of_detectors in (
            ("[localization,all_regions]", "[all_regions]"),
            ("[localization]", "[]"),
        )
    )
    added = {title for title in whole if title not in without}
    regions = {
        f"all_regions {task} {method}"
        for task, own in (("lesions", ()), ("threes", ("lung_mask",)))
        for method in ("iba", "inverse_iba", "whole_image", "location_prior", "class_prior", *own)
    }
    assert added == {
        *(
            f"maps {task} {method}"
            for task in ("lesions", "threes")
            for method in ("iba", "inverse_iba")
        ),
        *("lesion_samples", "lesion_regions lesions", "box_truth lesions", "phantom_truth lesions"),
        *("threes_samples", "zone_regions threes", "zone_truth threes"),
        *regions,
    }
    changed_too = {title for title in without if without[title] != whole[title]}
    assert changed_too == {"tables", "claims", "figures findings", "scored_figures"}


def test_each_task_has_the_metrics_that_are_chosen_for_it(tmp_path):
    of_findings = keys(tmp_path, "evaluation.metrics=[localization]")
    assert "sensitivity_n severity random" in of_findings
    assert "sensitivity_n findings random" not in of_findings
    assert "insertion_deletion detectors random" in of_findings
    of_regressor = keys(
        tmp_path, "evaluation.metrics=[sensitivity_n]", "brixia.severity_metrics=[]"
    )
    assert "sensitivity_n findings random" in of_regressor
    assert "severity_maps random" in of_regressor
    assert not [
        title for title in of_regressor if title.startswith(("sensitivity_n sev", "zone_d"))
    ]


def test_each_maximum_of_samples_is_of_one_task(tmp_path):
    for setting, own in (
        ("evaluation.max_several_lesions", "lesion_samples"),
        ("brixia.max_several_threes", "threes_samples"),
    ):
        touched = changed(tmp_path, f"{setting}=5")
        assert {title for title in touched if "samples" in title} == {own}
