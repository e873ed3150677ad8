"""How a run scores, on the form that starts it: the method, and behind one expander what has a good default.

Fields, labels, choices and help are those of :class:`lsi_engine.runs.config.RunConfig`.
"""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo

from dashboard.run_request import Kind
from lsi_engine.runs.config import RunConfig
from lsi_engine.scores.registry import SCORES, optional

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
#: Fields that a text says, and what stands there before anybody writes.
_TEXTS = {
    "weight_decay": "0.01, or auto",
    "prior_precision": "weight_decay",
    "left_out": "all; or 200, 5 %, 0:50",
    "score_epochs": "10,100",
    "device": "cpu",
}
#: Those of them that hold their default from the start.
_FILLED = ("weight_decay", "prior_precision")
#: What pairs are scored with unless told otherwise, and the fields they do not have.
_OF_PAIRS = {"weight_decay": 0.3, "learning_rate": 0.005, "feature_scaling": "unit"}
_NOT_OF_PAIRS = {"probe", "groups", "momentum", "score_epochs", "loo_prior", "precision", "tolerance", "scores"}


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
    """The fields of one method, and what is filled in, by the configuration's names."""
    given: dict[str, Any] = {"method": method}
    columns = st.columns(2)
    options = {name: field for name, field in RunConfig.options().items() if _offered(name, field, kind, method)}
    for number, (name, field) in enumerate(options.items()):
        with columns[number % 2]:
            given[name] = _field(name, field, kind, method)
    return given


def _offered(name: str, field: FieldInfo, kind: Kind, method: str) -> bool:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    methods = extra["methods"]
    assert isinstance(methods, list)
    if name == "method" or (name == "left_out" and method == "closed_form"):
        return False
    return method in methods and not (kind == "pairs" and name in _NOT_OF_PAIRS)


def _field(name: str, field: FieldInfo, kind: Kind, method: str) -> Any:
    """The widget of one field."""
    assert isinstance(field.json_schema_extra, dict)
    label, help = str(field.json_schema_extra["label"]), field.description
    default = _OF_PAIRS.get(name, field.default) if kind == "pairs" else field.default
    if name in _TEXTS:
        filled = str(default) if name in _FILLED else ""
        return st.text_input(label, value=filled, placeholder=_TEXTS[name], help=help)
    if name == "scores":
        return st.multiselect(label, optional(), help=_scores_help())
    if get_origin(field.annotation) is Literal:
        choices = [choice for choice in get_args(field.annotation) if _possible(name, choice, kind, method)]
        return st.selectbox(
            label,
            choices,
            index=choices.index(default),
            format_func=lambda choice: GROUPS[choice] if name == "groups" else choice,
            help=help,
        )
    if isinstance(default, float):
        return float(st.number_input(label, value=default, min_value=0.0, format="%g", step=default / 4, help=help))
    whole = default if isinstance(default, int) else 0
    step = 100 if whole >= 1000 else 8 if name == "probe" else 1
    return int(st.number_input(label, value=whole, min_value=min(whole, 1), step=step, help=help))


def _scores_help() -> str:
    return "Computed beside LSI and suspicion. " + " ".join(f"`{name}`: {SCORES[name].summary}." for name in optional())


def _possible(name: str, choice: str, kind: Kind, method: str) -> bool:
    if name == "hessian" and kind == "pairs":
        return choice in ("diag", "full")
    if name == "hessian":
        return choice != "auto" or method == "closed_form"
    if name == "feature_scaling":
        return choice != ("standardize" if kind == "pairs" else "unit")
    return True
