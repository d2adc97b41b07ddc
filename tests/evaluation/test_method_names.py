"""The printed names of methods."""

import pytest

from evaluation.method_names import method_label


@pytest.mark.parametrize(("method", "label"), [("iba", "IBA"), ("my_method", "my method")])
def test_labels_name_known_methods_in_print_and_unknown_ones_by_their_own_name(method, label):
    assert method_label(method) == label
