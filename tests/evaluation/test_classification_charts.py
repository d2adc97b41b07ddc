"""The curves that are drawn, against scikit-learn and the areas beside them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from evaluation.charts import png
from evaluation.classification_charts import precision_recall_figure, roc_figure

CLASSES = ("Mass", "Nodule", "Hernia")


def samples(models: int = 2, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    parts = []
    for model in range(models):
        truth = rng.random((60, 3)) < 0.3
        truth[:, 2] = False  # no film has this one
        logits = rng.integers(0, 9, (60, 3)) + 3.0 * truth
        parts.append(
            pd.DataFrame(
                {"model": f"model_{model}"}
                | dict(zip(CLASSES, truth.T.astype(int), strict=True))
                | {f"logit_{name}": logits[:, k] for k, name in enumerate(CLASSES)}
            )
        )
    return pd.concat(parts)


@pytest.mark.parametrize(
    ("draw", "area"), [(roc_figure, roc_auc_score), (precision_recall_figure, None)]
)
@pytest.mark.parametrize("seed", range(3))
def test_the_area_below_each_line_is_the_one_written_beside_it(draw, area, seed):
    films = samples(seed=seed)
    figure = draw(films)
    assert [axes.get_title() for axes in figure.axes][2] == "Hernia (0 of 60)"
    for axes, name in zip(figure.axes, CLASSES[:2], strict=False):
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        for (model, rows), label in zip(films.groupby("model"), labels, strict=True):
            truth, scores = rows[name], rows[f"logit_{name}"]
            expected = (area or average_precision_score)(truth, scores)
            assert label.endswith(f" {expected:.3f}"), model
            line = next(line for line in axes.lines if line.get_label() == label)
            x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
            drawn = np.trapezoid(y, x) if area else (y[:-1] * -np.diff(x)).sum()
            assert drawn == pytest.approx(expected)


def test_a_class_without_positive_films_has_no_curve_and_says_so():
    (axes,) = [a for a in roc_figure(samples()).axes if a.get_title().startswith("Hernia")]
    assert not axes.lines
    assert [text.get_text() for text in axes.texts] == ["n/a"]


def test_models_differ_by_more_than_colour_and_are_named():
    figure = precision_recall_figure(samples(models=3))
    looks = {
        (line.get_color(), str(line.get_linestyle())) for line in figure.legends[0].get_lines()
    }
    assert len(looks) == 3
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["model 0", "model 1", "model 2"]


def test_the_same_films_give_the_same_bytes():
    assert png(roc_figure(samples())) == png(roc_figure(samples()))


@pytest.mark.parametrize("models", [0, 4])
def test_no_model_or_more_than_can_be_told_apart_are_refused(models):
    films = samples(models) if models else samples().head(0)
    with pytest.raises(ValueError, match=f"got {models}"):
        roc_figure(films)
