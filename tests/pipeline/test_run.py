"""The whole pipeline as a user runs it, on the smallest phantoms that fill every table."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "experiment=smoke",
    "dataset.side=32",
    "dataset.phantom.num_train_val=48",
    "dataset.phantom.num_test=40",
    "dataset.phantom.side=64",
    "train.pretrain_epochs=1",
    "train.epochs=1",
    "train.batch_size=8",
    "evaluation.max_images=12",
    "evaluation.max_several_lesions=3",
    "evaluation.bootstrap.resamples=50",
    "evaluation.claims.simulations=20",
    "evaluation.insertion_deletion.max_samples=3",
    "evaluation.sensitivity_n.max_samples=2",
    "evaluation.sanity.max_samples=2",
    "evaluation.sanity.layers=[classifier,features.conv0]",
    "evaluation.road.max_samples=2",
    "attribution.statistics.num_images=16",
    "attribution.integrated_gradients.steps=2",
    *(
        f"attribution.{method}.{name}=2"
        for method in ("iba", "iba_block1", "iba_block2", "inverse_iba")
        for name in ("steps", "noise_samples")
    ),
    *("brixia.phantom.num_films=60", "brixia.phantom.side=64", "brixia.lungs.side=32"),
    *("brixia.lungs.epochs=16", "brixia.max_samples=9", "brixia.max_severity_films=4"),
    "attribution.shard_size=5",
    "threads=1",
)
TWO_METHODS = ("attribution.methods=[iba,inverse_iba]", "brixia.regression_methods=[random]")
MEASURED = (
    *("table1", "localization", "truth", "fig2", "sensitivity_n", "equal_area", "sanity"),
    *("table3", "table2", "pcc", "zones", "fig3b", "severity", "zone_localization"),
    "brixia_diagnostics",
)
TABLES = (
    *(f"{name}{suffix}" for name in MEASURED for suffix in ("", "_samples")),
    *("classification", "classification_samples", "diagnostics", "shortcuts"),
    *("claims", "detectors_samples"),
)


def cli(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    done = cli("pipeline", *TINY, f"paths.outputs={folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def first_run(outputs: Path) -> Path:
    """The plain one, whatever ``latest`` is by now."""
    return min(outputs.glob("20*/*/run.json")).parent


def keys(run: Path) -> dict[str, str]:
    steps = json.loads((run / "run.json").read_text())["steps"]
    return {title: step["key"] for title, step in steps.items()}


def hits(run: Path) -> dict[str, bool]:
    steps = json.loads((run / "run.json").read_text())["steps"]
    return {title: step["hit"] for title, step in steps.items()}


def test_a_run_leaves_tables_figures_report_and_record(outputs):
    run = first_run(outputs)
    for name in TABLES:
        assert len(pd.read_csv(run / "tables" / f"{name}.csv")) > 0, name
    # Every claim of the paper has its verdict.
    drawn = ("examples", "fig1", "fig4", "table1", "fig2", "sensitivity_n", "fig3b")
    for name in (f"{figure}.png" for figure in (*drawn, "roc", "precision_recall")):
        assert (run / "figures" / name).read_bytes().startswith(b"\x89PNG")
    assert "phantoms" in (run / "report.html").read_text(encoding="utf-8")
    for name in ("run.json", "resolved.yaml", "pipeline.log"):
        assert (run / name).stat().st_size > 0


def test_table1_has_every_method_and_baseline_and_follows_from_its_samples(outputs):
    tables = first_run(outputs) / "tables"
    table = pd.read_csv(tables / "table1.csv", na_values=["n/a"])
    rules = {"cross_fitted", "cross_fitted_bits", "fixed", "box_area", "intersection"}
    assert set(table["rule"]) == rules
    table = table[table["primary"]]
    samples = pd.read_csv(tables / "table1_samples.csv")
    priors = ["whole_image", "location_prior", "class_prior"]
    methods = ["grad_cam", "integrated_gradients", "lrp", "gradient", "iba", "iba_block1"]
    methods += ["iba_block2", "inverse_iba", "multilayer_iba", "random"]
    assert sorted(table["method"]) == sorted(methods + priors)
    assert (table["n"] == 12).all()
    mean = samples.groupby("method")["iou"].mean()
    assert table.set_index("method")["iou"].to_dict() == pytest.approx(mean.to_dict(), rel=1e-5)
    assert (table["ci_low"] <= table["iou"]).all()
    assert (table["iou"] <= table["ci_high"]).all()


def test_table2_has_every_detector_place_and_row_and_both_data_sets_share_tables(outputs):
    tables = first_run(outputs) / "tables"
    table = pd.read_csv(tables / "table2.csv", na_values=["n/a"])
    places = set(zip(table["region"], table["lungs"], strict=True))
    assert places == {(r, lungs) for r in ("mask", "box") for lungs in ("predicted", "true")}
    assert table[table["primary"]][["region", "lungs"]].drop_duplicates().to_numpy().tolist() == [
        ["mask", "predicted"]
    ]
    for _, rows in table.groupby(["detector", "region", "lungs"]):
        assert {"iba", "multilayer_iba", "random", "lung_mask", "class_prior"} <= set(
            rows["method"]
        )
    for name in ("classification", "fig2"):
        datasets = pd.read_csv(tables / f"{name}.csv")["dataset"]
        assert set(datasets) == {"nih_phantoms", "brixia_phantoms"}, name
    scores = pd.read_csv(tables / "classification.csv", na_values=["n/a"])
    published = scores[scores["paper_auc"].notna()]
    assert set(published["dataset"]) == {"nih_phantoms"}
    diagnostics = pd.read_csv(tables / "brixia_diagnostics.csv", na_values=["n/a"])
    assert not (diagnostics["method"] == "random").any()  # it says nothing of itself
    assert (diagnostics["n"] > 0).all()
    pcc = pd.read_csv(tables / "pcc.csv", na_values=["n/a"]).set_index(["method", "variant"])
    assert pcc.loc[("regression_iba_mse", "mean_film"), "paper"] == 0.4766
    # A map of lungs is one with itself where the background counts, and nothing inside them.
    assert pcc.loc[("lung_mask", "mean_film"), "pcc"] > 0.5
    assert pcc.loc[("lung_mask", "mean_lungs"), "n_nan"] == 4


def test_the_frontier_measures_every_setting_against_the_configured_one(outputs):
    done = cli("pipeline.tools.frontier", *TINY, *TWO_METHODS, f"paths.outputs={outputs}")
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(outputs / "frontier.csv")
    for _, rows in table.groupby("method"):
        configured = rows.iloc[0]
        assert configured[["steps", "noise_samples", "learning_rate"]].tolist() == [2, 2, 1]
        assert (rows["steps"] * rows["learning_rate"]).to_numpy() == pytest.approx(2, rel=1e-3)
        assert rows["rank_correlation"].between(-1, 1).all()
        assert (rows["lowest"] <= rows["rank_correlation"] + 1e-6).all()
        assert rows[["iou", "average_precision"]].stack().between(0, 1).all()
    assert set(table["method"]) == {"iba", "inverse_iba"}


def test_every_beta_that_is_auto_is_found_and_said(outputs):
    table = pd.read_csv(first_run(outputs) / "tables" / "operating_points.csv")
    bottlenecks = {"iba", "iba_block1", "iba_block2", "inverse_iba"}
    of_detectors = table[table["model"].str.startswith("detectors")]
    assert set(of_detectors["method"]) == bottlenecks
    assert table["beta"].between(0.01, 1000).all()
    assert table["share_met"].between(0, 1).all()


def test_the_same_command_again_finds_everything_in_the_store(outputs):
    first = first_run(outputs)
    done = cli("pipeline", *TINY, f"paths.outputs={outputs}")
    assert done.returncode == 0, done.stdout + done.stderr
    again = (outputs / "latest").resolve()
    assert keys(again) == keys(first)
    assert all(hits(again).values())
    history = pd.read_csv(outputs / "history.csv")
    assert history["run"].iloc[-1] == again.relative_to(outputs).as_posix()
    assert history["mean_auc"].iloc[-1] == history["mean_auc"].iloc[0]
    one, other = (
        {p.name: p.read_bytes() for p in (r / "tables").iterdir()} for r in (first, again)
    )
    assert one == other


def test_status_says_what_is_there_and_what_is_not_without_running_it(outputs):
    done = cli("pipeline.status", *TINY, f"paths.outputs={outputs}", "train.learning_rate=0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    state = {
        line.split("│")[1].strip(): line.split("│")[3].strip()
        for line in done.stdout.splitlines()
        if line.count("│") > 3
    }
    assert state["pack findings"] == "hit"
    assert state["train findings weighted_bce"] == "miss"
    why = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if "│" in line}
    assert "recipe.learning_rate 0.0003 -> 0.5" in why["train findings weighted_bce"]
    assert (
        "train findings weighted_bce runs: recipe.learning_rate 0.0003 -> 0.5"
        in why["maps findings iba"]
    )


def test_a_sweep_over_two_seeds_makes_two_runs_that_share_what_they_can(outputs):
    small = ("brixia=none", "train.losses=[weighted_bce]", "attribution.methods=[grad_cam]")
    before = set(outputs.glob("20*/*"))
    done = cli(
        "pipeline",
        *(*TINY, *small, "evaluation.metrics=[localization]", f"paths.outputs={outputs}"),
        *("seed=0,1", "-m"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (sweep,) = set(outputs.glob("20*/*")) - before
    first, second = (sweep / "0", sweep / "1")
    shared = ("render nih", "index findings", "pack findings")
    assert all(hits(run)[title] for run in (first, second) for title in shared)
    assert hits(first)["train findings weighted_bce"]  # the run before had this seed
    assert not hits(second)["train findings weighted_bce"]
    assert keys(first)["train pretraining"] != keys(second)["train pretraining"]


def test_no_record_of_a_run_names_a_home_folder(outputs):
    for path in [*outputs.rglob("manifest.json"), *outputs.rglob("run.json")]:
        assert str(Path.home()) not in path.read_text()
        assert str(outputs) not in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("experiment=nih", "paths.nih=/nowhere"), "/nowhere"),
        (("train.epochz=1",), "epochz"),
        (("model.init=/nowhere/weights.pt", *TINY), "model.init"),
        (("experiment=nothing",), "nothing"),
    ],
)
def test_a_users_mistake_ends_with_a_message_and_exit_code_1(
    tmp_path, monkeypatch, arguments, said
):
    # Hydra shows its traceback to a debugger, and takes coverage for one.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    done = cli("pipeline", *arguments, f"paths.outputs={tmp_path}")
    assert done.returncode == 1
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_ids_can_be_hashed_in_what_a_run_hands_on(outputs):
    plain = first_run(outputs) / "tables"
    tables = {path.name: path.read_bytes() for path in plain.iterdir()}
    films = set(pd.read_csv(plain / "classification_samples.csv")["image"])
    films |= {
        path.removesuffix(".dcm") for path in pd.read_csv(plain / "severity_samples.csv")["image"]
    }
    done = cli("pipeline", *TINY, f"paths.outputs={outputs}", "report.hash_ids=true")
    assert done.returncode == 0, done.stdout + done.stderr
    run = outputs / "latest"
    assert [title for title, hit in hits(run).items() if not hit] == [
        "figures findings",
        "scored_figures",
    ]
    written = [path for path in run.rglob("*") if path.is_file()]
    assert len(written) > 20
    for path in written:
        content = path.read_bytes()
        assert not any(film.encode() in content for film in films), path
    for name, content in tables.items():
        hashed = pd.read_csv(run / "tables" / name, dtype=str, keep_default_na=False)
        if {"image", "patient"} & set(hashed):
            original = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
            assert (hashed["patient"] != original["patient"]).all()
            assert hashed["patient"].nunique() == original["patient"].nunique()
            assert hashed.columns.equals(original.columns)
        else:
            assert (run / "tables" / name).read_bytes() == content
