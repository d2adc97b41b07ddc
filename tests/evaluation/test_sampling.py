"""Which boxes are measured: even over findings, new patients first, larger choices hold smaller."""

import numpy as np
import pandas as pd
import pytest

from evaluation.sampling import first_turns, select_samples

LABELS = ("Mass", "Nodule", "Effusion")


def boxes(*counts: int) -> pd.DataFrame:
    findings = [name for name, count in zip(LABELS, counts, strict=True) for _ in range(count)]
    count = len(findings)
    return pd.DataFrame(
        {
            "image": [f"{k:08d}_000.png" for k in range(count)],
            "patient": np.arange(count),
            "finding": findings,
            **{name: np.ones(count) for name in ("x", "y", "w", "h")},
        }
    )


@pytest.mark.parametrize("limit", [3, 7, 12, None])
def test_findings_are_as_even_as_their_boxes_allow(limit):
    samples = select_samples(boxes(10, 2, 5), LABELS, limit, seed=1)
    taken = samples["finding"].value_counts()
    expected = {3: (1, 1, 1), 7: (3, 2, 2), 12: (5, 2, 5), None: (10, 2, 5)}[limit]
    assert tuple(sorted(taken, reverse=True)) == tuple(sorted(expected, reverse=True))
    assert samples["target"].tolist() == [LABELS.index(name) for name in samples["finding"]]


def test_a_larger_choice_holds_the_smaller_one():
    small, large = (select_samples(boxes(9, 9, 9), LABELS, n, seed=3) for n in (6, 15))
    assert set(small["image"]) <= set(large["image"])


def of_patients(*patients: int) -> pd.DataFrame:
    """A third of them of each finding."""
    return boxes(*[len(patients) // 3] * 3).assign(patient=patients)


def test_a_patient_of_whom_less_was_taken_comes_first_whatever_the_finding():
    many, others = [7] * 10, [*range(10, 15)]
    everyone = of_patients(*many, *others, *many, *others, *many, *others)
    samples = select_samples(everyone, LABELS, 9, seed=0)
    assert samples["finding"].value_counts().tolist() == [3, 3, 3]
    # Six patients: none has a second box before each has a first, nor a third before a second.
    assert samples["patient"].value_counts().tolist() == [2, 2, 2, 1, 1, 1]
    first = first_turns(samples, 6)
    assert first["patient"].nunique() == 6
    assert first["finding"].value_counts().tolist() == [2, 2, 2]


def test_a_finding_of_one_patient_still_has_its_turns():
    samples = select_samples(of_patients(1, 1, 1, 1, 2, 3, 4, 5, 6), LABELS, 6, seed=0)
    assert samples["finding"].value_counts().to_dict() == dict.fromkeys(LABELS, 2)


def test_other_seeds_take_other_boxes_and_one_seed_the_same():
    first, again, other = (select_samples(boxes(9, 9, 9), LABELS, 6, seed=n) for n in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert first["image"].tolist() != other["image"].tolist()


@pytest.mark.parametrize("count", [0, 4, 9, 99])
def test_first_turns_are_the_choice_of_that_size(count):
    all_samples = select_samples(boxes(4, 4, 4), LABELS, None, seed=5)
    first = first_turns(all_samples, count)
    if count:
        alone = select_samples(boxes(4, 4, 4), LABELS, count, seed=5)
        assert first["image"].tolist() == alone["image"].tolist()
    else:
        assert first.empty
    assert first_turns(all_samples, None) is all_samples


def test_a_finding_without_an_output_is_refused():
    with pytest.raises(ValueError, match="no output for the boxed findings Effusion"):
        select_samples(boxes(1, 1, 1), LABELS[:2], None, seed=0)


def test_of_no_box_no_sample_is_taken_but_its_columns_are_there():
    nothing = select_samples(boxes(0, 0, 0), LABELS, 4, seed=0)
    assert list(nothing) == list(select_samples(boxes(1, 1, 1), LABELS, 4, seed=0))
    assert nothing.empty
