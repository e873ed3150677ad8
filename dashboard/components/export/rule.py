"""The controls of an export's rule, and the same rule as a command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from lsi_engine.curation import CleaningRule
from lsi_engine.curation.export import Format

#: Where the sliders stand while what they belong to is not asked for.
SUSPICION, SHARE = 0.9, 50


def controls_of(rule: CleaningRule) -> dict[str, Any]:
    """Where the controls stand, by widget key, that ask for ``rule`` or for what they can show nearest to it."""
    return {
        "export_apply": rule.apply_decisions,
        "export_unsure": rule.unsure,
        "export_doubtful": rule.drop_suspicion is not None,
        "export_suspicion": SUSPICION if rule.drop_suspicion is None else min(round(rule.drop_suspicion, 2), 1.0),
        "export_thin": rule.keep_fraction is not None,
        "export_share": SHARE if rule.keep_fraction is None else max(round(100 * rule.keep_fraction), 1),
        "export_end": rule.keep_end,
        "export_deduplicate": rule.deduplicate,
        "export_balance": rule.balance,
        "export_validation": min(round(100 * rule.validation), 49),
        "export_test": min(round(100 * rule.test), 49),
        "export_seed": rule.seed,
        "export_listed": rule.list_dropped,
    }


def rule_of(controls: Mapping[str, Any]) -> CleaningRule:
    """The rule that the controls ask for."""
    return CleaningRule(
        apply_decisions=controls["export_apply"],
        unsure=controls["export_unsure"],
        drop_suspicion=round(controls["export_suspicion"], 2) if controls["export_doubtful"] else None,
        keep_fraction=controls["export_share"] / 100 if controls["export_thin"] else None,
        keep_end=controls["export_end"],
        deduplicate=controls["export_deduplicate"],
        balance=controls["export_balance"],
        validation=controls["export_validation"] / 100,
        test=controls["export_test"] / 100,
        seed=controls["export_seed"],
        list_dropped=controls["export_listed"],
    )


def rule_controls(decided: dict[str, int]) -> CleaningRule:
    """Draw the controls and return their rule; ``decided`` counts the standing decisions by action."""
    state = st.session_state
    for key, value in controls_of(CleaningRule()).items():
        state.setdefault(key, value)
    spoken = " · ".join(f"{count:,} {action}" for action, count in decided.items())
    st.toggle("Apply the reviewers' decisions", key="export_apply", help=f"Standing now: {spoken}")
    st.caption(spoken if sum(decided.values()) else "Nobody has decided anything in this run yet.")
    st.segmented_control(
        "Marked unsure", ["keep", "drop"], required=True, key="export_unsure", disabled=not state["export_apply"]
    )
    st.toggle("Drop undecided samples with a doubtful label", key="export_doubtful")
    st.slider(
        "Suspicion at least",
        0.0,
        1.0,
        step=0.01,
        key="export_suspicion",
        disabled=not state["export_doubtful"],
        help="Only samples for which another label is suggested.",
    )
    st.toggle("Keep only a share of each class", key="export_thin")
    st.slider("Share kept, %", 1, 100, key="export_share", disabled=not state["export_thin"])
    st.segmented_control(
        "by LSI, from the",
        ["highest", "lowest"],
        required=True,
        key="export_end",
        disabled=not (state["export_thin"] or state["export_balance"]),
        help="Highest: the most informative. Samples that a reviewer kept or relabelled are always kept.",
    )
    st.toggle(
        "Keep one of near-duplicates", key="export_deduplicate", help="Samples so close that one says what all say."
    )
    st.toggle("Thin every class to the smallest", key="export_balance", help="By LSI, from the end above.")
    whole = "Groups and near-duplicates stay whole."
    validation, test, seed = st.columns(3, vertical_alignment="bottom")
    validation.number_input("Validation part, %", 0, 49, key="export_validation", help=whole)
    test.number_input("Test part, %", 0, 49, key="export_test", help=whole)
    seed.number_input("Seed of the parts", 0, 2**31 - 1, key="export_seed", help="Another seed, other parts.")
    st.toggle("List the dropped samples too", key="export_listed", help="Their final label is empty.")
    return rule_of({key: state[key] for key in controls_of(CleaningRule())})


def command(run: str, rule: CleaningRule, chosen: Format, target: Path) -> str:
    """The ``lsi export`` line that writes the same bytes."""
    words_of_it = ["lsi", "export", run, "--format", chosen, "--to", str(target)]
    if not rule.apply_decisions:
        words_of_it.append("--ignore-decisions")
    if rule.unsure != "keep":
        words_of_it += ["--unsure", rule.unsure]
    if rule.drop_suspicion is not None:
        words_of_it += ["--drop-suspicion", repr(rule.drop_suspicion)]
    if rule.keep_fraction is not None:
        words_of_it += ["--keep-fraction", repr(rule.keep_fraction)]
    if rule.keep_end != "highest":
        words_of_it += ["--keep-end", rule.keep_end]
    for flag, wanted in (("--deduplicate", rule.deduplicate), ("--balance", rule.balance)):
        words_of_it += [flag] if wanted else []
    for option, share in (("--validation", rule.validation), ("--test", rule.test)):
        words_of_it += [option, repr(share)] if share else []
    if rule.seed:
        words_of_it += ["--seed", str(rule.seed)]
    if rule.list_dropped:
        words_of_it.append("--list-dropped")
    return shlex.join(words_of_it)
