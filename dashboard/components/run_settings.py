"""How a run scores, on the form that starts it: the method, and behind one expander what has a good default."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.run_request import Kind

METHODS = {"closed_form": "Closed form", "retrain": "Retraining", "trajectory": "Trajectory"}
_METHOD_HELP = (
    "**Closed form**: every sample left out exactly, at the optimum of a linear probe: seconds. **Retraining**: every "
    "probe really trained without its sample, as in the paper, linear or with a hidden layer: hours on large data. "
    "**Trajectory**: the same training, linearised, for a linear probe that stops far from its optimum."
)
GROUPS = {
    "none": "nothing but samples",
    "group": "the data's groups (patients, sources)",
    "near_duplicates": "near-duplicates",
}


def method_choice(kind: Kind) -> str:
    """Which method; outside the form, since it decides the fields. Pairs are always retrained."""
    if kind == "pairs":
        return "retrain"
    chosen = st.segmented_control(
        "Method",
        list(METHODS),
        format_func=lambda name: METHODS[name],
        default="closed_form",
        required=True,
        key="new_method",
        help=_METHOD_HELP,
    )
    return str(chosen or "closed_form")


def setting_fields(kind: Kind, method: str) -> dict[str, Any]:
    """The fields of one method, and what is filled in."""
    pairs = kind == "pairs"
    fields: dict[str, Any] = {"method": method}
    left, right = st.columns(2)
    with left:
        structures = ["diag", "full"] if pairs else ["diag", "full", "kron", "auto"]
        if method != "closed_form" and not pairs:
            structures.remove("auto")
        fields["hessian"] = st.selectbox(
            "Hessian",
            structures,
            help="Of the posterior. `diag`: the paper's default. `full`: the exact one. `kron`: factored, for many "
            "classes. `auto`: full where it fits in memory",
        )
    with right:
        usual = 0.3 if pairs else 0.01
        decay = st.number_input("Weight decay", value=usual, min_value=0.0, format="%g", step=usual / 10)
        fields["weight_decay"] = float(decay)
    with left:
        fields["feature_scaling"] = st.selectbox(
            "Feature scaling",
            ["unit", "none"] if pairs else ["standardize", "none"],
            help="Changes LSI; recorded with the run",
        )
    with right:
        fields["prior_precision"] = st.text_input(
            "Prior precision",
            value="weight_decay",
            help="δ of the posterior: `weight_decay` for N·wd, what was trained; or a number (the paper's code: 1.0)",
        )
    if method != "closed_form":
        fields |= _training_fields(kind, method)
    if not pairs:
        fields["groups"] = st.selectbox(
            "Also leave out whole",
            list(GROUPS),
            format_func=lambda name: GROUPS[name],
            help="By the closed form, whatever the method: two identical mislabelled samples vouch for each other",
        )
    fields["device"] = st.text_input("Device", placeholder="cpu", help="Of torch, such as `cuda`")
    return fields


def _training_fields(kind: Kind, method: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    left, right = st.columns(2)
    with left:
        fields["epochs"] = int(st.number_input("Epochs", value=1000, min_value=1, step=100, help="Full-batch steps"))
        rate = 0.005 if kind == "pairs" else 0.04
        fields["learning_rate"] = float(
            st.number_input("Learning rate", value=rate, min_value=0.0, format="%g", step=rate / 4)
        )
    with right:
        fields["seeds"] = int(
            st.number_input(
                "Seeds", value=1, min_value=1, step=1, help="Full sets of trainings; their agreement is shown"
            )
        )
        fields["rows"] = st.text_input(
            "Leave out",
            placeholder="all; or 200, 5 %, 0:50",
            help="So many, or such a share, drawn at random; or rows FIRST:END. Only these get a score",
        )
    if method == "retrain" and kind != "pairs":
        with left:
            fields["hidden"] = int(
                st.number_input("Hidden units", value=0, min_value=0, step=8, help="0: a linear probe; the paper: 32")
            )
        with right:
            fields["score_epochs"] = st.text_input(
                "Score at epochs", placeholder="10,100", help="How the order settles; in the same pass"
            )
    return fields
