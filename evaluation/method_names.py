"""What a method is called in print, and which rows of a table are baselines. Imports nothing."""

METHOD_LABELS = {
    "grad_cam": "GradCAM",
    "integrated_gradients": "Integrated Gradients",
    "lrp": "LRP",
    "gradient": "Gradients",
    "iba": "IBA",
    "iba_block1": "IBA at block 1",
    "iba_block2": "IBA at block 2",
    "inverse_iba": "Inverse IBA",
    "multilayer_iba": "Multi-layer IBA",
    "regression_iba_mse": "Regression IBA (MSE)",
    "regression_iba_rm": "Regression IBA (RM)",
    "regression_iba_dv": "Regression IBA (DV)",
    "excitation_backprop": "Excitation Backprop",
    "grad_cam_plus_plus": "GradCAM++",
    "layer_cam": "LayerCAM",
    "eigen_cam": "Eigen-CAM",
    "occlusion": "Occlusion",
    "rise": "RISE",
    "smooth_grad": "SmoothGrad",
    "input_x_gradient": "Input x gradient",
    "deep_lift": "DeepLIFT",
    "guided_backprop": "Guided Backprop",
    "model": "The model itself",
    "random": "Random map",
    "whole_image": "Whole image",
    "location_prior": "Location prior",
    "class_prior": "Class prior",
    "lung_mask": "Lung mask",
    "mean_severity": "Mean severity",
}
BASELINES = frozenset(
    {"random", "whole_image", "location_prior", "class_prior", "lung_mask", "mean_severity"}
)
"""Rows that explain no prediction and keep a table honest."""

IN_BITS = frozenset(
    {
        "iba",
        "iba_block1",
        "iba_block2",
        "inverse_iba",
        "regression_iba_mse",
        "regression_iba_rm",
        "regression_iba_dv",
    }
)
"""Methods whose maps are bits/pixel; all others are shown relative to their own maximum."""


def method_label(method: str) -> str:
    """The method's name in print; a method unknown here keeps its own, in words."""
    return METHOD_LABELS.get(method, method.replace("_", " "))
